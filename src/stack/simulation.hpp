// Whole Stacks on a simulated network, in virtual time: the production sources, several hosts in one process, one seed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "addr/sim_subnet_admin.hpp"
#include "base/ip.hpp"
#include "base/result.hpp"
#include "fabric/sim_network.hpp"
#include "stack/stack.hpp"

namespace hawser::stack {

// Tells a host's subnet administrator what to answer. Empty: the host has none.
using SubnetPlan = std::function<void(addr::SimSubnetAdmin&)>;

struct SimHostOptions {
  std::string interface{"eth0"};
  std::vector<IpAddress> addresses;  // of the interface; each once in the network
  SubnetPlan subnet{};
};

// Belongs to one thread, with all its Stacks and what is made with them. Nothing happens but in step(), in calls of the
// hosts' Stacks that wait, and in Stack::poll().
class Simulation {
 public:
  explicit Simulation(std::uint64_t seed, fabric::LinkModel link = {});
  ~Simulation();  // after all its hosts' Stacks
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  // EINVAL: no address, one that is no unicast address of a network. EADDRINUSE: another host has one of them.
  [[nodiscard]] Result<std::unique_ptr<Stack>> add_host(const SimHostOptions& options);

  // Does all that is due now, or moves time to when the next thing is due. False if nothing ever will be.
  bool step();
  // Until nothing is due before `end`; then it is `end`.
  void run_until(rt::Time end);
  [[nodiscard]] rt::Time now() const;

 private:
  class SimHost;
  [[nodiscard]] bool poll_all();
  [[nodiscard]] rt::Time next_deadline() const;

  const std::unique_ptr<rt::World> world_;
  fabric::SimNetwork network_;
  std::vector<Stack*> stacks_;     // in the order of their making
  std::set<IpAddress> addresses_;  // of all hosts
  std::uint32_t hosts_made_ = 0;
};

}  // namespace hawser::stack
