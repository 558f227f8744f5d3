#include "agent/port_holder.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

namespace hawser::agent {
namespace {

namespace fs = std::filesystem;

// /proc/net/udp: "sl: LOCAL:PORT REMOTE:PORT st tx:rx tr:when retrnsmt uid timeout inode …"
void read_table(const char* path, std::uint16_t port, std::vector<PortHolder>& holders) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);  // headings
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string number, local, remote, state, queues, timer, retransmits, timeout;
    PortHolder holder;
    if (!(fields >> number >> local >> remote >> state >> queues >> timer >> retransmits >> holder.uid >> timeout >>
          holder.inode)) {
      continue;
    }
    const std::string port_text = local.substr(local.rfind(':') + 1);
    unsigned value = 0;
    std::from_chars(port_text.data(), port_text.data() + port_text.size(), value, 16);
    if (value == port) holders.push_back(holder);
  }
}

[[nodiscard]] bool holds_socket(const fs::path& process, std::uint64_t inode) {
  const std::string wanted = fmt::format("socket:[{}]", inode);
  std::error_code error;
  for (fs::directory_iterator entry(process / "fd", error), end; !error && entry != end; entry.increment(error)) {
    std::error_code unreadable;
    if (fs::read_symlink(entry->path(), unreadable) == wanted) return true;
  }
  return false;
}

[[nodiscard]] pid_t find_process(std::uint64_t inode) {
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename();
    pid_t pid = 0;
    const auto [stop, bad] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (bad == std::errc() && stop == name.data() + name.size() && holds_socket(entry->path(), inode)) return pid;
  }
  return 0;
}

// Whether an agent of that user has its name in this network namespace (see agent_name() in channel.cpp).
[[nodiscard]] bool has_agent(uid_t uid) {
  std::ifstream file("/proc/net/unix");
  const std::string name = fmt::format(" @hawser-agent-{}", uid);
  for (std::string line; std::getline(file, line);) {
    if (line.ends_with(name)) return true;
  }
  return false;
}

}  // namespace

std::vector<PortHolder> port_holders(std::uint16_t port) {
  std::vector<PortHolder> holders;
  read_table("/proc/net/udp", port, holders);
  read_table("/proc/net/udp6", port, holders);
  for (PortHolder& holder : holders) {
    holder.other_users_agent = holder.uid != geteuid() && has_agent(holder.uid);
    if (holder.inode == 0) continue;
    holder.pid = find_process(holder.inode);
    if (holder.pid != 0) holder.program = program_name(holder.pid);
  }
  return holders;
}

std::string explain_port_holders(const std::vector<PortHolder>& holders, std::uint16_t port) {
  if (holders.empty()) {
    return fmt::format("UDP port {} cannot be had, and no socket in this network namespace is seen to hold it", port);
  }
  // A holder that can be named helps most.
  const auto named = std::ranges::find_if(holders, [](const PortHolder& h) { return h.pid != 0; });
  const PortHolder& holder = named != holders.end() ? *named : holders.front();
  if (holder.other_users_agent) {
    return fmt::format(
        "UDP port {} is held by the Hawser of uid {}, whose programs are running: a network namespace has the Hawser "
        "of "
        "one user at a time. Wait for their end, or run in a network namespace of its own (unshare -rn, or ip netns "
        "exec)",
        port, holder.uid);
  }
  const std::string advice =
      "Hawser needs this port: end that, or run in a network namespace of its own (unshare -rn, or ip netns exec)";
  if (holder.pid != 0) {
    return fmt::format("UDP port {} is held by process {} ({}) of uid {}. {}", port, holder.pid, holder.program,
                       holder.uid, advice);
  }
  if (holder.uid == 0) {
    return fmt::format("UDP port {} is held by uid 0: a program of root, or the kernel's own rdma_rxe (rdma link). {}",
                       port, advice);
  }
  return fmt::format("UDP port {} is held by a process of uid {}. {}", port, holder.uid, advice);
}

std::string program_name(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/cmdline", pid));
  std::string first;
  if (!std::getline(file, first, '\0') || first.empty()) return "?";
  return first.substr(first.rfind('/') + 1);
}

}  // namespace hawser::agent
