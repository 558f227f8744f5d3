#include "ucm/multicast.hpp"

#include "ucm/context.hpp"
#include "ucm/handler_lock.hpp"
#include "ucm/manager.hpp"
#include "ucm/run.hpp"

namespace hawser::ucm {

void MulticastTable::insert(Entry entry) {
  rt::Lock lock(mutex_);
  const Handle handle = entry.multicast->handle;
  entries_.emplace(handle, std::move(entry));
}

std::optional<Handle> MulticastTable::owner_of(Handle multicast) const {
  rt::Lock lock(mutex_);
  const auto found = entries_.find(multicast);
  if (found == entries_.end()) return std::nullopt;
  return found->second.multicast->owner;
}

std::optional<MulticastTable::Entry> MulticastTable::take(Handle multicast) {
  rt::Lock lock(mutex_);
  const auto found = entries_.find(multicast);
  if (found == entries_.end()) return std::nullopt;
  std::optional<Entry> taken = std::move(found->second);
  entries_.erase(found);
  return taken;
}

void MulticastTable::erase_all_of(Handle owner) {
  rt::Lock lock(mutex_);
  std::erase_if(entries_, [owner](const auto& entry) { return entry.second.multicast->owner == owner; });
}

// The event may be queued before this returns, so the membership has its handle first.
Result<Handle> Manager::join_multicast(File& file, Handle id, const SocketAddress& group, std::uint64_t uid,
                                       int join_flags) {
  if (join_flags != static_cast<int>(cma::JoinAs::full_member) &&
      join_flags != static_cast<int>(cma::JoinAs::send_only)) {
    return fail(EINVAL);
  }
  return run(file, id, true, [&](Context& context, cma::Id& target) -> Result<Handle> {
    const Handle handle = table_.new_handle();
    auto multicast = std::make_unique<Multicast>(Multicast{handle, context.handle, uid});
    const auto joined = target.join_multicast(group, static_cast<cma::JoinAs>(join_flags), multicast.get());
    if (!joined) return fail(joined.error());
    multicasts_.insert({std::move(multicast), *joined});
    return handle;
  });
}

// [spec 6.2 #17]
Result<unsigned> Manager::leave_multicast(File& file, Handle multicast) {
  const auto owner = multicasts_.owner_of(multicast);
  if (!owner) return fail(ENOENT);
  return run(file, *owner, false, [&](Context& context, cma::Id& target) -> Result<unsigned> {
    const auto taken = multicasts_.take(multicast);
    if (!taken) return fail(ENOENT);
    (void)target.leave_multicast(taken->membership);
    HandlerLock handlers(target);  // so that the id stays on its channel
    return table_.file_of(context.handle)->forget_multicast(context.handle, multicast);
  });
}

}  // namespace hawser::ucm
