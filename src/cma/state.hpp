// The state machine of an id as ONE table [spec 1.4, 1.5, 2.4]. Nothing else says which transition is legal and which
// state is stable; Id::move<From, To>() turns both into compile-time checks [spec 1.2.3].
#pragma once

#include <algorithm>
#include <array>

#include "cma/types.hpp"

namespace hawser::cma {

struct Transition {
  State from, to;
  bool operator==(const Transition&) const = default;
};

inline constexpr std::array transitions{
    Transition{State::idle, State::binding},               // bind_addr, or an automatic bind
    Transition{State::binding, State::addr_bound},         //
    Transition{State::binding, State::idle},               // the address or the port was refused
    Transition{State::addr_bound, State::addr_query},      // resolve_addr
    Transition{State::addr_query, State::addr_bound},      // refused at once
    Transition{State::addr_query, State::resolving},       // the answer is here, the device not yet attached
    Transition{State::resolving, State::addr_resolved},    //
    Transition{State::resolving, State::addr_bound},       // ADDR_ERROR
    Transition{State::addr_resolved, State::route_query},  // resolve_route, set_path
    Transition{State::route_query, State::route_resolved},
    Transition{State::route_query, State::addr_resolved},
    Transition{State::route_resolved, State::connect},     // connect
    Transition{State::connect, State::route_resolved},     // the request could not be sent
    Transition{State::connect, State::disconnect},         // DREQ, DREP, or no answer to our DREQ
    Transition{State::addr_bound, State::addrinfo_query},  // resolve_service
    Transition{State::addrinfo_query, State::addr_bound},  // refused at once, or ADDRINFO_ERROR
    Transition{State::addrinfo_query, State::addrinfo_resolved},
    Transition{State::addrinfo_resolved, State::addr_query},   // resolve_addr: an address of the program's choice
    Transition{State::addrinfo_resolved, State::route_query},  // resolve_route: the first service found
    Transition{State::route_query, State::addrinfo_resolved},
    Transition{State::addr_bound, State::listen},  // listen
    Transition{State::listen, State::addr_bound},  // some device or the port refused
};

// What may happen to an id in any state, once each: its device goes, its owner ends it. Id::claim() does these.
[[nodiscard]] constexpr bool claimable(State from, State to) {
  if (to == State::destroying) return from != State::destroying;
  return to == State::device_removal && from != State::destroying && from != State::device_removal;
}

[[nodiscard]] constexpr bool legal(State from, State to) {
  return std::ranges::find(transitions, Transition{from, to}) != transitions.end();
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
