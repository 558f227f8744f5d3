// A network that says what a test or the explorer told it to: the twin of NetlinkView. Thread-safe.
//
// Without an explicit route, an address of this host is local, and everything else is on the link of the first
// interface (the one asked for, or the source's) that has an address of the same family.
#pragma once

#include <map>
#include <utility>

#include "addr/network.hpp"
#include "runtime/sync.hpp"

namespace hawser::addr {

class SimNetworkView final : public NetworkView {
 public:
  void set_interfaces(std::vector<verbs::InterfaceSnapshot> interfaces);  // tells the observer
  void set_route(const IpAddress& destination, Result<Route> route);
  // nullopt: not reachable. Tells the observer.
  void set_neighbour(std::uint32_t interface, const IpAddress& address, std::optional<Mac> mac);
  // Unknown neighbours answer at once with a MAC made from their address (the default), or not at all.
  void answer_for_unknown_neighbours(bool answer);
  void set_local_port_range(std::uint16_t low, std::uint16_t high);
  void set_may_bind_privileged(bool may);
  void set_bind_v6_only(bool only);

  [[nodiscard]] std::vector<verbs::InterfaceSnapshot> interfaces() override;
  [[nodiscard]] Result<Route> route(const IpAddress& destination, const std::optional<IpAddress>& source,
                                    std::uint32_t interface) override;
  [[nodiscard]] Result<Mac> neighbour(std::uint32_t interface, const IpAddress& address) override;
  [[nodiscard]] std::pair<std::uint16_t, std::uint16_t> local_port_range() override;
  [[nodiscard]] bool may_bind_privileged() override;
  [[nodiscard]] bool bind_v6_only() override;
  void set_observer(Observer observer) override;
  [[nodiscard]] int poll_fd() const override { return -1; }
  void poll() override {}

 private:
  using NeighbourKey = std::pair<std::uint32_t, IpAddress>;

  mutable rt::Mutex mutex_{rt::LockRank::addr};
  std::vector<verbs::InterfaceSnapshot> interfaces_ HW_GUARDED_BY(mutex_);
  std::map<IpAddress, Result<Route>> routes_ HW_GUARDED_BY(mutex_);
  std::map<NeighbourKey, std::optional<Mac>> neighbours_ HW_GUARDED_BY(mutex_);
  std::pair<std::uint16_t, std::uint16_t> range_ HW_GUARDED_BY(mutex_){32768, 60999};
  bool answer_unknown_ HW_GUARDED_BY(mutex_) = true;
  bool may_bind_privileged_ HW_GUARDED_BY(mutex_) = false;
  bool bind_v6_only_ HW_GUARDED_BY(mutex_) = false;
  Observer observer_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::addr
