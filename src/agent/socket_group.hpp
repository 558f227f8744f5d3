// The sockets of UDP port 4791 with the kernel's steering between them, one per slot, and a ledger per slot; all of
// them also in flight, so that a successor finds them after the agent was killed (DESIGN 2, 3). Single-threaded.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agent/channel.hpp"
#include "agent/descriptor.hpp"
#include "agent/lease_table.hpp"
#include "agent/steering.hpp"
#include "base/result.hpp"

namespace hawser::agent {

inline constexpr std::uint32_t sockets_per_step = 4;  // a group has a multiple of this
// From the start: with more than ten sockets on a port the kernel does not look for the one that a multicast datagram
// may be for before it is delivered (early demultiplexing), which would steer it as if it were for one of the group.
inline constexpr std::uint32_t sockets_min = 12;

struct SteeringReport {
  std::uint64_t attached{};  // programs so far
  std::uint64_t instructions{}, services{}, runs_left_out{}, services_left_out{};
};

class SocketGroup {
 public:
  // A new group. EADDRINUSE if anybody holds the port, be it a group of our own uid.
  [[nodiscard]] static Result<SocketGroup> create();
  // The group of a dead agent, from the flight that its clients hold.
  [[nodiscard]] static Result<SocketGroup> adopt(Descriptor flight_in, Descriptor flight_out);

  // Sockets are made a few at a time and never closed: that would renumber the others.
  [[nodiscard]] Status grow();
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(members_.size()); }
  [[nodiscard]] int socket(std::uint32_t slot) const { return members_[slot].socket.get(); }
  [[nodiscard]] int ledger(std::uint32_t slot) const { return members_[slot].ledger.get(); }
  [[nodiscard]] int flight_in() const { return flight_in_.get(); }
  [[nodiscard]] int flight_out() const { return flight_out_.get(); }
  [[nodiscard]] LeaseTable& leases() { return leases_; }
  [[nodiscard]] const LeaseTable& leases() const { return leases_; }

  // Makes the kernel steer as the leases say, and requests for these services to their listeners.
  [[nodiscard]] Status steer(std::span<const ServiceOwner> services = {});
  [[nodiscard]] const SteeringReport& steering() const { return steering_; }
  // Throws away what waits in a slot's socket.
  void drain(std::uint32_t slot);

 private:
  struct Member {
    Descriptor socket, ledger;
  };
  SocketGroup(LeaseTable leases, Descriptor flight_in, Descriptor flight_out)
      : leases_(std::move(leases)), flight_in_(std::move(flight_in)), flight_out_(std::move(flight_out)) {}

  LeaseTable leases_;
  Descriptor flight_in_, flight_out_;
  std::vector<Member> members_;
  SteeringReport steering_;
};

}  // namespace hawser::agent
