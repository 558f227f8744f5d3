#include "situation.hpp"

#include <algorithm>
#include <array>

#include "base/assert.hpp"

namespace hawser::scenarios {
namespace {

enum class Role : std::uint8_t { client, client_with_peer, listener, child };

struct Row {
  Situation at;
  const char* name;
  Role role = Role::client;
  bool datagrams = false;
  bool subnet = false;
};

constexpr std::array rows{
    Row{Situation::fresh, "fresh"},
    Row{Situation::bound, "bound"},
    Row{Situation::bound_shared, "bound-shared"},
    Row{Situation::addr_query, "addr-query"},
    Row{Situation::addr_resolved, "addr-resolved"},
    Row{Situation::route_query, "route-query"},
    Row{Situation::route_resolved, "route-resolved"},
    Row{Situation::request_sent, "request-sent", Role::client_with_peer},
    Row{Situation::response_here, "response-here", Role::client_with_peer},
    Row{Situation::established, "established", Role::client_with_peer},
    Row{Situation::disconnecting, "disconnecting", Role::client_with_peer},
    Row{Situation::disconnected, "disconnected", Role::client_with_peer},
    Row{Situation::removed, "removed"},
    Row{.at = Situation::served, .name = "served", .subnet = true},
    Row{.at = Situation::service_query, .name = "service-query", .subnet = true},
    Row{.at = Situation::service_found, .name = "service-found", .subnet = true},
    Row{.at = Situation::path_query, .name = "path-query", .subnet = true},
    Row{Situation::listening, "listening", Role::listener},
    Row{Situation::listening_wide, "listening-wide", Role::listener},
    Row{Situation::listening_shared, "listening-shared", Role::listener},
    Row{Situation::request_here, "request-here", Role::child},
    Row{Situation::response_sent, "response-sent", Role::child},
    Row{Situation::child_established, "child-established", Role::child},
    Row{Situation::child_disconnected, "child-disconnected", Role::child},
    Row{Situation::ud_bound, "ud-bound", Role::client, true},
    Row{Situation::ud_joining, "ud-joining", Role::client, true},
    Row{Situation::ud_member, "ud-member", Role::client, true},
    Row{Situation::ud_route_resolved, "ud-route-resolved", Role::client, true},
    Row{Situation::ud_request_sent, "ud-request-sent", Role::client_with_peer, true},
    Row{Situation::ud_answered, "ud-answered", Role::client_with_peer, true},
    Row{Situation::ud_listening, "ud-listening", Role::listener, true},
    Row{Situation::ud_request_here, "ud-request-here", Role::child, true},
    Row{Situation::ud_accepted, "ud-accepted", Role::child, true},
};

constexpr auto all = [] {
  std::array<Situation, rows.size()> list{};
  std::ranges::transform(rows, list.begin(), &Row::at);
  return list;
}();

[[nodiscard]] const Row& row(Situation at) {
  const auto found = std::ranges::find(rows, at, &Row::at);
  HW_ASSERT(found != rows.end(), "scenarios-situation-without-row");
  return *found;
}

}  // namespace

const char* name(Situation at) { return row(at).name; }
bool listens(Situation at) { return row(at).role == Role::listener; }
bool is_child(Situation at) { return row(at).role == Role::child; }
bool has_peer(Situation at) { return row(at).role == Role::client_with_peer || is_child(at); }
bool datagrams(Situation at) { return row(at).datagrams; }
bool has_subnet(Situation at) { return row(at).subnet; }
std::span<const Situation> situations() { return all; }

}  // namespace hawser::scenarios
