#include "entry_points.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>

namespace hawser::scenarios {

using namespace std::chrono_literals;
using cma::Entry;

namespace {

constexpr std::uint16_t service_port = 7471;
constexpr addr::Mac another_mac{2, 0, 0, 0, 0, 99};
constexpr rt::Duration query_timeout = 2s;

[[nodiscard]] bool is_child(Situation at) { return at >= Situation::request_here; }
[[nodiscard]] bool listens(Situation at) { return at >= Situation::listening && at < Situation::request_here; }
[[nodiscard]] bool has_peer(Situation at) {
  return is_child(at) || (at >= Situation::request_sent && at <= Situation::disconnected);
}
[[nodiscard]] bool anywhere(Situation) { return true; }

void bind_addr(Stage& stage, Party&, cma::Id& id) {
  static_cast<void>(id.bind_addr(socket_address(stage.near.address, 0)));
}
void resolve_addr(Stage& stage, Party& party, cma::Id& id) {
  const SocketAddress to = socket_address(stage.far.address, service_port);
  party.started(Entry::resolve_addr, id.resolve_addr(nullptr, to, query_timeout).has_value());
}
void resolve_route(Stage&, Party& party, cma::Id& id) {
  party.started(Entry::resolve_route, id.resolve_route(query_timeout).has_value());
}
void set_path(Stage& stage, Party&, cma::Id& id) {
  cm::Path path;
  path.local = stage.near.address;
  path.remote = stage.far.address;
  static_cast<void>(id.set_path(path));
}
// First with more private data than fit, which enters CONNECT and goes back.
void connect(Stage&, Party& party, cma::Id& id) {
  const std::array<std::byte, 100> too_much{};
  cma::ConnParam refused = with_qp(0x100);
  refused.private_data = too_much;
  static_cast<void>(id.connect(refused));
  party.started(Entry::connect, id.connect(with_qp(0x100)).has_value());
}
void connect_locked(Stage&, Party& party, cma::Id& id) {
  party.started(Entry::connect, id.connect_locked(with_qp(0x100)).has_value());
}
void listen(Stage&, Party&, cma::Id& id) { static_cast<void>(id.listen(8)); }
// Of a request with a parameter, of a response without.
void accept(Stage&, Party& party, cma::Id& id) {
  const cma::ConnParam param = with_qp(0x200);
  party.started(Entry::accept, id.accept(party.passive ? &param : nullptr).has_value());
}
void reject(Stage&, Party& party, cma::Id& id) { party.started(Entry::reject, id.reject(28, {}).has_value()); }
void disconnect(Stage&, Party&, cma::Id& id) { static_cast<void>(id.disconnect()); }
void notify_established(Stage&, Party& party, cma::Id& id) {
  party.started(Entry::notify_established, id.notify_established().has_value());
}
// What makes these more than refusals, a subnet administrator and a datagram id, has scenarios of its own
// (cma-subnet-answers, cma-multicast).
void resolve_service(Stage&, Party&, cma::Id& id) { static_cast<void>(id.resolve_service({.name = "s", .id = {}})); }
void join_multicast(Stage&, Party&, cma::Id& id) {
  static_cast<void>(id.join_multicast(socket_address(IpAddress::v4(0xEF010101), 0), cma::JoinAs::full_member, nullptr));
}
void leave_multicast(Stage&, Party&, cma::Id& id) { static_cast<void>(id.leave_multicast(1)); }
void set_option(Stage&, Party&, cma::Id& id) {
  static_cast<void>(id.set_reuse_address(true));
  static_cast<void>(id.set_af_only(true));
  static_cast<void>(id.set_service_type(8));
  static_cast<void>(id.set_ack_timeout(14));
  static_cast<void>(id.set_min_rnr_timer(12));
}
void destroy_id(Stage&, Party& party, cma::Id&) { party.destroy(); }

template <Situation... Where>
[[nodiscard]] bool in(Situation at) {
  return ((at == Where) || ...);
}

constexpr auto from_outside = Handlers::wait;
constexpr auto from_handlers_too = Handlers::may_call;
constexpr auto under_the_mutex = Handlers::must_not_run;

constexpr std::array entries{
    EntryPoint{Entry::bind_addr, from_outside, bind_addr, in<Situation::fresh>},
    EntryPoint{Entry::resolve_addr, from_outside, resolve_addr, in<Situation::fresh, Situation::bound>},
    EntryPoint{Entry::resolve_service, from_outside, resolve_service, in<Situation::bound>},
    EntryPoint{Entry::resolve_route, from_handlers_too, resolve_route, in<Situation::addr_resolved>},
    EntryPoint{Entry::set_path, from_outside, set_path, in<Situation::addr_resolved>},
    EntryPoint{Entry::connect, from_outside, connect, in<Situation::route_resolved>},
    EntryPoint{Entry::connect_locked, under_the_mutex, connect_locked, in<Situation::route_resolved>},
    EntryPoint{Entry::listen, from_outside, listen, in<Situation::fresh, Situation::bound>},
    EntryPoint{Entry::accept, under_the_mutex, accept, in<Situation::response_here, Situation::request_here>},
    EntryPoint{Entry::reject, from_handlers_too, reject, in<Situation::response_here, Situation::request_here>},
    EntryPoint{Entry::disconnect, from_handlers_too, disconnect, has_peer},
    EntryPoint{Entry::notify_established, from_outside, notify_established, in<Situation::response_sent>},
    EntryPoint{Entry::join_multicast, from_outside, join_multicast, in<Situation::bound>},
    EntryPoint{Entry::leave_multicast, from_outside, leave_multicast, in<Situation::bound>},
    EntryPoint{Entry::set_option, from_outside, set_option, anywhere},
    EntryPoint{Entry::destroy_id, from_outside, destroy_id, anywhere},
};

// --- Happenings -----------------------------------------------------------------------------------------------------

void neighbour_tells(Stage& stage) {
  stage.near.view.set_neighbour(stage.near.interface, stage.far.address, another_mac);
}
void neighbour_changes_twice(Stage& stage) {
  neighbour_tells(stage);
  stage.near.view.set_neighbour(stage.near.interface, stage.far.address, addr::Mac{2, 0, 0, 0, 0, 98});
}
void bond_fails_over(Stage& stage) { stage.near.manager->on_address_change(stage.near.interface); }
void device_goes(Stage& stage) { stage.near.view.set_interfaces({}); }
void device_flaps(Stage& stage) {
  stage.near.view.set_interfaces({});
  stage.near.view.set_interfaces({stage.interface});
}
void time_passes(Stage& stage) { stage.execution.sleep_until(stage.execution.world().now() + 100s); }
void request_comes(Stage& stage) { connect(stage, *stage.caller, *stage.caller->id); }
void peer_answers(Stage& stage) {
  cma::Id& id = *stage.peer->id;
  id.lock_handler();
  accept(stage, *stage.peer, id);
  id.unlock_handler();
}
void peer_rejects(Stage& stage) { reject(stage, *stage.peer, *stage.peer->id); }
void peer_disconnects(Stage& stage) { disconnect(stage, *stage.peer, *stage.peer->id); }
void peer_ends(Stage& stage) { stage.peer->destroy(); }

constexpr std::array events{
    Happening{"neighbour-tells", false, neighbour_tells, anywhere},
    Happening{"neighbour-changes-twice", false, neighbour_changes_twice, anywhere},
    Happening{"bond-fails-over", false, bond_fails_over, anywhere},
    Happening{"device-goes", false, device_goes, anywhere},
    Happening{"device-flaps", false, device_flaps, anywhere},
    Happening{"time-passes", false, time_passes, anywhere},
    Happening{"request-comes", true, request_comes, listens},
    Happening{"peer-answers", true, peer_answers, has_peer},
    Happening{"peer-rejects", true, peer_rejects, has_peer},
    Happening{"peer-disconnects", true, peer_disconnects, has_peer},
    Happening{"peer-ends", true, peer_ends, has_peer},
};

}  // namespace

void EntryPoint::operator()(Stage& stage, Party& party, cma::Id& id) const {
  if (handlers != Handlers::must_not_run) return call(stage, party, id);
  id.lock_handler();
  call(stage, party, id);
  id.unlock_handler();
}

std::span<const EntryPoint> entry_points() {
  for (int number = 1; std::string_view(cma::name(static_cast<Entry>(number))) != "unknown"; ++number) {
    const auto entry = static_cast<Entry>(number);
    if (std::ranges::find(entries, entry, &EntryPoint::entry) != entries.end()) continue;
    fmt::print(stderr, "tests/explore/entry_points.cpp has no row for the entry point {}\n", cma::name(entry));
    std::exit(2);
  }
  return entries;
}
std::span<const Happening> happenings() { return events; }

}  // namespace hawser::scenarios
