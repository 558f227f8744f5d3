// Memberships in multicast groups: whoever ends the id, and however its event stands, each is left exactly once and
// tells nothing afterwards [spec 3.7 I11, 3.8 I12].
#include <array>
#include <memory>
#include <vector>

#include "host.hpp"
#include "notes.hpp"
#include "scenarios.hpp"
#include "watched.hpp"

namespace hawser::scenarios {
namespace {

using namespace std::chrono_literals;
using cma::EventType;
using rt::explore::Execution;

const Gid group = IpAddress::v4(0xEF010101);  // 239.1.1.1

// One membership as its program sees it.
struct Member {
  cma::MembershipHandle handle{};
  bool told = false, left = false;
};

// Two memberships of one group on one id, which is ended by its owner or by its handler while their events are on their
// way and the device may go. One of the two may be left before.
void memberships_end(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  Host host(execution, network, 1);
  Watched watched(execution);
  std::array<Member, 2> members;
  const std::size_t leaves = execution.choose(3);  // which one; 2: none
  const bool removed = execution.choose(2) == 1;
  const bool handler_ends = leaves == 2 && execution.choose(2) == 1;
  std::weak_ptr<const verbs::Device> device = host.devices.list().front();

  cma::Id* const id = host.manager->create_id(
      cma::PortSpace::udp, cma::QpType::ud,
      [&](cma::Id&, const cma::Event& event) {
        return watched.event(event, [&] {
          if (event.type != EventType::multicast_join) return 0;
          auto& member = *static_cast<Member*>(event.membership_context);
          execution.check(!member.left, "an event of a membership that was left");
          execution.check(!member.told, "a membership's event twice");
          member.told = true;
          return handler_ends ? 1 : 0;
        });
      },
      nullptr);
  execution.check(id->bind_addr(socket_address(host.address, 0)).has_value(), "bind_addr");
  host.service.start();
  rt::ThreadId remover;
  if (removed) remover = execution.spawn("remover", [&] { host.view.set_interfaces({}); });
  bool joined = false;
  for (Member& member : members) {
    const auto handle = id->join_multicast(socket_address(group, 0), cma::JoinAs::full_member, &member);
    joined = handle.has_value();
    execution.check(joined || removed, "join_multicast");
    if (joined) member.handle = *handle;
    if (handler_ends) break;  // from here on the id belongs to its handler
  }
  if (leaves < 2 && members[leaves].handle != 0) {
    execution.check(id->leave_multicast(members[leaves].handle).has_value(), "leave_multicast");
    members[leaves].left = true;
  }
  // A removal may have suppressed the event, and with it the handler's end of the id.
  if (!handler_ends) watched.destroy(*host.manager, id);
  if (removed) execution.join(remover);
  execution.sleep_until(execution.world().now() + 1s);
  if (handler_ends && host.manager->live_ids() != 0) {
    execution.check(removed || !joined, "the handler did not end the id");
    watched.destroy(*host.manager, id);
  }
  host.service.stop();
  execution.check(host.manager->live_ids() == 0, "the id is still there");
  if (const auto alive = device.lock()) {
    execution.check(host.groups.joins(std::const_pointer_cast<verbs::Device>(alive), group) == 0, "joined is not left");
  }
  execution.check(!removed || device.expired(), "a membership still holds the device");
}

// A bound id resolves an address, is answered or gives up, and joins meanwhile. Only its state decides whether it may
// [spec 1.4.31], by what it is at one moment [spec 3.4 I7]; and whatever becomes of the state, each membership is told
// [spec 3.4 I6].
void join_while_resolving(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  Host host(execution, network, 1);
  host.view.answer_for_unknown_neighbours(false);
  Watched watched(execution);
  const IpAddress peer = IpAddress::v4(0x0A000002);
  std::size_t joined = 0;
  Note<std::size_t> told;
  cma::Id* const id = host.manager->create_id(
      cma::PortSpace::udp, cma::QpType::ud,
      [&](cma::Id&, const cma::Event& event) {
        return watched.event(event, [&] {
          if (event.type == EventType::multicast_join) told = told + 1;
          return 0;
        });
      },
      nullptr);
  execution.check(id->bind_addr(socket_address(host.address, 0)).has_value(), "bind_addr");
  const auto join = [&] {
    const cma::State before = id->state();
    const bool may = before == cma::State::addr_bound || before == cma::State::addr_resolved;
    const bool has = id->join_multicast(socket_address(group, 0), cma::JoinAs::full_member, nullptr).has_value();
    execution.check(has || !may, "refused in a state that allows it");
    if (has) ++joined;
  };
  host.service.start();
  join();
  const rt::Time gives_up = execution.world().now() + 1s;
  execution.check(id->resolve_addr(nullptr, socket_address(peer, 7471), 1s).has_value(), "resolve_addr");
  rt::ThreadId neighbour;
  const bool answers = execution.choose(2) == 1;
  if (answers) {
    neighbour = execution.spawn("neighbour",
                                [&] { host.view.set_neighbour(host.interface, peer, addr::Mac{2, 0, 0, 0, 0, 99}); });
  } else {
    execution.sleep_until(gives_up);
  }
  join();
  join();
  if (answers) execution.join(neighbour);
  execution.sleep_until(gives_up + 1s);
  execution.check(told == joined, "a membership was never told");
  watched.destroy(*host.manager, id);
  host.service.stop();
  execution.check(host.groups.joins(host.devices.list().front(), group) == 0, "joined is not left");
}

}  // namespace

std::vector<Planned> multicast_scenarios() {
  return {
      {.scenario = {.name = "cma-multicast",
                    .about = "memberships against leave, destroy, the handler's end and device removal [spec 3.7, 3.8]",
                    .probes = {"cma-membership-cancelled", "cma-membership-of-claimed"},
                    .body = memberships_end},
       .plans = {{"dfs:1", 0}, {"pct:3", 2000}, {"random", 1000}}},
      {.scenario = {.name = "cma-join-while-resolving",
                    .about = "join_multicast() against the end of an address query [spec 3.4]",
                    .probes = {},
                    .body = join_while_resolving},
       .plans = {{"dfs:1", 0}, {"pct:3", 1000}, {"random", 500}}},
  };
}

}  // namespace hawser::scenarios
