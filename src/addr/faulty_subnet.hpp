// The subnet administrator that a Stack has although RoCE has none: there is one as soon as a fault says what it keeps
// silent about. Its silence is the simulated one's, so that what programs see goes the way that it would on InfiniBand.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "addr/sim_subnet_admin.hpp"
#include "runtime/sync.hpp"

namespace hawser::addr {

enum class SubnetFaultKind : std::uint8_t {
  silence_route,    // who asks for the path to an address hears nothing (ROUTE_ERROR)
  silence_service,  // who looks up a service by name hears nothing (ADDRINFO_ERROR)
};

struct SubnetFault {
  SubnetFaultKind kind{};
  IpAddress address;    // of the first kind
  std::string service;  // of the second
  bool operator==(const SubnetFault&) const = default;
};

// Thread-safe. A fault is in force from set() until clear(); a question that is out by then stays unanswered.
class FaultySubnetAdmin final : public SubnetAdmin {
 public:
  // `inner` answers what no fault concerns; null: there is none.
  FaultySubnetAdmin(rt::Dispatcher& dispatcher, std::unique_ptr<SubnetAdmin> inner);

  void set(std::uint32_t number, const SubnetFault& fault);
  bool clear(std::uint32_t number);  // false if there is none
  // How many questions each fault has left unanswered.
  [[nodiscard]] std::map<std::uint32_t, std::uint64_t> effects() const;
  // Called, with no lock held, when that number has grown. It takes locks from cm_faults on only. Set before the first
  // fault.
  void set_notify(std::function<void()> notify) { notify_ = std::move(notify); }

  [[nodiscard]] bool serves(const verbs::Device& device) const override;
  [[nodiscard]] bool routes(const verbs::Device& device, const Gid& remote) const override;
  void services(SubnetQuery& query, const ServiceQuery& wanted, rt::Duration timeout, ServiceAnswer answer) override;
  void path(SubnetQuery& query, const Gid& local, const Gid& remote, rt::Duration timeout, PathAnswer answer) override;
  void cancel(SubnetQuery& query) override;

 private:
  struct Entry {
    SubnetFault fault;
    std::uint64_t effects{};
  };
  [[nodiscard]] bool in_force(const SubnetFault& fault) const;
  bool hit(const SubnetFault& fault);  // whether it is in force, and counts that a question found it

  const std::unique_ptr<SubnetAdmin> inner_;
  SimSubnetAdmin silent_;
  std::function<void()> notify_;
  rt::Atomic<bool> any_{false};
  mutable rt::Mutex mutex_{rt::LockRank::net_faults};
  std::map<std::uint32_t, Entry> faults_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::addr
