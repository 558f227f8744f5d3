// The state machine of an id as ONE table [spec 1.4, 1.5, 2.4]. Nothing else says which transition is legal and which
// state is stable; Id::move<From, To>() turns both into compile-time checks [spec 1.2.3].
#pragma once

#include <algorithm>
#include <array>

#include "cma/types.hpp"

namespace hawser::cma {

struct Transition {
  State from, to;
  const char* by;  // the call, or the event that tells of it
};

// BINDING and RESOLVING are inside of a call or a handler.
inline constexpr std::array transitions{
    Transition{State::idle, State::binding, "bind_addr, resolve_addr, listen"},
    Transition{State::binding, State::addr_bound, "bound"},
    Transition{State::binding, State::idle, "refused"},
    Transition{State::addr_bound, State::addr_query, "resolve_addr"},
    Transition{State::addr_query, State::addr_bound, "refused"},
    Transition{State::addr_query, State::resolving, "answer"},
    Transition{State::resolving, State::addr_resolved, "ADDR_RESOLVED"},
    Transition{State::resolving, State::addr_bound, "ADDR_ERROR"},
    Transition{State::addr_resolved, State::route_query, "resolve_route, set_ib_path"},
    Transition{State::route_query, State::route_resolved, "ROUTE_RESOLVED"},
    Transition{State::route_query, State::addr_resolved, "ROUTE_ERROR, refused"},
    Transition{State::route_resolved, State::connect, "connect"},
    Transition{State::connect, State::route_resolved, "request not sent"},
    Transition{State::connect, State::disconnect, "DISCONNECTED"},
    Transition{State::addr_bound, State::addrinfo_query, "resolve_ib_service"},
    Transition{State::addrinfo_query, State::addr_bound, "ADDRINFO_ERROR, refused"},
    Transition{State::addrinfo_query, State::addrinfo_resolved, "ADDRINFO_RESOLVED"},
    Transition{State::addrinfo_resolved, State::addr_query, "resolve_addr"},
    Transition{State::addrinfo_resolved, State::route_query, "resolve_route"},
    Transition{State::route_query, State::addrinfo_resolved, "ROUTE_ERROR, refused"},
    Transition{State::addr_bound, State::listen, "listen"},
    Transition{State::listen, State::addr_bound, "refused"},
};

// What may happen to an id in any state, once each: its device goes, its owner ends it. Id::claim() does these.
[[nodiscard]] constexpr bool claimable(State from, State to) {
  if (to == State::destroying) return from != State::destroying;
  return to == State::device_removal && from != State::destroying && from != State::device_removal;
}

[[nodiscard]] constexpr bool legal(State from, State to) {
  return std::ranges::any_of(transitions, [&](const Transition& t) { return t.from == from && t.to == to; });
}

// Entered and left only with the handler_mutex held, so that testing it under the handler_mutex alone is sound
// (DESIGN 4, rule 6) [spec 3.1 I1, 2.2.7, 2.4.1].
[[nodiscard]] constexpr bool stable(State state) {
  switch (state) {
    case State::connect:
    case State::listen:
    case State::disconnect:
    case State::device_removal:
    case State::destroying: return true;
    default: return false;
  }
}

[[nodiscard]] constexpr bool needs_handler_mutex(State from, State to) { return stable(from) || stable(to); }

// The number that the outside knows a state by: our transitional states show as the state they come from.
// [spec 1.2.1]
[[nodiscard]] constexpr std::uint8_t public_number(State state) {
  if (state == State::binding) return static_cast<std::uint8_t>(State::idle);
  if (state == State::resolving) return static_cast<std::uint8_t>(State::addr_query);
  return static_cast<std::uint8_t>(state);
}

}  // namespace hawser::cma
