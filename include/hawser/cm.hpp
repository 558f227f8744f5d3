// What the connection manager tells a program and is told: states, events, parameters. Values are those of
// <rdma/rdma_cma.h> and the kernel, so that either may be cast to the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hawser/types.hpp"

namespace hawser {

// Where an id is in its life: enum rdma_cm_state of the kernel.
enum class IdState : std::uint8_t {
  idle = 0,
  addr_query = 1,
  addr_resolved = 2,
  route_query = 3,
  route_resolved = 4,
  connect = 5,
  disconnect = 6,
  addr_bound = 7,
  listen = 8,
  device_removal = 9,
  destroying = 10,
  addrinfo_query = 11,
  addrinfo_resolved = 12,
};
[[nodiscard]] const char* name(IdState state);  // "ROUTE_RESOLVED"

enum class CmEventType : std::uint8_t {  // enum rdma_cm_event_type; rdma_get_cm_event(3) says when each comes
  addr_resolved = 0,
  addr_error = 1,
  route_resolved = 2,
  route_error = 3,
  connect_request = 4,
  connect_response = 5,
  connect_error = 6,
  unreachable = 7,
  rejected = 8,
  established = 9,
  disconnected = 10,
  device_removal = 11,
  multicast_join = 12,
  multicast_error = 13,
  addr_change = 14,
  timewait_exit = 15,
  addrinfo_resolved = 16,
  addrinfo_error = 17,
  user = 18,
  internal = 19,
};
[[nodiscard]] const char* name(CmEventType type);  // "RDMA_CM_EVENT_ESTABLISHED"

enum class PortSpace : std::uint16_t { ipoib = 0x0002, tcp = 0x0106, udp = 0x0111, ib = 0x013F };  // RDMA_PS_*
enum class QpType : std::uint8_t { rc = 2, uc = 3, ud = 4 };                                       // enum ibv_qp_type

// For connect and accept: struct rdma_conn_param. The private data is copied before the call returns.
struct ConnParam {
  std::span<const std::byte> private_data{};  // at most 56 bytes in connect, 196 in accept
  std::uint8_t responder_resources{1};        // RDMA READs and atomics of the peer that are answered at once
  std::uint8_t initiator_depth{1};            // … of our own that are outstanding at once
  bool flow_control{};
  std::uint8_t retry_count{7};      // 0…7; ignored by accept
  std::uint8_t rnr_retry_count{7};  // 0…7; 7: for ever
  // Only for a program that has made the queue pair without create_qp().
  bool srq{};
  Qpn qpn{};
};

}  // namespace hawser
