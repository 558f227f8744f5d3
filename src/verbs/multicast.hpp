// Which multicast groups this process is a member of. The connection manager joins for rdma_join_multicast, queue pairs
// join for ibv_attach_mcast; the network sees one membership of each group on each device.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "fabric/fabric.hpp"
#include "runtime/sync.hpp"
#include "verbs/device.hpp"

namespace hawser::verbs {

// Thread-safe.
class MulticastGroups {
 public:
  explicit MulticastGroups(fabric::Fabric& fabric) : fabric_(fabric) {}
  MulticastGroups(const MulticastGroups&) = delete;
  MulticastGroups& operator=(const MulticastGroups&) = delete;

  // Counted: the first join of a group on a device makes the process a member (IGMP or MLD on its interface), the leave
  // that matches the last one ends it. EINVAL: no multicast address; otherwise what Fabric::join_group() says.
  Status join(const DevicePtr& device, const Gid& group);
  // EADDRNOTAVAIL: not joined.
  Status leave(const DevicePtr& device, const Gid& group);
  // Joins that have not been left.
  [[nodiscard]] std::uint32_t joins(const DevicePtr& device, const Gid& group) const;

 private:
  using Key = std::pair<DevicePtr, Gid>;

  fabric::Fabric& fabric_;
  mutable rt::Mutex mutex_{rt::LockRank::verbs_object};
  std::map<Key, std::uint32_t> joins_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::verbs
