// Several hosts on a network in memory, in virtual time, in one thread: the production code of Hawser, and yours, with
// every loss, delay and order repeatable from one seed. For tests of programs that make connections.
//
// Ownership: a Simulation outlives the Stacks of its hosts, and they what is made with them.
// Threading: all of it belongs to one thread. Nothing happens but in the calls below and in those calls of the hosts'
// Stacks, channels and completion queues that wait: they make time pass. Hours of timeouts cost no time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hawser/stack.hpp"
#include "hawser/subnet.hpp"

namespace hawser {

struct SimulationOptions {
  std::uint64_t seed{1};
  // Each datagram takes a time in between: if they differ, datagrams overtake one another.
  std::chrono::nanoseconds delay_min{std::chrono::microseconds(10)};
  std::chrono::nanoseconds delay_max{std::chrono::microseconds(10)};
};

// A subnet administrator for a host: RoCE has none, but code that is written for InfiniBand hears from one. Both
// functions are called in the simulation's thread; nullopt: no answer comes, and the asker's time runs out.
struct SimulatedSubnet {
  std::function<std::optional<Result<std::vector<ServiceRecord>>>(const ServiceQuery& wanted)> services{};
  std::function<std::optional<Result<PathRecord>>(const Gid& destination)> path{};  // not given: every path is there
  std::chrono::nanoseconds delay{};                                                 // of each answer
};

struct SimulatedHost {
  std::vector<IpAddress> addresses;  // one or more, different on each host; neither loopback nor multicast
  // What goes wrong on purpose, as HAWSER_FAULT says it: "loss=5%,duplicate=1%,bitmap=01101,drop=REP:nth=2,seed=42".
  // Stack::faults() is the same with types, and at any time. The same plan and seed, the same fate.
  std::string faults{};
  std::string interface{"eth0"};  // its device is "hw_eth0"
  std::optional<SimulatedSubnet> subnet{};
};

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options = {});
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;
  ~Simulation();

  // EINVAL: no address, none that a host can have, or a wrong fault plan (stderr says which part). EADDRINUSE: another
  // host has it.
  [[nodiscard]] Result<Stack> add_host(const SimulatedHost& host);

  // Lets everything happen until nothing is left to happen, or `done()` is true (asked after each step). Returns
  // done(), or true without one. A connection that retries for ever never gets there: give it a time.
  bool run(const std::function<bool()>& done = {});
  // Lets `duration` pass.
  void run_for(std::chrono::nanoseconds duration);
  // Since the Simulation began.
  [[nodiscard]] std::chrono::nanoseconds now() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hawser
