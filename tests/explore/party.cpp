#include "party.hpp"

#include "runtime/sanitizers_explore.hpp"
#include "stage.hpp"

namespace hawser::scenarios {

using cma::Entry;
using cma::EventType;

Party::Party(Stage& stage, Host& on, const Policy& policy, const Policy& children_policy)
    : host(on), stage_(stage), policy_(policy), child_policy_(children_policy), watched_(stage.execution) {}

void Party::create() {
  id = stage_.datagrams() ? host.manager->create_id(cma::PortSpace::udp, cma::QpType::ud, handler(), nullptr)
                          : host.manager->create_id(cma::PortSpace::tcp, cma::QpType::rc, handler(), nullptr);
}

cma::Handler Party::handler() {
  return [this](cma::Id& self, const cma::Event& event) {
    return event.type == EventType::connect_request ? on_request(self, event) : on_event(self, event);
  };
}

int Party::on_request(cma::Id& child, const cma::Event& event) {
  bool refused = false;  // which ends the child, not the listener
  static_cast<void>(watched_.event(event, [&] {
    refused = policy_ && policy_(*this, child, event) != 0;
    if (refused) return 0;
    Party& party = stage_.make(host, child_policy_, child_policy_);
    party.id = &child;
    party.passive = true;
    child.set_handler(party.handler(), nullptr);
    rt::explore::sanitizers::tsan_release(&party);  // Stage::party() acquires
    children.put(&party);
    return 0;
  }));
  return refused ? -ECONNREFUSED : 0;
}

int Party::on_event(cma::Id& self, const cma::Event& event) {
  return watched_.event(self, event, [&] {
    promises_.told(event.type);
    if (event.membership_context != nullptr) on_membership(*static_cast<Member*>(event.membership_context));
    const int result = policy_ ? policy_(*this, self, event) : 0;
    if (result != 0) id = nullptr;
    events_.put(event.type);
    return result;
  });
}

void Party::destroy() {
  cma::Id* const own = id;
  id = nullptr;
  watched_.destroy(*host.manager, own);
}

void Party::wait_for(EventType type) {
  while (events_.take() != type) continue;
}

const char* Party::missing() const {
  if (const char* const owed = promises_.missing(stage_.datagrams())) return owed;
  const TsanIgnore ignore;
  for (const Member& member : members_) {
    if (member.handle != 0 && !member.left && !member.told && !promises_.removed()) {
      return "join_multicast() was never answered";
    }
  }
  return nullptr;
}

// --- Memberships ----------------------------------------------------------------------------------------------------

void Party::on_membership(Member& member) {
  stage_.execution.check(!member.left, "an event of a membership that was left");
  stage_.execution.check(!member.told, "a membership's event twice");
  member.told = true;
}

void Party::join(const SocketAddress& group) {
  Member* joining = nullptr;
  {
    const TsanIgnore ignore;
    joining = &members_.emplace_back();
  }
  // From here on a handler may end the id.
  if (const auto handle = id->join_multicast(group, cma::JoinAs::full_member, joining)) joining->handle = *handle;
}

void Party::leave() {
  for (std::size_t number = 0; Member* const leaving = member(number); ++number) {
    if (leaving->handle == 0 || leaving->left) continue;
    const Status left = id->leave_multicast(leaving->handle);
    stage_.execution.check(left.has_value(), "leave_multicast() of a membership that there is");
    leaving->left = true;
    return;
  }
  stage_.execution.check(!id->leave_multicast(1000), "leave_multicast() of a membership that there is not");
}

Member* Party::member(std::size_t number) {
  const TsanIgnore ignore;
  return number < members_.size() ? &members_[number] : nullptr;
}

}  // namespace hawser::scenarios
