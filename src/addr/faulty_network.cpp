#include "addr/faulty_network.hpp"

#include <algorithm>

namespace hawser::addr {
namespace {

// Another MAC than the one given, and always the same: unicast, locally administered.
Mac other_mac(Mac mac) {
  mac[0] = static_cast<std::uint8_t>((mac[0] & 0xFE) | 0x02);
  mac[5] ^= 0xFF;
  return mac;
}

}  // namespace

FaultyNetworkView::FaultyNetworkView(NetworkView& inner) : inner_(inner) {
  inner_.set_observer({[this] { tell_interfaces(); }, [this](const NeighbourChange& change) { pass_on(change); }});
}

FaultyNetworkView::~FaultyNetworkView() { inner_.set_observer({}); }

bool FaultyNetworkView::hits(NetworkFaultKind kind, std::string_view interface, const IpAddress& address) {
  const auto found = std::ranges::find_if(faults_, [&](const auto& entry) {
    const NetworkFault& fault = entry.second.fault;
    return fault.kind == kind && fault.interface == interface && fault.address == address;
  });
  if (found == faults_.end()) return false;
  ++found->second.effects;
  return true;
}

void FaultyNetworkView::set(std::uint32_t number, const NetworkFault& fault) {
  {
    rt::Lock lock(mutex_);
    faults_.insert_or_assign(number, Entry{fault, 0});
    any_.store(true);
  }
  tell(fault);
}

bool FaultyNetworkView::clear(std::uint32_t number) {
  NetworkFault fault;
  {
    rt::Lock lock(mutex_);
    auto node = faults_.extract(number);
    if (node.empty()) return false;
    any_.store(!faults_.empty());
    fault = std::move(node.mapped().fault);
  }
  tell(fault);
  return true;
}

std::map<std::uint32_t, std::uint64_t> FaultyNetworkView::effects() const {
  std::map<std::uint32_t, std::uint64_t> effects;
  rt::Lock lock(mutex_);
  for (const auto& [number, entry] : faults_) effects.emplace(number, entry.effects);
  return effects;
}

void FaultyNetworkView::tell(const NetworkFault& fault) {
  switch (fault.kind) {
    case NetworkFaultKind::move_neighbour: return tell_neighbour(fault.address);
    case NetworkFaultKind::silence_neighbour: return;  // whoever asks will hear nothing
    default: return tell_interfaces();
  }
}

void FaultyNetworkView::tell_interfaces() {
  std::function<void()> interfaces_changed;
  {
    rt::Lock lock(mutex_);
    interfaces_changed = observer_.interfaces_changed;
  }
  if (interfaces_changed) interfaces_changed();
}

// For every interface: the address alone does not say on which the neighbour is.
void FaultyNetworkView::tell_neighbour(const IpAddress& address) {
  for (const verbs::InterfaceSnapshot& interface : inner_.interfaces()) {
    if (interface.loopback) continue;
    if (const auto mac = inner_.neighbour(interface.index, address)) pass_on({interface.index, address, *mac});
  }
}

void FaultyNetworkView::pass_on(NeighbourChange change) {
  std::function<void(const NeighbourChange&)> neighbour_changed;
  bool hit = false;
  {
    rt::Lock lock(mutex_);
    neighbour_changed = observer_.neighbour_changed;
    const auto mac = change.mac ? Result<Mac>(*change.mac) : fail(ENODATA);
    const auto seen = as_seen(change.address, mac, hit);
    change.mac = seen ? std::optional(*seen) : std::nullopt;
  }
  if (neighbour_changed) neighbour_changed(change);
  if (hit && notify_) notify_();
}

// What becomes of a neighbour's MAC.
Result<Mac> FaultyNetworkView::as_seen(const IpAddress& address, const Result<Mac>& mac, bool& hit) {
  if (hits(NetworkFaultKind::silence_neighbour, {}, address)) {
    hit = true;
    return fail(ENODATA);
  }
  if (!mac || !hits(NetworkFaultKind::move_neighbour, {}, address)) return mac;
  hit = true;
  return other_mac(*mac);
}

void FaultyNetworkView::set_observer(Observer observer) {
  rt::Lock lock(mutex_);
  observer_ = std::move(observer);
}

std::vector<verbs::InterfaceSnapshot> FaultyNetworkView::interfaces() {
  std::vector<verbs::InterfaceSnapshot> interfaces = inner_.interfaces();
  if (!any_.load()) return interfaces;
  bool hit = false;
  {
    rt::Lock lock(mutex_);
    const std::vector<verbs::InterfaceSnapshot> real = interfaces;
    std::erase_if(interfaces, [&](const verbs::InterfaceSnapshot& interface) {
      mutex_.assert_held();
      return hits(NetworkFaultKind::remove_interface, interface.name, {});
    });
    for (verbs::InterfaceSnapshot& interface : interfaces) {
      if (hits(NetworkFaultKind::link_down, interface.name, {})) interface.up = false;
      if (hits(NetworkFaultKind::change_mac, interface.name, {})) interface.mac = other_mac(interface.mac);
      std::erase_if(interface.addresses, [&](const IpAddress& address) {
        mutex_.assert_held();
        return hits(NetworkFaultKind::remove_address, {}, address);
      });
    }
    hit = interfaces != real;
  }
  if (hit && notify_) notify_();
  return interfaces;
}

// As the kernel would answer if what is removed were so: without the address it is nobody's source, without the
// interface nothing goes that way.
Result<Route> FaultyNetworkView::route(const IpAddress& destination, const std::optional<IpAddress>& source,
                                       std::uint32_t interface) {
  Result<Route> route = inner_.route(destination, source, interface);
  if (!route || !any_.load()) return route;
  const std::vector<verbs::InterfaceSnapshot> left = interfaces();
  const auto way = std::ranges::find(left, route->interface, &verbs::InterfaceSnapshot::index);
  if (way == left.end()) return fail(ENETUNREACH);
  const auto has = [&](const IpAddress& address) {
    return std::ranges::any_of(left, [&](const verbs::InterfaceSnapshot& i) {
      return (i.loopback && address.is_v4() && address.is_loopback()) ||
             std::ranges::find(i.addresses, address) != i.addresses.end();
    });
  };
  if (route->local && !has(destination)) return fail(EHOSTUNREACH);
  if (has(route->source)) return route;
  if (source) return fail(EADDRNOTAVAIL);
  const auto other = std::ranges::find(way->addresses, destination.is_v4(), &IpAddress::is_v4);
  if (other == way->addresses.end()) return fail(EADDRNOTAVAIL);
  route->source = *other;
  return route;
}

Result<Mac> FaultyNetworkView::neighbour(std::uint32_t interface, const IpAddress& address) {
  Result<Mac> mac = inner_.neighbour(interface, address);
  if (!any_.load()) return mac;
  bool hit = false;
  {
    rt::Lock lock(mutex_);
    mac = as_seen(address, mac, hit);
  }
  if (hit && notify_) notify_();
  return mac;
}

std::pair<std::uint16_t, std::uint16_t> FaultyNetworkView::local_port_range() { return inner_.local_port_range(); }

}  // namespace hawser::addr
