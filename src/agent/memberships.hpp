// Multicast memberships that a process left behind: they belong to its slot's socket, which outlives it, and no socket
// can be asked for its own. The kernel lists who is joined by whoever: leaving those that are none of ours is harmless.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/ip.hpp"
#include "fabric/fabric.hpp"

namespace hawser::agent {

struct Membership {
  IpAddress group;
  std::uint32_t interface{};
  bool operator==(const Membership&) const = default;
};

// The formats of /proc/net/igmp and /proc/net/igmp6. What is not understood is passed over.
[[nodiscard]] std::vector<Membership> parse_igmp(std::string_view text);
[[nodiscard]] std::vector<Membership> parse_igmp6(std::string_view text);

// Leaves every group of this network namespace that `fabric` is a member of.
void leave_all_groups(fabric::Fabric& fabric);

}  // namespace hawser::agent
