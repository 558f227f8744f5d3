#include "agent/channel.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include <fmt/format.h>

#include "base/log.hpp"

#ifndef SO_PEERPIDFD  // newer than Debian 12's headers
#define SO_PEERPIDFD 77
#endif

namespace hawser::agent {
namespace {

struct Name {
  sockaddr_un address{};
  socklen_t length{};
};

[[nodiscard]] Name agent_name() {
  Name name;
  name.address.sun_family = AF_UNIX;
  const std::string text = fmt::format("hawser-agent-{}", geteuid());
  std::ranges::copy(text, name.address.sun_path + 1);  // a leading zero byte: abstract
  name.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  return name;
}

[[nodiscard]] Result<Descriptor> seqpacket_socket(int flags) {
  Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
  if (!socket) return fail(errno);
  return socket;
}

}  // namespace

Result<Descriptor> connect_to_agent() {
  auto channel = seqpacket_socket(0);
  if (!channel) return channel;
  const Name name = agent_name();
  while (connect(channel->get(), reinterpret_cast<const sockaddr*>(&name.address), name.length) != 0) {
    if (errno != EINTR) return fail(errno);
  }
  // Anybody may take an abstract name; only an agent of our own may have our connections.
  const auto peer = peer_of(channel->get());
  if (!peer) return fail(peer.error());
  if (peer->uid != geteuid()) {
    log::error("the name of the agent (abstract socket @hawser-agent-{}) is held by process {} of uid {}: end that",
               geteuid(), peer->pid, peer->uid);
    return fail(EPERM);
  }
  return channel;
}

Result<Descriptor> listen_as_agent() {
  auto channel = seqpacket_socket(SOCK_NONBLOCK);
  if (!channel) return channel;
  const Name name = agent_name();
  if (bind(channel->get(), reinterpret_cast<const sockaddr*>(&name.address), name.length) != 0) return fail(errno);
  if (listen(channel->get(), SOMAXCONN) != 0) return fail(errno);
  return channel;
}

Descriptor reserve_descriptor() { return Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

Result<ChannelPair> make_channel_pair() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return fail(errno);
  return ChannelPair{Descriptor(ends[0]), Descriptor(ends[1])};
}

Result<Peer> peer_of(int channel) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return fail(errno);
  return Peer{credentials.pid, credentials.uid};
}

Result<Descriptor> pidfd_of_peer(int channel) {
  int pidfd = -1;
  socklen_t length = sizeof pidfd;
  // The process itself, even if its pid should be another's by now; kernels before 6.5 know only the pid.
  if (getsockopt(channel, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0) {
    (void)fcntl(pidfd, F_SETFD, FD_CLOEXEC);
    return Descriptor(pidfd);
  }
  const auto peer = peer_of(channel);
  if (!peer) return fail(peer.error());
  return pidfd_of(peer->pid);
}

Result<Descriptor> pidfd_of(pid_t pid) {
  if (pid <= 0) return fail(ESRCH);  // a process of another pid namespace
  Descriptor pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) return fail(errno);
  return pidfd;
}

Status send_message(int channel, std::span<const std::byte> message, std::span<const int> descriptors, int flags) {
  iovec vector{const_cast<std::byte*>(message.data()), message.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(message_descriptors_max * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    if (descriptors.size() > message_descriptors_max) return fail(E2BIG);
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  while (sendmsg(channel, &header, MSG_NOSIGNAL | flags) < 0) {
    if (errno != EINTR) return fail(errno);
  }
  return {};
}

Result<Received> receive_message(int channel, std::span<std::byte> buffer, int flags) {
  iovec vector{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(message_descriptors_max * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t size = 0;
  while ((size = recvmsg(channel, &header, MSG_CMSG_CLOEXEC | flags)) < 0) {
    if (errno == ECONNRESET) return Received{};
    if (errno != EINTR) return fail(errno);
  }
  Received received;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; at + sizeof(int) <= part->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + at, sizeof fd);
      received.descriptors.emplace_back(fd);
    }
  }
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return fail(EMSGSIZE);
  received.bytes = buffer.first(static_cast<std::size_t>(size));
  return received;
}

}  // namespace hawser::agent
