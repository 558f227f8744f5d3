// The port spaces of one network namespace [spec 1.8], as plain data: who bound what. Used by a Stack on its own, and
// by the agent for all processes of a host. Knows no ids. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cma/port_arbiter.hpp"
#include "runtime/sync.hpp"
#include "runtime/world.hpp"

namespace hawser::cma {

class PortTable final : public PortArbiter {
 public:
  using Range = std::function<std::pair<std::uint16_t, std::uint16_t>()>;  // both ends included
  PortTable(rt::World& world, Range local_port_range) : world_(world), range_(std::move(local_port_range)) {}

  Result<PortBinding> bind(const PortRequest& request) override;
  Status listen(PortHandle handle) override;
  void unlisten(PortHandle handle) override;
  Status set_option(PortHandle handle, PortOption option, bool value) override;
  void release(PortHandle handle) override;

  // What the agent and tests ask.
  [[nodiscard]] bool listens(PortHandle handle) const;
  [[nodiscard]] std::size_t size() const;  // bindings

 private:
  struct Owner {
    PortHandle handle{};
    SocketAddress source, destination;
    bool reuse{}, v6_only{}, listening{};
  };
  using Key = std::pair<PortSpace, std::uint16_t>;

  Status check(const std::vector<Owner>& owners, const Owner& owner, bool reuse) const HW_REQUIRES(mutex_);
  Result<std::uint16_t> ephemeral(const PortRequest& request) HW_REQUIRES(mutex_);
  PortBinding insert(const PortRequest& request, std::uint16_t port) HW_REQUIRES(mutex_);
  Owner* find(PortHandle handle) HW_REQUIRES(mutex_);

  rt::World& world_;
  const Range range_;
  mutable rt::Mutex mutex_{rt::LockRank::port_space};
  std::map<Key, std::vector<Owner>> ports_ HW_GUARDED_BY(mutex_);
  std::unordered_map<PortHandle, Key> bindings_ HW_GUARDED_BY(mutex_);
  PortHandle next_handle_ HW_GUARDED_BY(mutex_) = 1;
  std::uint16_t last_ephemeral_ HW_GUARDED_BY(mutex_) = 0;
};

}  // namespace hawser::cma
