#include "verbs/multicast.hpp"

namespace hawser::verbs {

Status MulticastGroups::join(const DevicePtr& device, const Gid& group) {
  if (!group.is_multicast()) return fail(EINVAL);
  rt::Lock lock(mutex_);
  const auto [entry, is_new] = joins_.try_emplace(Key(device, group), 0);
  if (is_new) {
    if (const Status joined = fabric_.join_group(group, device->interface_index()); !joined) {
      joins_.erase(entry);
      return joined;
    }
  }
  ++entry->second;
  return {};
}

Status MulticastGroups::leave(const DevicePtr& device, const Gid& group) {
  rt::Lock lock(mutex_);
  const auto entry = joins_.find(Key(device, group));
  if (entry == joins_.end()) return fail(EADDRNOTAVAIL);
  if (--entry->second > 0) return {};
  joins_.erase(entry);
  // If it fails, the membership has gone before us, with its interface.
  (void)fabric_.leave_group(group, device->interface_index());
  return {};
}

std::uint32_t MulticastGroups::joins(const DevicePtr& device, const Gid& group) const {
  rt::Lock lock(mutex_);
  const auto entry = joins_.find(Key(device, group));
  return entry == joins_.end() ? 0 : entry->second;
}

}  // namespace hawser::verbs
