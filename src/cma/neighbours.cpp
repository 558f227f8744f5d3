// Neighbours that change their MAC, interfaces that change theirs [spec 1.5].
#include "cma/core.hpp"
#include "cma/id.hpp"

namespace hawser::cma {

// [spec 4 #24, 7 I17]
void Core::watch(Id& id, std::uint32_t interface, const IpAddress& address, const addr::Mac& mac) {
  rt::Lock lock(mutex_);
  if (id.neighbour_.is_linked()) neighbours_.erase(neighbours_.iterator_to(id.neighbour_));  // by node, never by key
  id.neighbour_.interface = interface;
  id.neighbour_.address = address;
  id.neighbour_.mac = mac;
  neighbours_.insert(id.neighbour_);
}

void Core::unwatch(Id& id) {
  rt::Lock lock(mutex_);
  if (id.neighbour_.is_linked()) neighbours_.erase(neighbours_.iterator_to(id.neighbour_));
}

// A neighbour that is only unreachable changes nothing: timers decide, as in the kernel [spec 1.5.28].
void Core::on_neighbour(const addr::NeighbourChange& change) {
  if (!change.mac) return;
  rt::Lock lock(mutex_);
  const auto [first, last] = neighbours_.equal_range(std::pair{change.interface, change.address});
  for (auto watched = first; watched != last; ++watched) {
    // Queued at most once however many changes come, and the reference goes back if it was [spec 4 #26, #27].
    if (watched->mac != *change.mac) watched->id->queue(watched->id->neighbour_work_);
  }
}

// The interface's own MAC changed (a bond failed over): ids that use it learn of it [spec 1.5.27].
void Core::on_address_change(std::uint32_t interface) {
  rt::Lock lock(mutex_);
  for (auto& [device, ids] : attached_) {
    if (device->interface_index() != interface) continue;
    for (Id& id : ids) id.queue(id.address_change_work_);
  }
}

}  // namespace hawser::cma
