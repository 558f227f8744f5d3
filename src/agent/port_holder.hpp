// Who holds UDP port 4791, told so that its user knows what to do.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hawser::agent {

struct PortHolder {
  uid_t uid{};
  std::uint64_t inode{};  // of the socket
  pid_t pid{};            // 0: unknown (another user's)
  std::string program{};
  bool other_users_agent{};  // it is hawserd for that uid, who is not us
};

// Sockets bound to UDP `port` in this network namespace.
[[nodiscard]] std::vector<PortHolder> port_holders(std::uint16_t port);
// One sentence or two: who it is, and what to do. The kernel itself has no inode to show (rdma_rxe).
[[nodiscard]] std::string explain_port_holders(const std::vector<PortHolder>& holders, std::uint16_t port);

// The name of a program as its user knows it: the file name of its first argument. "?" if it cannot be read.
[[nodiscard]] std::string program_name(pid_t pid);

}  // namespace hawser::agent
