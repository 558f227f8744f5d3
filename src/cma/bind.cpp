// bind_addr and the automatic bind of resolve_addr and listen [spec 1.4, 1.7, 1.8].
#include <algorithm>

#include "cma/core.hpp"
#include "cma/id.hpp"
#include "cma/loopback.hpp"

namespace hawser::cma {

namespace {

// Why the arbiter refused a port.
Rule port_rule(int error) {
  if (error == EACCES) return Rule::port_privileged;
  return error == EADDRINUSE || error == EADDRNOTAVAIL ? Rule::port_conflict : Rule::none;
}

}  // namespace

// [spec 1.4.2]
Status Id::bind_addr(const SocketAddress& address) {
  Entered entered(contract_, Entry::bind_addr, HW_CALL_SITE);
  return bind(address, {}, Entry::bind_addr);
}

// IDLE → BINDING → ADDR_BOUND. The first step proves IDLE and claims the id for us: nothing of it is written before
// [spec 3.2 I2, I3], and ADDR_BOUND is published only when it is true (DESIGN 4, rule 8). `destination` is known to an
// automatic bind of resolve_addr; it decides which ephemeral ports may be shared [spec 4 #36, 1.4.3, 1.4.8, 2.4.2].
Status Id::bind(const SocketAddress& source, const SocketAddress& destination, Entry entry) {
  if (source.family != Family::inet && source.family != Family::inet6) {
    return refusal(EAFNOSUPPORT, entry, Rule::address_family);
  }
  if (!move<State::idle, State::binding>()) {
    return refusal(EINVAL, entry, entry == Entry::bind_addr ? Rule::needs_idle : Rule::needs_bound);
  }
  if (Status acquired = acquire(source, destination, entry); !acquired) {
    core_.detach(*this);
    release_port();
    {
      rt::Lock lock(data_mutex_);
      source_ = destination_ = {};
      write_ledger_addresses();
    }
    if (!move<State::binding, State::idle>()) return refusal(ENODEV, entry, Rule::device_gone);
    return acquired;
  }
  // Only its device's removal can have taken the id meanwhile.
  if (!move<State::binding, State::addr_bound>()) return refusal(ENODEV, entry, Rule::device_gone);
  return {};
}

// The device that owns a specific address, and the port. What it got is recorded on the id, so whoever undoes it needs
// no history [spec 1.4.7, 1.7.2, 4 #9].
Status Id::acquire(const SocketAddress& source, const SocketAddress& destination, Entry entry) {
  if (Status bindable = check_bindable(source, entry); !bindable) return bindable;
  if (!source.ip.is_any()) {
    const verbs::DevicePtr device = core_.services.devices.find_by_address(gid_of(source.ip), source.scope_id);
    if (device == nullptr) return refusal(ENODEV, entry, Rule::address_not_ours);
    if (Status attached = core_.attach(*this, device); !attached) return attached;
  }
  PortRequest request{.space = port_space_, .source = source, .destination = destination};
  request.v6_only = v6_only(source);
  request.may_bind_privileged = core_.services.network.may_bind_privileged();
  {
    rt::Lock lock(data_mutex_);
    request.reuse = options_.reuse_address;
  }
  const auto binding = core_.services.ports.bind(request);
  if (!binding) return refusal(errno_of(binding), entry, port_rule(errno_of(binding)));
  rt::Lock lock(data_mutex_);
  port_ = binding->handle;
  source_ = source;
  source_.port = binding->port;
  destination_ = destination;
  write_ledger_addresses();
  return {};
}

// EINVAL, EADDRNOTAVAIL, ENODEV as [spec 1.4.4-1.4.6], before anything is taken.
Status Id::check_bindable(const SocketAddress& source, Entry entry) const {
  if (source.ip.is_any()) return {};
  const bool scoped = source.family == Family::inet6 && source.ip.is_link_local();
  if (scoped && source.scope_id == 0) return refusal(EINVAL, entry, Rule::no_scope);
  const auto interfaces = core_.services.network.interfaces();
  const auto owns = [&](const verbs::InterfaceSnapshot& interface) {
    return interface.owns(source.ip, source.scope_id);
  };
  if (scoped && std::ranges::find(interfaces, source.scope_id, &verbs::InterfaceSnapshot::index) == interfaces.end()) {
    return refusal(ENODEV, entry, Rule::no_scope);
  }
  if (std::ranges::none_of(interfaces, owns)) return refusal(EADDRNOTAVAIL, entry, Rule::address_not_ours);
  if (port_space_ == PortSpace::ipoib) return refusal(EINVAL, entry, Rule::no_infiniband);
  return {};
}

void Id::release_port() {
  PortHandle port = 0;
  {
    rt::Lock lock(data_mutex_);
    std::swap(port, port_);
  }
  if (port != 0) core_.services.ports.release(port);
}

}  // namespace hawser::cma
