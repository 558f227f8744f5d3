// resolve_addr, resolve_route on RoCE, set_path, and their answers [spec 1.4, 1.5, 1.6, 1.7].
#include "base/probe.hpp"
#include "cma/core.hpp"
#include "cma/id.hpp"
#include "cma/loopback.hpp"

namespace hawser::cma {

namespace {

constexpr std::uint8_t roce_packet_life_time = 16;

// The wildcard as a destination means this host, as for TCP (DESIGN 7) [spec 1.6.7].
SocketAddress reachable(SocketAddress destination) {
  if (!destination.ip.is_any()) return destination;
  if (destination.family == Family::inet) {
    destination.ip = IpAddress::v4(0x7F000001);
  } else {
    destination.ip.bytes[15] = 1;
  }
  return destination;
}

SocketAddress wildcard_of(const SocketAddress& destination) {
  SocketAddress source;
  source.family = destination.family;
  source.ip = destination.family == Family::inet ? IpAddress::any_v4() : IpAddress::any_v6();
  source.scope_id = destination.scope_id;
  return source;
}

}  // namespace

// [spec 1.4.12, 1.4.13]
Status Id::resolve_addr(const SocketAddress* source, const SocketAddress& destination, rt::Duration timeout) {
  Entered entered(contract_, Entry::resolve_addr, HW_CALL_SITE);
  const SocketAddress to = reachable(destination);
  if (Status prepared = prepare_source(source, to); !prepared) return prepared;

  SocketAddress from;
  {
    rt::Lock lock(data_mutex_);
    from = source_;
    if (from.family == to.family) {
      destination_ = to;  // on an id that was bound before, too [spec 4 #25]
      write_ledger_addresses();
    }
  }
  if (from.family != to.family) {
    if (!move<State::addr_query, State::addr_bound>()) return refusal(ENODEV, Entry::resolve_addr, Rule::device_gone);
    return refusal(EINVAL, Entry::resolve_addr, Rule::family_differs);
  }
  // The request of an earlier attempt may still be on its way out: it is ours again only after this [spec 4 #11].
  core_.services.resolver.cancel(address_request_);

  // With the handler_mutex: a removal claims the id either before, and then there is nothing to cancel, or after, and
  // then it finds the request. The answer waits for us too.
  rt::UniqueLock lock(handler_mutex_);
  if (state() != State::addr_query) {
    HW_PROBE("cma-claimed-before-query");
    return refusal(ENODEV, Entry::resolve_addr, Rule::device_gone);
  }
  const auto source_ip = from.ip.is_any() ? std::nullopt : std::optional(from.ip);
  // What is bound to a link stays on it.
  const std::uint32_t interface = from.ip.is_link_local() || to.scope_id == 0 ? from.scope_id : to.scope_id;
  const Status started = core_.services.resolver.resolve(address_request_, source_ip, to.ip, interface, timeout,
                                                         [this](const auto& result) { on_address(result); });
  if (!started && !move<State::addr_query, State::addr_bound>()) HW_BUG("cma-addr-query-left");
  entered.leave();  // once unlocked, the handler may end the id
  return started;
}

// → ADDR_QUERY from ADDR_BOUND (or ADDRINFO_RESOLVED), where `source` is ignored, or from IDLE by binding first
// [spec 1.4.9-1.4.11, 3.2 A].
Status Id::prepare_source(const SocketAddress* source, const SocketAddress& destination) {
  if (move<State::addr_bound, State::addr_query>() || move<State::addrinfo_resolved, State::addr_query>()) return {};
  const bool given = source != nullptr && source->family != Family::unspecified;
  const SocketAddress from = given ? *source : wildcard_of(destination);
  if (Status bound = bind(from, destination, Entry::resolve_addr); !bound) return bound;
  if (!move<State::addr_bound, State::addr_query>()) {
    return refusal(EINVAL, Entry::resolve_addr, Rule::needs_bound);
  }
  return {};
}

// ADDR_QUERY → RESOLVING → ADDR_RESOLVED, or back to ADDR_BOUND: ADDR_RESOLVED is seen only once the device is attached
// [spec 4 #1, 1.5.2-1.5.5, 2.4.2].
void Id::on_address(const Result<addr::Resolved>& result) {
  handler_mutex_.lock();
  if (!move<State::addr_query, State::resolving>()) {  // claimed: the claimer cancels us
    HW_PROBE("cma-answer-for-claimed");
    return handler_mutex_.unlock();
  }
  const Status adopted = result ? adopt(*result) : fail(result.error());
  Event event{.type = EventType::addr_resolved};
  if (adopted) {
    if (!move<State::resolving, State::addr_resolved>()) HW_BUG("cma-resolving-left");
  } else {
    if (!move<State::resolving, State::addr_bound>()) HW_BUG("cma-resolving-left-on-error");
    event = {.type = EventType::addr_error, .status = -errno_of(adopted)};
  }
  if (deliver(event) != 0) return destroy_and_unlock();
  handler_mutex_.unlock();
}

// The device that owns the source address, unless the id has one from its bind. Nothing is written on failure.
// [spec 1.7.2, 4 #13]
Status Id::adopt(const addr::Resolved& resolved) {
  if (device() == nullptr) {
    if (port_space_ == PortSpace::ipoib) return fail(EINVAL);  // no interface of ours is InfiniBand
    const verbs::DevicePtr device = core_.services.devices.find_by_address(gid_of(resolved.source), resolved.interface);
    if (device == nullptr) return fail(ENODEV);
    if (Status attached = core_.attach(*this, device); !attached) return attached;
  }
  rt::Lock lock(data_mutex_);
  if (source_.ip.is_any()) {
    source_.ip = resolved.source;
    if (source_.ip.is_link_local()) source_.scope_id = resolved.interface;
  }
  resolved_ = resolved;
  write_ledger_addresses();
  return {};
}

// [spec 1.4.14, 1.4.15]
Status Id::resolve_route(rt::Duration timeout) {
  Entered entered(contract_, Entry::resolve_route, HW_CALL_SITE);
  if (timeout <= rt::Duration::zero()) return refusal(EINVAL, Entry::resolve_route, Rule::timeout_not_positive);
  if (!enter_route_query()) return refusal(EINVAL, Entry::resolve_route, Rule::needs_address);
  if (subnet_admin_of_path() != nullptr) {
    {
      rt::Lock lock(data_mutex_);
      ask_for_path_ = timeout;
    }
    entered.leave();  // the answer's handler may end the id
    queue(route_work_);
    return {};
  }
  auto path = make_path();
  if (!path) {
    if (!leave_route_query()) return refusal(ENODEV, Entry::resolve_route, Rule::device_gone);
    return fail(path.error());
  }
  std::optional<addr::Resolved> resolved;
  {
    rt::Lock lock(data_mutex_);
    path_ = *path;  // a value: repeating this leaks nothing [spec 4 #15]
    has_path_ = true;
    resolved = resolved_;
  }
  if (resolved && resolved->destination_mac && !resolved->via_gateway) {
    core_.watch(*this, resolved->interface, resolved->destination, *resolved->destination_mac);
  }
  entered.leave();  // once the work is queued, its handler may end the id
  queue(route_work_);
  return {};
}

// [spec 1.5.6]
void Id::on_route() {
  if (ask_for_path()) return put();
  handler_mutex_.lock();
  if (!move<State::route_query, State::route_resolved>()) {  // claimed meanwhile
    HW_PROBE("cma-route-for-claimed");
    handler_mutex_.unlock();
    return put();  // last: whoever claimed the id frees it when no reference is left
  }
  finish_work({.type = EventType::route_resolved});
}

// What RoCE needs no subnet administrator for [spec 1.4.16, 1.6.6, 1.7.3-1.7.5, 1.14.1, 1.14.2].
Result<cm::Path> Id::make_path() const {
  rt::Lock lock(data_mutex_);
  if (device_ == nullptr || !resolved_) return fail(ENODEV);
  const auto mtu = verbs::roce_mtu(device_->interface_mtu());
  if (!mtu) return fail(EINVAL);
  cm::Path path;
  path.device = device_;
  // 127/8 is one device's, unless somebody has shared it out (a Stack that has one address).
  path.local = device_->gid_index(resolved_->source) ? resolved_->source : gid_of(resolved_->source);
  const bool local_destination = !resolved_->destination_mac;
  path.remote = local_destination ? gid_of(resolved_->destination) : resolved_->destination;
  path.interface = device_->interface_index();
  path.mtu = *mtu;
  path.traffic_class = options_.service_type.value_or(0);
  path.hop_limit = resolved_->hop_limit;
  path.packet_life_time = roce_packet_life_time;
  // The option says how long an ACK may take, there and back; 0 means for ever and changes nothing here [spec 4 #16].
  if (options_.ack_timeout.value_or(0) != 0)
    path.packet_life_time = static_cast<std::uint8_t>(*options_.ack_timeout - 1);
  const std::uint32_t given = destination_.family == Family::inet6 ? destination_.flow_info & 0xFFFFF : 0;
  path.flow_label = given != 0 ? given : (source_.port * 31U + destination_.port) & 0xFFFFF;
  return path;
}

// [spec 1.4.17]
Status Id::set_path(const cm::Path& path) {
  Entered entered(contract_, Entry::set_path, HW_CALL_SITE);
  if (!move<State::addr_resolved, State::route_query>()) return refusal(EINVAL, Entry::set_path, Rule::needs_address);
  {
    rt::Lock lock(data_mutex_);
    if (device_ == nullptr) return fail(ENODEV);  // it goes, and has claimed the id: the state is not ours to restore
    path_ = path;
    path_.device = device_;
    path_.interface = device_->interface_index();
    has_path_ = true;
  }
  if (!move<State::route_query, State::route_resolved>()) return fail(ENODEV);
  return {};
}

}  // namespace hawser::cma
