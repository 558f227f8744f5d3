// What the connection manager tells a program and is told: states, events, parameters. Values are those of
// <rdma/rdma_cma.h> and the kernel, so that either may be cast to the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hawser/types.hpp"
#include "hawser/verbs.hpp"

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

// RDMA_PS_* [spec 1.8]. Ids of ipoib are for InfiniBand interfaces, which a RoCE host has none of: they cannot be
// bound.
enum class PortSpace : std::uint16_t { ipoib = 0x0002, tcp = 0x0106, udp = 0x0111, ib = 0x013F };
enum class QpType : std::uint8_t { rc = 2, uc = 3, ud = 4 };  // enum ibv_qp_type; uc: create_qp() says EOPNOTSUPP

// Options of a vendor's queue pairs that both ends agree on (enhanced connection establishment): struct rdma_ucm_ece.
struct Ece {
  std::uint32_t vendor_id{};  // 24 bits; 0: none
  std::uint32_t attr_mod{};
  bool operator==(const Ece&) const = default;
};

// For connect and accept: struct rdma_conn_param. The private data is copied before the call returns.
struct ConnParam {
  std::span<const std::byte> private_data{};  // at most 56 bytes in connect, 196 in accept; of datagram ids 180 and 136
  std::uint8_t responder_resources{1};        // RDMA READs and atomics of the peer that are answered at once
  std::uint8_t initiator_depth{1};            // … of our own that are outstanding at once
  bool flow_control{};
  std::uint8_t retry_count{7};      // 0…7; ignored by accept
  std::uint8_t rnr_retry_count{7};  // 0…7; 7: for ever
  // Only for a program that has made the queue pair without create_qp().
  bool srq{};
  Qpn qpn{};
  // Of a datagram id that accepts: what datagrams to its queue pair must carry. 0: what the id has, else qkey_udp. The
  // queue pair of create_qp() has the id's, so say another one before it is made or not at all: else EINVAL.
  QKey qkey{};
  Ece ece{};
};

// Whom an id may send datagrams to, as an event says it: struct rdma_ud_param. AddressHandle::create() makes a
// destination of it.
struct UdParam {
  AhAttr ah_attr{};
  Qpn qpn{};
  QKey qkey{};
};

// A member of a multicast group receives what is sent to it; one that joins to send only does not, and its host tells
// the network nothing (no IGMP): RDMA_MC_JOIN_FLAG_*.
enum class JoinAs : std::uint8_t { full_member = 0, send_only = 1 };
// One membership of an id. Never used again for another one of it; 0 is none.
using MulticastHandle = Named<struct MulticastHandleTag, std::uint64_t>;

// The number that `hawser ids` shows; with the process it names the id.
using IdNumber = Named<struct IdNumberTag, std::uint32_t>;

// What a queue pair needs to go to a state: struct ib_qp_attr, as far as the connection manager knows it. A program
// needs it only for queue pairs that are not create_qp()'s.
enum class QpState : std::uint8_t { init = 1, rtr = 2, rts = 3 };  // enum ibv_qp_state
struct QpAttr {
  // init
  PKey pkey{pkey_default};
  QKey qkey{};                           // datagram ids
  bool remote_read_and_atomic_access{};  // else RDMA WRITE only
  // rtr
  AhAttr ah_attr{};
  Mtu path_mtu{Mtu::mtu_1024};
  Qpn dest_qpn{};
  Psn rq_psn{};
  std::uint8_t max_dest_rd_atomic{}, min_rnr_timer{};
  // rts
  Psn sq_psn{};
  std::uint8_t timeout{}, retry_count{}, rnr_retry{}, max_rd_atomic{};
};

}  // namespace hawser
