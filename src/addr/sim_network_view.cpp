#include "addr/sim_network_view.hpp"

#include <algorithm>

namespace hawser::addr {
namespace {

std::optional<IpAddress> address_of_family(const verbs::InterfaceSnapshot& interface, const IpAddress& like) {
  const auto same = [&](const IpAddress& address) { return address.is_v4() == like.is_v4(); };
  const auto found = std::ranges::find_if(interface.addresses, same);
  return found == interface.addresses.end() ? std::nullopt : std::optional(*found);
}

}  // namespace

void SimNetworkView::set_interfaces(std::vector<verbs::InterfaceSnapshot> interfaces) {
  std::function<void()> tell;
  {
    rt::Lock lock(mutex_);
    interfaces_ = std::move(interfaces);
    tell = observer_.interfaces_changed;
  }
  if (tell) tell();
}

void SimNetworkView::set_route(const IpAddress& destination, Result<Route> route) {
  rt::Lock lock(mutex_);
  routes_.insert_or_assign(destination, std::move(route));
}

void SimNetworkView::set_neighbour(std::uint32_t interface, const IpAddress& address, std::optional<Mac> mac) {
  std::function<void(const NeighbourChange&)> tell;
  {
    rt::Lock lock(mutex_);
    neighbours_.insert_or_assign(NeighbourKey{interface, address}, mac);
    tell = observer_.neighbour_changed;
  }
  if (tell) tell(NeighbourChange{interface, address, mac});
}

void SimNetworkView::answer_for_unknown_neighbours(bool answer) {
  rt::Lock lock(mutex_);
  answer_unknown_ = answer;
}

void SimNetworkView::set_local_port_range(std::uint16_t low, std::uint16_t high) {
  rt::Lock lock(mutex_);
  range_ = {low, high};
}

void SimNetworkView::set_may_bind_privileged(bool may) {
  rt::Lock lock(mutex_);
  may_bind_privileged_ = may;
}

void SimNetworkView::set_bind_v6_only(bool only) {
  rt::Lock lock(mutex_);
  bind_v6_only_ = only;
}

std::vector<verbs::InterfaceSnapshot> SimNetworkView::interfaces() {
  rt::Lock lock(mutex_);
  return interfaces_;
}

Result<Route> SimNetworkView::route(const IpAddress& destination, const std::optional<IpAddress>& source,
                                    std::uint32_t interface) {
  rt::Lock lock(mutex_);
  const auto has = [interface](const IpAddress& address) {
    return [&address, interface](const verbs::InterfaceSnapshot& i) { return i.owns(address, interface); };
  };
  if (source && std::ranges::none_of(interfaces_, has(*source))) return fail(EADDRNOTAVAIL);
  if (const auto set = routes_.find(destination); set != routes_.end()) return set->second;
  if (const auto owner = std::ranges::find_if(interfaces_, has(destination)); owner != interfaces_.end()) {
    Route route;
    route.source = source.value_or(owner->loopback && destination.is_v4() ? IpAddress::v4(0x7F000001) : destination);
    route.interface = owner->index;
    route.local = true;
    return route;
  }
  for (const auto& candidate : interfaces_) {
    if (candidate.loopback || (interface != 0 && candidate.index != interface)) continue;
    if (source && !candidate.owns(*source, interface)) continue;
    const auto own = address_of_family(candidate, destination);
    if (!own) continue;
    Route route;
    route.source = source.value_or(*own);
    route.interface = candidate.index;
    return route;
  }
  return fail(ENETUNREACH);
}

Result<Mac> SimNetworkView::neighbour(std::uint32_t interface, const IpAddress& address) {
  rt::Lock lock(mutex_);
  const auto known = neighbours_.find(NeighbourKey{interface, address});
  if (known != neighbours_.end()) {
    if (!known->second) return fail(ENODATA);
    return *known->second;
  }
  if (!answer_unknown_) return fail(ENODATA);
  Mac mac{0x02};
  std::copy_n(address.bytes.begin() + 11, 5, mac.begin() + 1);
  return mac;
}

std::pair<std::uint16_t, std::uint16_t> SimNetworkView::local_port_range() {
  rt::Lock lock(mutex_);
  return range_;
}

bool SimNetworkView::may_bind_privileged() {
  rt::Lock lock(mutex_);
  return may_bind_privileged_;
}

bool SimNetworkView::bind_v6_only() {
  rt::Lock lock(mutex_);
  return bind_v6_only_;
}

void SimNetworkView::set_observer(Observer observer) {
  rt::Lock lock(mutex_);
  observer_ = std::move(observer);
}

}  // namespace hawser::addr
