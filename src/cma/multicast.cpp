// join_multicast, leave_multicast: groups on RoCE [spec 1.4.31-1.4.33, 1.13]. No queue pair is touched here [spec 3.6
// I10].
#include "cma/multicast.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/probe.hpp"
#include "cma/core.hpp"
#include "cma/id.hpp"
#include "cma/loopback.hpp"

namespace hawser::cma {

namespace {

constexpr std::uint8_t group_hop_limit = 64;

// What is wrong with a group, before anything is taken [spec 1.4.32]; an errno of 0: nothing.
std::pair<int, Rule> check_group(const SocketAddress& group, const verbs::Device& device) {
  if (group.family != Family::ib && group.ip.is_any()) return {EINVAL, Rule::no_group};
  if (group.family != Family::inet) return {EOPNOTSUPP, Rule::group_not_ipv4};
  if (!group.ip.is_multicast()) return {ENODEV, Rule::no_group};
  if (!verbs::roce_mtu(device.interface_mtu())) return {EINVAL, Rule::group_refused};
  return {};
}

}  // namespace

Membership::Membership(Id& id, MembershipHandle own_handle, const Event& first_event)
    : handle(own_handle), event(first_event), work([this, &id] { id.on_membership(*this); }) {}

// The event is complete before its work is queued: the work needs the id and nothing that may change [spec 3.8 I12].
// [spec 4 #22, 3.4 A]
Result<MembershipHandle> Id::join_multicast(const SocketAddress& group, JoinAs as, void* context) {
  Entered entered(contract_, Entry::join_multicast, HW_CALL_SITE);
  const State now = state();  // one snapshot [spec 3.4 A, 3.4 I7]
  const verbs::DevicePtr device = this->device();
  const auto refused = [&](int errno_value, Rule rule) {
    return cma::refuse(errno_value, Entry::join_multicast, now, rule);
  };
  if ((now != State::addr_bound && now != State::addr_resolved) || device == nullptr) {
    return refused(EINVAL, Rule::bound_or_resolved);
  }
  if (qp_type_ != QpType::ud) return refused(EINVAL, Rule::datagrams_only);
  if (const auto [error, rule] = check_group(group, *device); error != 0) return refused(error, rule);
  if (as == JoinAs::full_member) {  // [spec 1.13.2]
    if (const Status joined = core_.services.groups.join(device, group.ip); !joined) {
      log::warning("cannot join {} on {}: {}", group.ip.text(), device->name(), joined.error().message());
      return refused(ENODEV, Rule::group_refused);
    }
  }
  MembershipHandle handle = 0;
  rt::Work* work = nullptr;
  {
    rt::Lock lock(data_mutex_);
    handle = next_membership_++;
    auto membership = std::make_unique<Membership>(*this, handle, membership_event(group.ip, *device, context));
    membership->device = device;
    membership->group = group.ip;
    membership->joined = as == JoinAs::full_member;
    work = &membership->work;
    memberships_.push_back(std::move(membership));
  }
  entered.leave();  // once the work is queued, its handler may end the id
  queue(*work);
  return handle;
}

// MULTICAST_JOIN: how to send to the group [spec 1.12.11, 1.13.1, 1.13.3]. MULTICAST_ERROR: the id's address is none of
// the device's any more.
Event Id::membership_event(const Gid& group, const verbs::Device& device, void* context) const {
  Event event{.type = EventType::multicast_join};
  event.membership_context = context;
  const Gid local = gid_of(source_.ip);
  if (!device.gid_index(local)) {
    event.type = EventType::multicast_error;
    event.status = -EINVAL;
    return event;
  }
  event.ud.target = {.local = local,
                     .remote = group,
                     .interface = device.interface_index(),
                     .traffic_class = options_.service_type.value_or(0),
                     .hop_limit = group_hop_limit,
                     .qpn = qpn_multicast,
                     .qkey = qkey_.value != 0 ? qkey_ : qkey_default};
  return event;
}

// Whatever state the id is in meanwhile, but for its end [spec 1.5.26, 3.4 I6, 3.4 B].
void Id::on_membership(const Membership& membership) {
  handler_mutex_.lock();
  if (over(state())) HW_PROBE("cma-membership-of-claimed");
  finish_work(membership.event);
}

Status Id::leave_multicast(MembershipHandle handle) {
  if (!contract_.allowed_here(Entry::leave_multicast, HW_CALL_SITE)) {
    return refusal(EDEADLK, Entry::leave_multicast, Rule::not_in_handler);
  }
  Entered entered(contract_, Entry::leave_multicast, HW_CALL_SITE);
  std::unique_ptr<Membership> membership;
  {
    rt::Lock lock(data_mutex_);
    const auto found = std::ranges::find(memberships_, handle, &Membership::handle);
    if (found == memberships_.end()) return refusal(EADDRNOTAVAIL, Entry::leave_multicast, Rule::no_membership);
    membership = std::move(*found);
    memberships_.erase(found);
  }
  end_membership(std::move(membership));
  return {};
}

void Id::leave_all_groups() {
  for (;;) {
    std::unique_ptr<Membership> membership;
    {
      rt::Lock lock(data_mutex_);
      if (memberships_.empty()) return;
      membership = std::move(memberships_.back());
      memberships_.pop_back();
    }
    end_membership(std::move(membership));
  }
}

// The one place that ends a membership [spec 1.13.4, 4 #31]. Waits for its handler, so without any handler_mutex.
// [spec 4 #21, 3.7 I11]
void Id::end_membership(std::unique_ptr<Membership> membership) {
  if (membership->joined) static_cast<void>(core_.services.groups.leave(membership->device, membership->group));
  if (core_.services.dispatcher.cancel_sync(membership->work)) {
    HW_PROBE("cma-membership-cancelled");
    put();  // the work's reference
  }
}

}  // namespace hawser::cma
