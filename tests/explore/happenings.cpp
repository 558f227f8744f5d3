// What may happen to an id from outside of its program.
#include <array>

#include "entry_points.hpp"

namespace hawser::scenarios {

using namespace std::chrono_literals;
using cma::Entry;

namespace {

constexpr addr::Mac another_mac{2, 0, 0, 0, 0, 99};

[[nodiscard]] bool anywhere(Situation) { return true; }
[[nodiscard]] bool where_requests_come(Situation at) { return listens(at) || is_child(at); }
[[nodiscard]] bool where_messages_go(Situation at) { return has_peer(at) || listens(at); }
[[nodiscard]] bool connects(Situation at) { return has_peer(at) && !datagrams(at); }

// --- The near host --------------------------------------------------------------------------------------------------

void neighbour_tells(Stage& stage) {
  stage.near.view.set_neighbour(stage.near.interface, stage.far.address, another_mac);
}
void neighbour_changes_twice(Stage& stage) {
  neighbour_tells(stage);
  stage.near.view.set_neighbour(stage.near.interface, stage.far.address, addr::Mac{2, 0, 0, 0, 0, 98});
}
void bond_fails_over(Stage& stage) { stage.near.manager->on_address_change(stage.near.interface); }
void device_goes(Stage& stage) {
  stage.cut_off = true;
  stage.near.view.set_interfaces({});
}
void device_flaps(Stage& stage) {
  stage.cut_off = true;
  stage.near.view.set_interfaces({});
  stage.near.view.set_interfaces({stage.interface});
}
// As `hawser fault remove`: the interface stays.
void device_removed(Stage& stage) {
  stage.cut_off = true;
  static_cast<void>(stage.near.devices.remove("hw_" + stage.interface.name));
}
void address_flaps(Stage& stage) {
  stage.cut_off = true;
  stage.peer_cut_off = true;  // what comes while nobody has the address is lost
  verbs::InterfaceSnapshot bare = stage.interface;
  bare.addresses.clear();
  stage.near.view.set_interfaces({bare});
  stage.near.view.set_interfaces({stage.interface});
}
void time_passes(Stage& stage) { stage.execution.sleep_until(stage.execution.world().now() + 100s); }

// --- The network ----------------------------------------------------------------------------------------------------

// From now on each message of either host arrives twice: REQ, REP, DREQ and SIDR_REQ are answered again (MRA among the
// answers), the rest is ignored.
void messages_repeated(Stage& stage) {
  stage.near.sender.repeat();
  stage.far.sender.repeat();
}
// The next one of each host is lost.
void messages_lost(Stage& stage) {
  stage.cut_off = true;
  stage.peer_cut_off = true;
  stage.near.sender.lose_next();
  stage.far.sender.lose_next();
}

// --- The other end --------------------------------------------------------------------------------------------------

void request_comes(Stage& stage) {
  if (!stage.caller->alive()) return;
  stage.caller->started(Entry::connect, stage.caller->id->connect(with_qp(0x110)).has_value());
}
void request_comes_and_goes(Stage& stage) {
  request_comes(stage);
  if (stage.caller->alive()) stage.caller->destroy();
}
void listener_ends(Stage& stage) { stage.listener->destroy(); }
// REP, SIDR_REP or RTU.
void peer_answers(Stage& stage) {
  cma::Id& id = *stage.peer->id;
  const cma::ConnParam param = with_qp(0x200);
  id.lock_handler();
  stage.peer->started(Entry::accept, id.accept(stage.peer->passive ? &param : nullptr).has_value());
  id.unlock_handler();
}
void peer_rejects(Stage& stage) { stage.peer->started(Entry::reject, stage.peer->id->reject(28, {}).has_value()); }
void peer_disconnects(Stage& stage) { static_cast<void>(stage.peer->id->disconnect()); }  // DREQ or DREP
void peer_ends(Stage& stage) { stage.peer->destroy(); }

// --- Another id on the same port ------------------------------------------------------------------------------------

[[nodiscard]] bool shares(Situation at) { return at == Situation::bound_shared; }
void sharer_listens(Stage& stage) { static_cast<void>(stage.peer->id->listen(8)); }
void third_binds(Stage& stage) {
  static_cast<void>(stage.third->id->bind_addr(socket_address(stage.near.address, service_port)));
}

constexpr std::array events{
    Happening{"neighbour-tells", false, neighbour_tells, anywhere},
    Happening{"neighbour-changes-twice", false, neighbour_changes_twice, anywhere},
    Happening{"bond-fails-over", false, bond_fails_over, anywhere},
    Happening{"device-goes", false, device_goes, anywhere},
    Happening{"device-flaps", false, device_flaps, anywhere},
    Happening{"device-removed", false, device_removed, [](Situation at) { return at != Situation::removed; }},
    Happening{"address-flaps", false, address_flaps, anywhere},
    Happening{"time-passes", false, time_passes, anywhere},
    Happening{"messages-repeated", false, messages_repeated, where_messages_go},
    Happening{"messages-lost", false, messages_lost, where_messages_go},
    Happening{"listener-ends", false, listener_ends, is_child},
    Happening{"request-comes", true, request_comes, where_requests_come},
    Happening{"request-comes-and-goes", true, request_comes_and_goes, where_requests_come},
    Happening{"peer-answers", true, peer_answers, has_peer},
    Happening{"peer-rejects", true, peer_rejects, has_peer},
    Happening{"peer-disconnects", true, peer_disconnects, connects},
    Happening{"peer-ends", true, peer_ends, has_peer},
    Happening{"sharer-listens", true, sharer_listens, shares},
    Happening{"sharer-ends", true, peer_ends, shares},
    Happening{"third-binds", false, third_binds, shares},
};

}  // namespace

std::span<const Happening> happenings() { return events; }

}  // namespace hawser::scenarios
