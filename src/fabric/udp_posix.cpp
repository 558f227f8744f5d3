#include "fabric/udp_posix.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>

#include "base/assert.hpp"
#include "base/log.hpp"
#include "base/types.hpp"

// Kernel interface numbers that the libc headers of Debian 12 keep in linux/ headers which clash with netinet/in.h.
// [spec 5.1.5]
#ifndef UDP_NO_CHECK6_RX
#define UDP_NO_CHECK6_RX 102
#endif
#ifndef IP_MULTICAST_ALL
#define IP_MULTICAST_ALL 49
#endif
#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

namespace hawser::fabric {
namespace {

constexpr std::size_t batch_max = 32;

// ---- opening

[[nodiscard]] bool set_int(int socket, int level, int option, int value) {
  return setsockopt(socket, level, option, &value, sizeof value) == 0;
}

// IPv4's options hold for the mapped addresses of a dual-stack socket too, and must be set at the IPv4 level.
[[nodiscard]] bool set_options_v4(int socket) {
  return set_int(socket, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO) &&  // DF, identification 0: the ICRC covers it
         set_int(socket, IPPROTO_IP, IP_RECVTOS, 1) && set_int(socket, IPPROTO_IP, IP_RECVTTL, 1) &&
         set_int(socket, IPPROTO_IP, IP_MULTICAST_ALL, 0);
}

[[nodiscard]] bool set_options_v6(int socket) {
  return set_int(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0) &&
         set_int(socket, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO) &&
         set_int(socket, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) && set_int(socket, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) &&
         set_int(socket, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) && set_int(socket, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0) &&
         set_int(socket, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1);  // rdma_rxe sends checksum 0 over IPv6 as well
}

// Benchmarks and tests run at stock buffer sizes; this makes them smaller than what the machine has been tuned to.
void cap_receive_buffer(int socket) {
  const char* text = std::getenv("HAWSER_RCVBUF");
  if (text == nullptr || *text == '\0') return;
  int bytes = 0;
  const std::string_view view(text);
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), bytes);
  if (error != std::errc() || end != view.data() + view.size() || bytes <= 0) {
    log::warning("HAWSER_RCVBUF=\"{}\" is not a number of bytes; ignored", text);
    return;
  }
  // The kernel doubles what it is given (for its own bookkeeping) and reports the doubled value.
  (void)set_int(socket, SOL_SOCKET, SO_RCVBUF, bytes / 2);
}

[[nodiscard]] int bind_to(int socket, bool v6, const IpAddress& ip, std::uint16_t port) {
  if (v6) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    std::ranges::copy(ip.bytes, address.sin6_addr.s6_addr);
    return bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(ip.v4_host_order());
  return bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// ---- control messages

// Room for what one datagram carries in either direction: packet info, TOS or class, TTL or hop limit.
constexpr std::size_t control_bytes = CMSG_SPACE(sizeof(in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int));
struct alignas(cmsghdr) Control {
  std::array<std::byte, control_bytes> bytes;
};

class ControlWriter {
 public:
  explicit ControlWriter(msghdr& message) : message_(message), next_(CMSG_FIRSTHDR(&message)) {}
  template <class T>
  void add(int level, int type, const T& value) {
    HW_ASSERT(next_ != nullptr, "udp-control-overflow");
    next_->cmsg_level = level;
    next_->cmsg_type = type;
    next_->cmsg_len = CMSG_LEN(sizeof value);
    std::memcpy(CMSG_DATA(next_), &value, sizeof value);
    used_ += CMSG_SPACE(sizeof value);
    next_ = CMSG_NXTHDR(&message_, next_);
  }
  void finish() { message_.msg_controllen = used_; }

 private:
  msghdr& message_;
  cmsghdr* next_;
  std::size_t used_ = 0;
};

// One int or byte of a received control message: the kernel uses both for the same thing.
[[nodiscard]] std::uint8_t small_value(const cmsghdr& header) {
  if (header.cmsg_len >= CMSG_LEN(sizeof(int))) {
    int value = 0;
    std::memcpy(&value, CMSG_DATA(&header), sizeof value);
    return static_cast<std::uint8_t>(value);
  }
  return *CMSG_DATA(&header);
}

void read_control(msghdr& message, InDatagram& datagram) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level == IPPROTO_IPV6) {
      if (header->cmsg_type == IPV6_PKTINFO) {
        in6_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(header), sizeof info);
        std::memcpy(datagram.destination.bytes.data(), &info.ipi6_addr, 16);
        datagram.interface = info.ipi6_ifindex;
      } else if (header->cmsg_type == IPV6_TCLASS) {
        datagram.traffic_class = small_value(*header);
      } else if (header->cmsg_type == IPV6_HOPLIMIT) {
        datagram.hop_limit = small_value(*header);
      }
    } else if (header->cmsg_level == IPPROTO_IP) {
      if (header->cmsg_type == IP_PKTINFO) {
        in_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(header), sizeof info);
        datagram.destination = IpAddress::v4(ntohl(info.ipi_addr.s_addr));
        datagram.interface = static_cast<std::uint32_t>(info.ipi_ifindex);
      } else if (header->cmsg_type == IP_TOS) {
        datagram.traffic_class = small_value(*header);
      } else if (header->cmsg_type == IP_TTL) {
        datagram.hop_limit = small_value(*header);
      }
    }
  }
}

