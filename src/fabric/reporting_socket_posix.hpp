// For datagrams whose sender wants to hear that nobody receives them: ICMP "port unreachable".
//
// A socket of its own, at any free port. The process's socket of port 4791 does not do: it is one of a group, and the
// kernel gives an ICMP message to whichever socket of the group a hash picks. Receivers answer to port 4791 whatever
// the source port was.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/result.hpp"
#include "fabric/udp_posix.hpp"

namespace hawser::fabric {

struct UnreachableReport {
  IpAddress destination;           // that the datagram went to
  std::vector<std::byte> payload;  // as much of it as was quoted
};

// Thread-safe for senders; next() is for one caller at a time.
class ReportingSocket {
 public:
  [[nodiscard]] static Result<std::unique_ptr<ReportingSocket>> open();
  ~ReportingSocket();
  ReportingSocket(const ReportingSocket&) = delete;
  ReportingSocket& operator=(const ReportingSocket&) = delete;

  // To send through; nothing arrives at it. Called before each send: an error that was reported would fail the next.
  [[nodiscard]] Fabric& fabric();
  // Shows POLLERR while there are reports.
  [[nodiscard]] int poll_fd() const { return socket_; }
  [[nodiscard]] std::optional<UnreachableReport> next();

 private:
  explicit ReportingSocket(int socket) : socket_(socket), fabric_(socket) {}

  const int socket_;
  UdpFabric fabric_;
};

}  // namespace hawser::fabric
