// The faults in force in one Stack, whoever asked for them: the environment, `hawser fault` through the agent, or the
// program itself.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "addr/faulty_network.hpp"
#include "addr/faulty_subnet.hpp"
#include "agent/client.hpp"
#include "cm/fault.hpp"
#include "cm/faulty_sender.hpp"
#include "cm/manager.hpp"
#include "fabric/faults.hpp"
#include "runtime/dispatcher.hpp"
#include "runtime/sync.hpp"

namespace hawser::stack {

struct FaultState {
  std::uint32_t number{};
  cm::Fault fault;
  std::uint64_t effects{};
};

// Thread-safe. In a handler too: there, what changes the network does so when the handler has returned, for devices may
// go, and their ids' handlers be waited for.
class Faults {
 public:
  struct Parts {
    rt::Dispatcher& dispatcher;
    addr::FaultyNetworkView& network;
    addr::FaultySubnetAdmin& subnet;
    cm::FaultySender& sender;
    cm::Manager& connections;
    fabric::FaultyFabric& fabric;
  };
  explicit Faults(Parts parts);
  ~Faults();
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  // Puts a fault in force and returns the number by which clear() takes it back.
  std::uint32_t set(const cm::Fault& fault);
  void set(const cm::FaultPlans& plans);
  bool change(std::uint32_t number, const cm::Fault& fault);  // false if there is none of this number
  bool clear(std::uint32_t number);
  void clear_all();
  void clear_own();  // all but the agent's
  [[nodiscard]] static bool is_own(std::uint32_t number);
  [[nodiscard]] std::vector<FaultState> list() const;

  // Does what the agent says, and tells it what comes of it. Before the first fault.
  void follow(agent::Client& agent);
  void set_for_agent(std::uint32_t number, const agent::FaultTarget& target, std::string_view text);
  void clear_for_agent(std::uint32_t number);  // 0: all
  void tell_agent_again();                     // it is another one

 private:
  struct Entry {
    cm::Fault fault;
    agent::FaultTarget target;
    std::uint64_t done{};  // of a fault that is done when it is set
    std::uint64_t told{};  // effects that the agent knows of
  };
  void put_in_force(std::uint32_t number, const cm::Fault& fault, const agent::FaultTarget& target);
  void take_back(std::uint32_t number, const cm::Fault& fault);
  void change_network(std::uint32_t number);
  void settle_network(std::uint32_t number);
  void settle_postponed();
  [[nodiscard]] std::map<std::uint32_t, std::uint64_t> effects() const;
  void report();

  Parts parts_;
  agent::Client* agent_ = nullptr;
  mutable rt::Mutex mutex_{rt::LockRank::cm_faults};
  std::map<std::uint32_t, Entry> entries_ HW_GUARDED_BY(mutex_);
  std::uint32_t last_own_ HW_GUARDED_BY(mutex_);
  std::set<std::uint32_t> postponed_ HW_GUARDED_BY(mutex_);  // network faults set or cleared in a handler
  rt::Work turn_work_;  // does nothing: at the end of its turn the engine publishes the counters
  rt::Work network_work_;
};

}  // namespace hawser::stack