void read_source(const sockaddr_storage& address, InDatagram& datagram) {
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    std::memcpy(datagram.source.bytes.data(), &v6.sin6_addr, 16);
    datagram.source_port = ntohs(v6.sin6_port);
  } else {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    datagram.source = IpAddress::v4(ntohl(v4.sin_addr.s_addr));
    datagram.source_port = ntohs(v4.sin_port);
  }
}

// ---- sending

// One datagram's address and control messages.
struct Envelope {
  sockaddr_storage address;
  Control control;
};

void fill_v4_control(const OutDatagram& datagram, ControlWriter& control) {
  control.add(IPPROTO_IP, IP_TOS, datagram.traffic_class);
  // The kernel takes TTL 1…255 only.
  control.add(IPPROTO_IP, IP_TTL, static_cast<int>(std::max<std::uint8_t>(datagram.hop_limit, 1)));
}

void fill_dual_stack(const OutDatagram& datagram, Envelope& envelope, msghdr& message) {
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(roce_v2_port);
  std::memcpy(&to.sin6_addr, datagram.destination.bytes.data(), 16);
  if (datagram.destination.is_link_local()) to.sin6_scope_id = datagram.interface;
  std::memcpy(&envelope.address, &to, sizeof to);
  message.msg_namelen = sizeof to;

  ControlWriter control(message);
  in6_pktinfo info{};
  std::memcpy(&info.ipi6_addr, datagram.source.bytes.data(), 16);
  info.ipi6_ifindex = datagram.interface;
  control.add(IPPROTO_IPV6, IPV6_PKTINFO, info);
  if (datagram.destination.is_v4()) {
    fill_v4_control(datagram, control);
  } else {
    control.add(IPPROTO_IPV6, IPV6_TCLASS, static_cast<int>(datagram.traffic_class));
    control.add(IPPROTO_IPV6, IPV6_HOPLIMIT, static_cast<int>(datagram.hop_limit));
  }
  control.finish();
}

void fill_v4_only(const OutDatagram& datagram, Envelope& envelope, msghdr& message) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(roce_v2_port);
  to.sin_addr.s_addr = htonl(datagram.destination.v4_host_order());
  std::memcpy(&envelope.address, &to, sizeof to);
  message.msg_namelen = sizeof to;

  ControlWriter control(message);
  in_pktinfo info{};
  info.ipi_ifindex = static_cast<int>(datagram.interface);
  info.ipi_spec_dst.s_addr = htonl(datagram.source.v4_host_order());
  control.add(IPPROTO_IP, IP_PKTINFO, info);
  fill_v4_control(datagram, control);
  control.finish();
}

