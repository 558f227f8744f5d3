// How a datagram moves: the seam between RoCEv2 and UDP sockets, the same-host lane or a simulated network.
//
// A fabric is one process's share of UDP port 4791 on one host: it sees the UDP payload (BTH … ICRC), nothing else.
// It loses, duplicates and reorders like any network; whoever needs more keeps its own books.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/ip.hpp"
#include "base/result.hpp"

namespace hawser::fabric {

// Largest UDP payload of ours: BTH + the largest extended headers + 4096 bytes + pad + ICRC fit well.
inline constexpr std::size_t datagram_bytes_max = 4096 + 256;

// To be sent to port 4791 of `destination`. The payload is copied before send() returns.
struct OutDatagram {
  IpAddress source;  // pinned: the ICRC covers it
  IpAddress destination;
  std::uint32_t interface{};  // index, if needs_interface(); else 0
  std::uint8_t traffic_class{};
  std::uint8_t hop_limit{64};
  std::span<const std::byte> payload;
};

// Whether a datagram must say by which interface it goes.
[[nodiscard]] inline bool needs_interface(const IpAddress& source, const IpAddress& destination) {
  return source.is_link_local() || destination.is_link_local() || destination.is_multicast();
}

struct InDatagram {
  IpAddress source;
  IpAddress destination;
  std::uint32_t interface{};  // index of the interface it came in on
  std::uint16_t source_port{};
  std::uint8_t traffic_class{};
  std::uint8_t hop_limit{};
  std::span<std::byte> payload;  // valid until the next receive()
};

struct Counters {
  std::uint64_t sent{}, send_failed{}, received{}, truncated{}, fault_dropped{},
      fault_duplicated{};  // received: truncated too
};

class Fabric {
 public:
  virtual ~Fabric() = default;
  // Sends each datagram (identification 0, never fragmented). Thread-safe, never blocks; what the local stack does not
  // accept is lost as on a wire, and counted. Returns how many were accepted.
  virtual std::size_t send(std::span<const OutDatagram> datagrams) = 0;
  // Fills `out` from the front with what has arrived; 0 when nothing has. One caller at a time.
  virtual std::size_t receive(std::span<InDatagram> out) = 0;
  // From now on receive() gives one copy of each datagram that arrives for `group` on the interface of this index, one
  // sent by this host included. EINVAL: no multicast address. EADDRINUSE: joined already. ENODEV: no such interface.
  // ENOBUFS: more groups than net.ipv4.igmp_max_memberships.
  virtual Status join_group(const IpAddress& /*group*/, std::uint32_t /*interface*/) { return fail(EOPNOTSUPP); }
  // EADDRNOTAVAIL or ENODEV: not joined (any more: memberships go with their interface).
  virtual Status leave_group(const IpAddress& /*group*/, std::uint32_t /*interface*/) { return fail(EOPNOTSUPP); }
  // The UDP source port of everything this fabric sends (the ICRC covers it).
  [[nodiscard]] virtual std::uint16_t source_port() const = 0;
  // Readable while receive() would return something; -1 on the simulated network.
  [[nodiscard]] virtual int poll_fd() const = 0;
  [[nodiscard]] virtual Counters counters() const = 0;
};

}  // namespace hawser::fabric
