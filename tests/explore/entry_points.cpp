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

[[nodiscard]] bool anywhere(Situation) { return true; }
[[nodiscard]] bool connects(Situation at) { return has_peer(at) && !datagrams(at); }

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
void resolve_service(Stage&, Party& party, cma::Id& id) {
  party.started(Entry::resolve_service, id.resolve_service({.name = "s", .id = {}}).has_value());
}
void join_multicast(Stage&, Party& party, cma::Id&) { party.join(socket_address(stage_group, 0)); }
void leave_multicast(Stage&, Party& party, cma::Id&) { party.leave(); }
void set_option(Stage&, Party&, cma::Id& id) {
  static_cast<void>(id.set_reuse_address(true));
  static_cast<void>(id.set_af_only(true));
  static_cast<void>(id.set_service_type(8));
  static_cast<void>(id.set_ack_timeout(14));
  static_cast<void>(id.set_min_rnr_timer(12));
  static_cast<void>(id.set_response_timeout(20));
  static_cast<void>(id.set_retries(3));
  static_cast<void>(id.set_report_unreachable(true));
  id.set_qp(Qpn(0x300), false);
}
// What a program reads to bring its queue pair up.
void query(Stage&, Party&, cma::Id& id) {
  for (const auto target : {cm::QpTarget::init, cm::QpTarget::rtr, cm::QpTarget::rts}) {
    static_cast<void>(id.qp_attributes(target));
  }
  static_cast<void>(id.route());
  static_cast<void>(id.services());
}
void destroy_id(Stage&, Party& party, cma::Id&) { party.destroy(); }

using enum Situation;
template <Situation... Where>
[[nodiscard]] bool in(Situation at) {
  return ((at == Where) || ...);
}

constexpr auto from_outside = Handlers::wait;
constexpr auto from_handlers_too = Handlers::may_call;
constexpr auto under_the_mutex = Handlers::must_not_run;

constexpr std::array entries{
    EntryPoint{"bind_addr", Entry::bind_addr, from_outside, bind_addr, in<fresh>},
    EntryPoint{"resolve_addr", Entry::resolve_addr, from_outside, resolve_addr,
               in<fresh, bound, served, service_found>},
    EntryPoint{"resolve_service", Entry::resolve_service, from_outside, resolve_service, in<bound, served>},
    EntryPoint{"resolve_route", Entry::resolve_route, from_handlers_too, resolve_route,
               in<addr_resolved, service_found>},
    EntryPoint{"set_path", Entry::set_path, from_outside, set_path, in<addr_resolved>},
    EntryPoint{"connect", Entry::connect, from_outside, connect, in<route_resolved, ud_route_resolved>},
    EntryPoint{"connect_locked", Entry::connect_locked, under_the_mutex, connect_locked,
               in<route_resolved, ud_route_resolved>},
    EntryPoint{"listen", Entry::listen, from_outside, listen, in<fresh, bound>},
    EntryPoint{"accept", Entry::accept, under_the_mutex, accept, in<response_here, request_here, ud_request_here>},
    EntryPoint{"reject", Entry::reject, from_handlers_too, reject, in<response_here, request_here, ud_request_here>},
    EntryPoint{"disconnect", Entry::disconnect, from_handlers_too, disconnect, connects},
    EntryPoint{"notify_established", Entry::notify_established, from_outside, notify_established, in<response_sent>},
    EntryPoint{"join_multicast", Entry::join_multicast, from_outside, join_multicast, in<ud_bound, ud_member>},
    EntryPoint{"leave_multicast", Entry::leave_multicast, from_outside, leave_multicast, in<ud_joining, ud_member>},
    EntryPoint{"set_option", Entry::set_option, from_outside, set_option, anywhere},
    EntryPoint{"query", Entry::none, from_handlers_too, query, anywhere},
    EntryPoint{"destroy_id", Entry::destroy_id, from_outside, destroy_id, anywhere},
};

}  // namespace

void EntryPoint::operator()(Stage& stage, Party& party, cma::Id& id) const {
  if (handlers != Handlers::must_not_run) return call(stage, party, id);
  id.lock_handler();
  call(stage, party, id);
  id.unlock_handler();
}

std::span<const EntryPoint> entry_points() {
  for (int number = 1; number <= static_cast<int>(cma::last_own_entry); ++number) {
    const auto entry = static_cast<Entry>(number);
    if (std::ranges::find(entries, entry, &EntryPoint::entry) != entries.end()) continue;
    fmt::print(stderr, "tests/explore/entry_points.cpp has no row for the entry point {}\n", cma::name(entry));
    std::exit(2);
  }
  return entries;
}

}  // namespace hawser::scenarios
