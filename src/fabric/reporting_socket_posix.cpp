#include "fabric/reporting_socket_posix.hpp"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace hawser::fabric {
namespace {

// linux/errqueue.h needs linux/time.h, which clashes with the libc's.
struct SockExtendedErr {  // struct sock_extended_err
  std::uint32_t error;
  std::uint8_t origin, type, code, pad;
  std::uint32_t info, data;
};

constexpr std::uint8_t origin_icmp = 2, origin_icmp6 = 3;  // SO_EE_ORIGIN_*

bool says_port_unreachable(const cmsghdr& header) {
  const bool v4 = header.cmsg_level == IPPROTO_IP && header.cmsg_type == IP_RECVERR;
  const bool v6 = header.cmsg_level == IPPROTO_IPV6 && header.cmsg_type == IPV6_RECVERR;
  if ((!v4 && !v6) || header.cmsg_len < CMSG_LEN(sizeof(SockExtendedErr))) return false;
  SockExtendedErr error{};
  std::memcpy(&error, CMSG_DATA(&header), sizeof error);
  if (error.origin == origin_icmp) return error.type == ICMP_DEST_UNREACH && error.code == ICMP_PORT_UNREACH;
  return error.origin == origin_icmp6 && error.type == ICMP6_DST_UNREACH && error.code == ICMP6_DST_UNREACH_NOPORT;
}

IpAddress address_of(const sockaddr_storage& name) {
  IpAddress address;
  if (name.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &name, sizeof v6);
    std::memcpy(address.bytes.data(), &v6.sin6_addr, address.bytes.size());
    return address;
  }
  sockaddr_in v4{};
  std::memcpy(&v4, &name, sizeof v4);
  return IpAddress::v4(ntohl(v4.sin_addr.s_addr));
}

}  // namespace

Result<std::unique_ptr<ReportingSocket>> ReportingSocket::open() {
  const auto socket = open_udp_socket({.reuse_port = false, .port = 0});
  if (!socket) return fail(socket.error());
  const int on = 1;
  // Mapped addresses report at the IPv4 level. A machine without IPv6 has no such option to set.
  (void)setsockopt(*socket, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);
  if (setsockopt(*socket, IPPROTO_IP, IP_RECVERR, &on, sizeof on) != 0) {
    const int error = errno;
    close(*socket);
    return fail(error);
  }
  return std::unique_ptr<ReportingSocket>(new ReportingSocket(*socket));
}

ReportingSocket::~ReportingSocket() { close(socket_); }

Fabric& ReportingSocket::fabric() {
  int pending = 0;
  socklen_t length = sizeof pending;
  (void)getsockopt(socket_, SOL_SOCKET, SO_ERROR, &pending, &length);  // reading it clears it
  return fabric_;
}

std::optional<UnreachableReport> ReportingSocket::next() {
  std::array<std::byte, datagram_bytes_max> payload;
  alignas(cmsghdr) std::array<std::byte, 512> control;
  for (;;) {
    sockaddr_storage name{};
    iovec vector{payload.data(), payload.size()};
    msghdr message{};
    message.msg_name = &name;
    message.msg_namelen = sizeof name;
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size = recvmsg(socket_, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (size < 0) return std::nullopt;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      if (!says_port_unreachable(*header)) continue;
      return UnreachableReport{address_of(name), {payload.begin(), payload.begin() + size}};
    }
  }
}

}  // namespace hawser::fabric
