#include "cma/port_table.hpp"

#include <algorithm>

namespace hawser::cma {
namespace {

// "Any" in the sense of the conflict rules: loopback counts [spec 1.8.4].
bool unspecific(const SocketAddress& address) {
  return address.family == Family::unspecified || address.ip.is_any() || address.ip.is_loopback();
}

// Equal hosts; a link-local address means something only together with its interface [spec 4 #35, 1.8.5].
bool same_host(const SocketAddress& a, const SocketAddress& b) {
  if (a.family != b.family || a.ip != b.ip) return false;
  return !a.ip.is_link_local() || a.scope_id == b.scope_id;
}

bool differ(const SocketAddress& a, const SocketAddress& b) {
  return !unspecific(a) && !unspecific(b) && !same_host(a, b);
}

bool family_only(const SocketAddress& source, bool v6_only) { return source.family == Family::inet || v6_only; }

}  // namespace

// [spec 1.8.3, 1.8.10]
Result<PortBinding> PortTable::bind(const PortRequest& request) {
  rt::Lock lock(mutex_);
  if (request.source.port == 0) {
    const auto port = ephemeral(request);
    if (!port) return fail(port.error());
    return insert(request, *port);
  }
  if (request.source.port < 1024 && !request.may_bind_privileged) return fail(EACCES);
  const Key key{request.space, request.source.port};
  if (const auto found = ports_.find(key); found != ports_.end()) {
    const Owner self{0, request.source, request.destination, request.reuse, request.v6_only, false};
    if (Status free = check(found->second, self, request.reuse); !free) return fail(free.error());
  }
  return insert(request, request.source.port);
}

// [spec 1.8.4]
Status PortTable::check(const std::vector<Owner>& owners, const Owner& owner, bool reuse) const {
  for (const Owner& other : owners) {
    if (other.handle == owner.handle) continue;
    if (reuse && other.reuse) continue;
    if (family_only(owner.source, owner.v6_only) && family_only(other.source, other.v6_only) &&
        owner.source.family != other.source.family) {
      continue;
    }
    if (unspecific(owner.source) || unspecific(other.source)) return fail(EADDRNOTAVAIL);
    if (same_host(owner.source, other.source)) return fail(EADDRINUSE);
  }
  return {};
}

// [spec 1.8.6]
Result<std::uint16_t> PortTable::ephemeral(const PortRequest& request) {
  const auto [low, high] = range_();
  if (low == 0 || low > high) return fail(EADDRNOTAVAIL);
  const std::uint32_t count = static_cast<std::uint32_t>(high - low) + 1;
  const std::uint32_t start = world_.random32() % count;
  const auto shareable = [&](const Owner& other) {
    return (request.destination.port != 0 && other.destination.port != 0 &&
            request.destination.port != other.destination.port) ||
           differ(request.source, other.source) || differ(request.destination, other.destination);
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto port = static_cast<std::uint16_t>(low + (start + i) % count);
    // Not the one handed out last: somebody may still believe in it. Unless there is no other.
    if (port == last_ephemeral_ && count > 1) continue;
    const auto found = ports_.find(Key{request.space, port});
    if (found == ports_.end() || std::ranges::all_of(found->second, shareable)) {
      last_ephemeral_ = port;
      return port;
    }
  }
  return fail(EADDRNOTAVAIL);
}

PortBinding PortTable::insert(const PortRequest& request, std::uint16_t port) {
  const PortHandle handle = next_handle_++;
  SocketAddress source = request.source;
  source.port = port;
  const Key key{request.space, port};
  ports_[key].push_back(Owner{handle, source, request.destination, request.reuse, request.v6_only, false});
  bindings_.emplace(handle, key);
  return {handle, port};
}

PortTable::Owner* PortTable::find(PortHandle handle) {
  const auto binding = bindings_.find(handle);
  if (binding == bindings_.end()) return nullptr;
  auto& owners = ports_.at(binding->second);
  const auto owner = std::ranges::find(owners, handle, &Owner::handle);
  return owner == owners.end() ? nullptr : &*owner;
}

Status PortTable::listen(PortHandle handle) {
  rt::Lock lock(mutex_);
  Owner* owner = find(handle);
  if (owner == nullptr) return fail(EINVAL);
  // Proof and loss of the reuse flag in one step: LISTEN implies no reuse [spec 3.3 I4, 1.8.8].
  if (owner->reuse) {
    if (Status alone = check(ports_.at(bindings_.at(handle)), *owner, false); !alone) return alone;
    owner->reuse = false;
  }
  owner->listening = true;
  return {};
}

void PortTable::unlisten(PortHandle handle) {
  rt::Lock lock(mutex_);
  if (Owner* owner = find(handle)) owner->listening = false;
}

Status PortTable::set_option(PortHandle handle, PortOption option, bool value) {
  rt::Lock lock(mutex_);
  Owner* owner = find(handle);
  if (owner == nullptr || owner->listening) return fail(EINVAL);
  (option == PortOption::reuse ? owner->reuse : owner->v6_only) = value;
  return {};
}

// [spec 1.8.11]
void PortTable::release(PortHandle handle) {
  rt::Lock lock(mutex_);
  const auto binding = bindings_.find(handle);
  if (binding == bindings_.end()) return;
  const auto owners = ports_.find(binding->second);
  std::erase_if(owners->second, [&](const Owner& owner) { return owner.handle == handle; });
  if (owners->second.empty()) ports_.erase(owners);
  bindings_.erase(binding);
}

bool PortTable::listens(PortHandle handle) const {
  rt::Lock lock(mutex_);
  const auto binding = bindings_.find(handle);
  if (binding == bindings_.end()) return false;
  const auto& owners = ports_.at(binding->second);
  const auto owner = std::ranges::find(owners, handle, &Owner::handle);
  return owner != owners.end() && owner->listening;
}

std::size_t PortTable::size() const {
  rt::Lock lock(mutex_);
  return bindings_.size();
}

}  // namespace hawser::cma
