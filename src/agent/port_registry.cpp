#include "agent/port_registry.hpp"

#include <algorithm>

namespace hawser::agent {
namespace {

// How well a listener's address fits a request's destination: 0 not at all, 1 as a wildcard, 2 exactly.
[[nodiscard]] int fit(const cma::PortRequest& listener, const IpAddress& destination, std::uint32_t interface) {
  const IpAddress& address = listener.source.ip;
  if (address == destination) return address.is_link_local() && listener.source.scope_id != interface ? 0 : 2;
  if (!address.is_any()) return 0;
  if (address.is_v4() || listener.source.family == Family::inet) return destination.is_v4() ? 1 : 0;
  return !listener.v6_only || !destination.is_v4() ? 1 : 0;
}

}  // namespace

PortRegistry::Binding* PortRegistry::find(std::uint32_t slot, std::uint64_t handle) {
  const auto found = bindings_.find({slot, handle});
  return found == bindings_.end() ? nullptr : &found->second;
}

Result<std::uint16_t> PortRegistry::bind(std::uint32_t slot, std::uint64_t handle, const cma::PortRequest& request) {
  if (find(slot, handle) != nullptr) return fail(EINVAL);
  const auto granted = arbiter_.bind(request);
  if (!granted) return fail(granted.error());
  Binding binding{granted->handle, request, false};
  binding.request.source.port = granted->port;
  bindings_.emplace(Name{slot, handle}, binding);
  ports_.emplace(Service{request.space, granted->port}, Name{slot, handle});
  return granted->port;
}

Status PortRegistry::restore(std::uint32_t slot, std::uint64_t handle, const cma::PortRequest& request,
                             bool listening) {
  if (find(slot, handle) != nullptr || request.source.port == 0) return fail(EINVAL);
  // Bindings that share a port may each have been legal only in the order in which they came. All of them were granted,
  // so none is refused now: with reuse on, the arbiter lets them in beside one another, and then reuse is as it was.
  cma::PortRequest lenient = request;
  lenient.reuse = true;
  lenient.may_bind_privileged = true;
  std::vector<Binding*> neighbours;
  const auto [first, last] = ports_.equal_range({request.space, request.source.port});
  for (auto at = first; at != last; ++at) {
    Binding& other = bindings_.at(at->second);
    if (other.arbiter_handle == 0 || other.listening) continue;
    neighbours.push_back(&other);
    (void)arbiter_.set_option(other.arbiter_handle, cma::PortOption::reuse, true);
  }
  const auto granted = arbiter_.bind(lenient);
  for (Binding* other : neighbours)
    (void)arbiter_.set_option(other->arbiter_handle, cma::PortOption::reuse, other->request.reuse);
  Binding binding{granted ? granted->handle : 0, request, false};
  if (binding.arbiter_handle != 0) {
    (void)arbiter_.set_option(binding.arbiter_handle, cma::PortOption::reuse, request.reuse);
    if (listening) (void)arbiter_.listen(binding.arbiter_handle);
  }
  const Name name{slot, handle};
  Binding& kept = bindings_.emplace(name, binding).first->second;
  ports_.emplace(Service{request.space, request.source.port}, name);
  if (listening) start_listening(name, kept);
  return {};
}

Status PortRegistry::listen(std::uint32_t slot, std::uint64_t handle) {
  Binding* binding = find(slot, handle);
  if (binding == nullptr) return fail(EINVAL);
  if (binding->listening) return {};
  if (binding->arbiter_handle != 0) {
    if (auto status = arbiter_.listen(binding->arbiter_handle); !status) return status;
  }
  binding->request.reuse = false;
  start_listening({slot, handle}, *binding);
  return {};
}

void PortRegistry::start_listening(const Name& name, Binding& binding) {
  binding.listening = true;
  listeners_changed_ = true;
  listeners_.emplace(Service{binding.request.space, binding.request.source.port}, name);
}

void PortRegistry::stop_listening(const Name& name, Binding& binding) {
  if (!binding.listening) return;
  binding.listening = false;
  listeners_changed_ = true;
  erase(listeners_, binding, name);
}

void PortRegistry::erase(std::multimap<Service, Name>& from, const Binding& binding, const Name& name) {
  const auto [first, last] = from.equal_range({binding.request.space, binding.request.source.port});
  const auto found = std::find_if(first, last, [&name](const auto& entry) { return entry.second == name; });
  if (found != last) from.erase(found);
}

Status PortRegistry::unlisten(std::uint32_t slot, std::uint64_t handle) {
  Binding* binding = find(slot, handle);
  if (binding == nullptr) return fail(EINVAL);
  if (binding->listening && binding->arbiter_handle != 0) arbiter_.unlisten(binding->arbiter_handle);
  stop_listening({slot, handle}, *binding);
  return {};
}

Status PortRegistry::set_option(std::uint32_t slot, std::uint64_t handle, cma::PortOption option, bool value) {
  Binding* binding = find(slot, handle);
  if (binding == nullptr || binding->listening) return fail(EINVAL);
  if (binding->arbiter_handle != 0) {
    if (auto status = arbiter_.set_option(binding->arbiter_handle, option, value); !status) return status;
  }
  binding->request.set(option, value);
  return {};
}

Status PortRegistry::release(std::uint32_t slot, std::uint64_t handle) {
  Binding* binding = find(slot, handle);
  if (binding == nullptr) return fail(EINVAL);
  stop_listening({slot, handle}, *binding);
  if (binding->arbiter_handle != 0) arbiter_.release(binding->arbiter_handle);
  erase(ports_, *binding, {slot, handle});
  bindings_.erase({slot, handle});
  return {};
}

void PortRegistry::release_all(std::uint32_t slot) {
  for (auto at = bindings_.lower_bound({slot, 0}); at != bindings_.end() && at->first.first == slot;) {
    const std::uint64_t handle = at->first.second;
    ++at;
    (void)release(slot, handle);
  }
}

std::vector<ServiceOwner> PortRegistry::sole_listeners() const {
  std::vector<ServiceOwner> services;
  for (auto at = listeners_.begin(); at != listeners_.end();) {
    const Service service = at->first;
    const std::uint32_t slot = at->second.first;
    bool alone = true;
    for (; at != listeners_.end() && at->first == service; ++at) alone = alone && at->second.first == slot;
    if (alone) services.push_back({static_cast<std::uint32_t>(service.first) << 16 | service.second, slot});
  }
  return services;
}

std::optional<std::uint32_t> PortRegistry::listener(ServiceId service, const IpAddress& destination,
                                                    std::uint32_t interface) const {
  if (service.value >> 32 != 0) return std::nullopt;
  const auto space = static_cast<cma::PortSpace>(service.value >> 16 & 0xFFFF);
  const auto [first, last] = listeners_.equal_range({space, static_cast<std::uint16_t>(service.value)});
  std::optional<std::uint32_t> best;
  int best_fit = -1;
  for (auto at = first; at != last; ++at) {
    const int this_fit = fit(bindings_.at(at->second).request, destination, interface);
    if (this_fit <= best_fit) continue;
    best_fit = this_fit;
    best = at->second.first;
  }
  return best;
}

}  // namespace hawser::agent