// Says once per kind of error what it means; the datagram is lost as on a wire.
void explain(int error, const OutDatagram& datagram) {
  static std::array<std::atomic<bool>, 256> explained{};
  if (error == EAGAIN || error == ENOBUFS || error < 0 || error >= static_cast<int>(explained.size())) return;
  if (explained[static_cast<std::size_t>(error)].exchange(true)) return;
  const char* advice = "the datagram is lost, as on a wire";
  switch (error) {
    case EMSGSIZE:
      advice = "the path takes no datagram of this size (RoCE is never fragmented): use a smaller path MTU";
      break;
    case EPERM: advice = "a firewall of this host forbids it: allow UDP port 4791"; break;
    case ENETUNREACH:
    case EHOSTUNREACH: advice = "there is no route to it"; break;
    case EINVAL:
    case EADDRNOTAVAIL: advice = "the source address is not (any more) an address of this host"; break;
    default: break;
  }
  log::warning("cannot send {} bytes from {} to {}: {}: {} (said once)", datagram.payload.size(),
               datagram.source.text(), datagram.destination.text(), std::generic_category().message(error), advice);
}

}  // namespace

Result<int> open_udp_socket(const UdpSocketOptions& options) {
  bool v6 = true;
  int socket = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
  if (socket < 0 && errno == EAFNOSUPPORT) {  // ipv6.disable=1
    v6 = false;
    socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
  }
  if (socket < 0) return fail(errno);
  const IpAddress ip = options.address.value_or(v6 ? IpAddress::any_v6() : IpAddress::any_v4());
  if (!v6 && !ip.is_v4()) {
    close(socket);
    return fail(EADDRNOTAVAIL);
  }
  const bool configured = (v6 ? set_options_v6(socket) : set_int(socket, IPPROTO_IP, IP_PKTINFO, 1)) &&
                          set_options_v4(socket) &&
                          (!options.reuse_port || set_int(socket, SOL_SOCKET, SO_REUSEPORT, 1));
  cap_receive_buffer(socket);
  if (!configured || bind_to(socket, v6, ip, options.port) != 0) {
    const int error = errno;
    close(socket);
    return fail(error);
  }
  return socket;
}

struct UdpFabric::ReceiveBuffers {
  std::array<std::array<std::byte, datagram_bytes_max>, batch_max> payload;
  std::array<sockaddr_storage, batch_max> source;
  std::array<Control, batch_max> control;
};

UdpFabric::UdpFabric(int socket) : socket_(socket), buffers_(new ReceiveBuffers) {
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  HW_ASSERT(getsockname(socket, reinterpret_cast<sockaddr*>(&own), &length) == 0, "udp-fabric-no-socket");
  InDatagram name;
  read_source(own, name);
  dual_stack_ = own.ss_family == AF_INET6;
  port_ = name.source_port;
}

UdpFabric::~UdpFabric() = default;

std::size_t UdpFabric::send(std::span<const OutDatagram> datagrams) {
  std::size_t accepted = 0;
  while (!datagrams.empty()) {
    const std::size_t n = std::min(datagrams.size(), batch_max);
    accepted += send_batch(datagrams.first(n));
    datagrams = datagrams.subspan(n);
  }
  sent_.fetch_add(accepted, std::memory_order_relaxed);
  return accepted;
}

std::size_t UdpFabric::send_batch(std::span<const OutDatagram> batch) {
  std::array<Envelope, batch_max> envelopes;
  std::array<iovec, batch_max> vectors;
  std::array<mmsghdr, batch_max> messages;
  std::array<const OutDatagram*, batch_max> origins{};
  std::size_t count = 0;
  for (const OutDatagram& datagram : batch) {
    if (!dual_stack_ && (!datagram.destination.is_v4() || !datagram.source.is_v4())) {
      explain(EHOSTUNREACH, datagram);  // no IPv6 on this machine
      continue;
    }
    vectors[count] = {const_cast<std::byte*>(datagram.payload.data()), datagram.payload.size()};
    msghdr& message = messages[count].msg_hdr;
    message = {};
    message.msg_name = &envelopes[count].address;
    message.msg_iov = &vectors[count];
    message.msg_iovlen = 1;
    envelopes[count].control.bytes.fill(std::byte{0});  // CMSG_NXTHDR looks at the next header's length
    message.msg_control = envelopes[count].control.bytes.data();
    message.msg_controllen = control_bytes;
    if (dual_stack_) {
      fill_dual_stack(datagram, envelopes[count], message);
    } else {
      fill_v4_only(datagram, envelopes[count], message);
    }
    origins[count++] = &datagram;
  }
  std::size_t accepted = 0;
  for (std::size_t next = 0; next < count;) {
    const int n = sendmmsg(socket_, messages.data() + next, static_cast<unsigned>(count - next), MSG_DONTWAIT);
    if (n > 0) {
      accepted += static_cast<std::size_t>(n);
      next += static_cast<std::size_t>(n);
    } else if (errno != EINTR) {
      explain(errno, *origins[next++]);  // this one is lost, the others may still pass
    }
  }
  send_failed_.fetch_add(batch.size() - accepted, std::memory_order_relaxed);
  return accepted;
}

