// The fabric of production: UDP sockets of an ordinary user (DESIGN 2, "Facts to rely on").
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.hpp"
#include "base/types.hpp"
#include "fabric/fabric.hpp"

namespace hawser::fabric {

struct UdpSocketOptions {
  bool reuse_port{};                   // one of a group that an agent keeps; otherwise the port is exclusively ours
  std::uint16_t port{roce_v2_port};    // 0: any (tests)
  std::optional<IpAddress> address{};  // of this address only; not link-local
};

// A socket as UdpFabric needs it, bound to the wildcard address or to one: dual-stack, or AF_INET where the kernel has
// no IPv6. EADDRINUSE, EADDRNOTAVAIL.
// The descriptor is close-on-exec and non-blocking and belongs to the caller.
[[nodiscard]] Result<int> open_udp_socket(const UdpSocketOptions& options);

// Sends from and receives on a socket of open_udp_socket(), which stays the caller's and outlives this. Thread-safe as
// Fabric says; no locks.
class UdpFabric final : public Fabric {
 public:
  explicit UdpFabric(int socket);
  ~UdpFabric() override;

  std::size_t send(std::span<const OutDatagram> datagrams) override;
  std::size_t receive(std::span<InDatagram> out) override;
  Status join_group(const IpAddress& group, std::uint32_t interface) override;
  Status leave_group(const IpAddress& group, std::uint32_t interface) override;
  [[nodiscard]] std::uint16_t source_port() const override { return port_; }
  [[nodiscard]] int poll_fd() const override { return socket_; }
  [[nodiscard]] Counters counters() const override;

 private:
  struct ReceiveBuffers;
  std::size_t send_batch(std::span<const OutDatagram> batch);
  Status change_membership(int option_v4, int option_v6, const IpAddress& group, std::uint32_t interface);

  const int socket_;
  bool dual_stack_ = true;
  std::uint16_t port_ = 0;
  std::unique_ptr<ReceiveBuffers> buffers_;
  std::atomic<std::uint64_t> sent_{0}, send_failed_{0}, received_{0}, truncated_{0};
};

}  // namespace hawser::fabric
