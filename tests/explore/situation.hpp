// Where an id is in its life when the exploration of a pair begins.
#pragma once

#include <cstdint>
#include <span>

namespace hawser::scenarios {

enum class Situation : std::uint8_t {
  fresh,
  bound,
  bound_shared,  // to a port that another id shares, and a third one would like to
  addr_query,    // and nobody answers
  addr_resolved,
  route_query,  // the answer is on its way
  route_resolved,
  request_sent,
  response_here,  // on the connecting side
  established,
  disconnecting,  // by itself; the peer has not answered
  disconnected,
  removed,
  // On a device with a subnet administrator.
  served,  // bound
  service_query,
  service_found,
  path_query,
  // A listener.
  listening,         // on an address
  listening_wide,    // on the wildcard
  listening_shared,  // beside another id on another address of the device, on the same port
  // A listener's child.
  request_here,
  response_sent,
  child_established,
  child_disconnected,
  // Datagrams.
  ud_bound,
  ud_joining,  // a group; the event is on its way
  ud_member,
  ud_route_resolved,
  ud_request_sent,
  ud_answered,
  ud_listening,
  ud_request_here,  // a listener's child
  ud_accepted,
};

[[nodiscard]] const char* name(Situation at);
[[nodiscard]] bool listens(Situation at);
[[nodiscard]] bool is_child(Situation at);
[[nodiscard]] bool has_peer(Situation at);    // somebody at the other end
[[nodiscard]] bool datagrams(Situation at);   // a UD id
[[nodiscard]] bool has_subnet(Situation at);  // a subnet administrator answers
[[nodiscard]] std::span<const Situation> situations();

}  // namespace hawser::scenarios
