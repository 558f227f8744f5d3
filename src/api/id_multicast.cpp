// The id's memberships in groups [spec 1.13], which its queue pair follows.
#include <algorithm>
#include <utility>

#include "api/id_impl.hpp"

namespace hawser {

// The queue pair receives what is sent to the group from when the program hears that the membership stands.
void IdImpl::follow_membership(CmEvent& event, const void* which) {
  rt::Lock lock(mutex_);
  const auto found = std::ranges::find_if(memberships_, [which](const auto& one) { return one.get() == which; });
  if (found == memberships_.end()) return;
  Membership& membership = **found;
  event.multicast = membership.handle;
  event.multicast_context = membership.context;
  if (event.type != CmEventType::multicast_join) return;
  membership.stands = true;
  if (const Status attached = attach(membership); !attached) {
    event.type = CmEventType::multicast_error;
    event.status = -errno_of(attached);
  }
}

Status IdImpl::attach(Membership& membership) {
  if (!qp_ || membership.as != JoinAs::full_member) return {};
  const Status attached = qp_->attach(membership.group);
  if (attached) membership.attached = true;
  return attached;
}

// The group stays attached as long as another membership needs it.
void IdImpl::detach(Membership& membership) {
  if (!std::exchange(membership.attached, false) || !qp_) return;
  const bool needed = std::ranges::any_of(
      memberships_, [&](const auto& other) { return other->attached && other->group == membership.group; });
  if (!needed) qp_->detach(membership.group);
}

Result<MulticastHandle> IdImpl::join_multicast(const SocketAddress& group, JoinAs as, void* context) {
  auto fresh = std::make_unique<Membership>(Membership{.handle = {}, .group = group.ip, .as = as, .context = context});
  Membership* const membership = fresh.get();
  {
    rt::Lock lock(mutex_);
    membership->handle = MulticastHandle(++joins_);
    memberships_.push_back(std::move(fresh));  // its event may come before we are back
  }
  const MulticastHandle handle = membership->handle;
  const auto joined = id_->join_multicast(group, static_cast<cma::JoinAs>(as), membership);
  if (!joined) {
    rt::Lock lock(mutex_);
    std::erase_if(memberships_, [membership](const auto& one) { return one.get() == membership; });
    return fail(joined.error());
  }
  rt::Lock lock(mutex_);
  membership->lower = *joined;
  return handle;
}

Status IdImpl::leave_multicast(MulticastHandle handle) {
  if (const Status may = outside_of_handler(cma::Entry::leave_multicast); !may) return may;
  cma::MembershipHandle lower = 0;  // which is none
  const auto named = [handle](const auto& one) { return one->handle == handle; };
  {
    rt::Lock lock(mutex_);
    const auto found = std::ranges::find_if(memberships_, named);
    if (found != memberships_.end()) lower = (*found)->lower;
  }
  if (Status left = id_->leave_multicast(lower); !left) return left;
  {
    rt::Lock lock(mutex_);
    const auto found = std::ranges::find_if(memberships_, named);
    detach(**found);
    memberships_.erase(found);
  }
  if (const auto to = sink(); to && to->on_leave) to->on_leave(*this, handle);
  return {};
}

}  // namespace hawser