std::size_t UdpFabric::receive(std::span<InDatagram> out) {
  const std::size_t wanted = std::min(out.size(), batch_max);
  std::array<iovec, batch_max> vectors;
  std::array<mmsghdr, batch_max> messages;
  for (std::size_t i = 0; i < wanted; ++i) {
    vectors[i] = {buffers_->payload[i].data(), datagram_bytes_max};
    messages[i] = {};
    msghdr& message = messages[i].msg_hdr;
    message.msg_name = &buffers_->source[i];
    message.msg_namelen = sizeof buffers_->source[i];
    message.msg_iov = &vectors[i];
    message.msg_iovlen = 1;
    message.msg_control = buffers_->control[i].bytes.data();
    message.msg_controllen = control_bytes;
  }
  const int n = recvmmsg(socket_, messages.data(), static_cast<unsigned>(wanted), MSG_DONTWAIT, nullptr);
  if (n <= 0) return 0;
  std::size_t taken = 0;
  std::size_t truncated = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    if ((messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) {  // longer than any packet of RoCE
      ++truncated;
      continue;
    }
    InDatagram& datagram = out[taken++];
    datagram = {};
    read_source(buffers_->source[i], datagram);
    read_control(messages[i].msg_hdr, datagram);
    datagram.payload = {buffers_->payload[i].data(), messages[i].msg_len};
  }
  received_.fetch_add(static_cast<std::uint64_t>(n), std::memory_order_relaxed);
  if (truncated != 0) truncated_.fetch_add(truncated, std::memory_order_relaxed);
  return taken;
}

// Senders need no membership and set the hop limit of each datagram themselves; that the kernel loops a copy back to
// the members of the sending host is its default (IP_MULTICAST_LOOP).
Status UdpFabric::change_membership(int option_v4, int option_v6, const IpAddress& group, std::uint32_t interface) {
  if (!group.is_multicast() || interface == 0) return fail(EINVAL);
  int result = 0;
  if (group.is_v4()) {
    ip_mreqn request{};
    request.imr_multiaddr.s_addr = htonl(group.v4_host_order());
    request.imr_ifindex = static_cast<int>(interface);
    result = setsockopt(socket_, IPPROTO_IP, option_v4, &request, sizeof request);
  } else {
    if (!dual_stack_) return fail(EAFNOSUPPORT);
    ipv6_mreq request{};
    std::memcpy(&request.ipv6mr_multiaddr, group.bytes.data(), group.bytes.size());
    request.ipv6mr_interface = interface;
    result = setsockopt(socket_, IPPROTO_IPV6, option_v6, &request, sizeof request);
  }
  return result == 0 ? Status{} : fail(errno);
}

Status UdpFabric::join_group(const IpAddress& group, std::uint32_t interface) {
  return change_membership(IP_ADD_MEMBERSHIP, IPV6_JOIN_GROUP, group, interface);
}

Status UdpFabric::leave_group(const IpAddress& group, std::uint32_t interface) {
  return change_membership(IP_DROP_MEMBERSHIP, IPV6_LEAVE_GROUP, group, interface);
}

Counters UdpFabric::counters() const {
  Counters counters;
  counters.sent = sent_.load(std::memory_order_relaxed);
  counters.send_failed = send_failed_.load(std::memory_order_relaxed);
  counters.received = received_.load(std::memory_order_relaxed);
  counters.truncated = truncated_.load(std::memory_order_relaxed);
  return counters;
}

}  // namespace hawser::fabric
