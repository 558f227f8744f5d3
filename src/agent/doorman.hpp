// What arrives on slot 0: requests for whoever listens, strays for their owners, and messages for nobody, which the
// doorman answers (DESIGN 2). Single-threaded.
#pragma once

#include <cstdint>
#include <functional>

#include "agent/connection_index.hpp"
#include "agent/lease_table.hpp"
#include "agent/mad_port.hpp"
#include "agent/port_registry.hpp"
#include "fabric/fabric.hpp"
#include "runtime/time.hpp"

namespace hawser::agent {

struct DoormanCounters {
  std::uint64_t received{}, malformed{}, bad_icrc{}, relayed{}, relay_failed{}, requests{}, duplicates{}, rejected{},
      answered{}, unknown_qp{}, dropped{};
};

class Doorman {
 public:
  // Gives a datagram to the process of a live slot; false if that failed.
  using Relay = std::function<bool(std::uint32_t slot, const fabric::InDatagram& datagram)>;
  Doorman(fabric::Fabric& fabric, const LeaseTable& leases, ConnectionIndex& connections, const PortRegistry& ports,
          Relay relay)
      : fabric_(fabric), leases_(leases), connections_(connections), ports_(ports), relay_(std::move(relay)) {}

  void on_datagram(const fabric::InDatagram& datagram, rt::Time now);
  [[nodiscard]] const DoormanCounters& counters() const { return counters_; }

 private:
  void on_request(const ArrivedMad& mad, const cm::Req& request, const fabric::InDatagram& datagram, rt::Time now);
  void on_service_request(const ArrivedMad& mad, const cm::SidrReq& request, const fabric::InDatagram& datagram,
                          rt::Time now);
  void on_message_to_id(const ArrivedMad& mad, CommId id, const fabric::InDatagram& datagram);
  void on_timeout_reject(const cm::Rej& reject, const fabric::InDatagram& datagram);
  void relay(std::uint32_t slot, const fabric::InDatagram& datagram);
  [[nodiscard]] bool is_live(std::uint32_t slot) const { return leases_.state(slot) == LeaseState::live; }
  // The slot that has taken a request before, by the index of connections.
  using Known = std::function<std::optional<std::uint32_t>()>;
  std::optional<std::uint32_t> destination_of(const Known& known, ServiceId service, const IpAddress& destination,
                                              std::uint32_t interface, rt::Time now);

  fabric::Fabric& fabric_;
  const LeaseTable& leases_;
  ConnectionIndex& connections_;
  const PortRegistry& ports_;
  const Relay relay_;
  rt::Time refreshed_{};
  DoormanCounters counters_;
};

}  // namespace hawser::agent
