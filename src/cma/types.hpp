// What the connection manager tells and is told [spec 1.2, 1.3, 1.10].
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ip.hpp"
#include "base/types.hpp"
#include "cm/types.hpp"

namespace hawser::cma {

// States of an id. The numbers are ABI (restrack, ledger) [spec 1.2]; those from 100 on are Hawser's own transitional
// states: they keep ADDR_BOUND and ADDR_RESOLVED from being published before they are true (DESIGN 4, rule 8).
// [spec 1.2.1, 1.2.2]
enum class State : std::uint8_t {
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
  binding = 100,
  resolving = 101,
};
[[nodiscard]] const char* name(State state);

// [spec 1.3.1]
enum class EventType : std::uint8_t {  // enum rdma_cm_event_type
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
[[nodiscard]] const char* name(EventType type);  // "RDMA_CM_EVENT_ADDR_RESOLVED"

// [spec 1.8.1]
enum class PortSpace : std::uint16_t { ipoib = 0x0002, tcp = 0x0106, udp = 0x0111, ib = 0x013F };  // RDMA_PS_*
enum class QpType : std::uint8_t { none = 0, rc = 2, uc = 3, ud = 4, xrc_ini = 9, xrc_tgt = 10 };  // enum ibv_qp_type

// struct rdma_conn_param, kernel meaning: values as given, 0 is 0.
struct ConnParam {
  std::span<const std::byte> private_data;
  std::uint8_t responder_resources{}, initiator_depth{};
  bool flow_control{};
  std::uint8_t retry_count{}, rnr_retry_count{};
  bool srq{};
  Qpn qpn;
  QKey qkey;
  cm::Ece ece;
};

// How patient a request of ours is [spec 1.12.1, 1.12.3].
struct RequestTiming {
  std::uint8_t response_timeout{20};  // of each transmission: 4.096 µs · 2^n
  std::uint8_t retries{15};           // transmissions after the first
  bool report_unreachable{};          // ICMP "port unreachable" ends it at once; the kernel lets it time out
};
inline constexpr std::uint8_t response_timeout_max = 31, retries_max = 15;

inline constexpr QKey qkey_default{0x01234567};  // of port spaces UDP and IB, and of RoCE groups [spec 1.12]

// Whom a datagram QP may send to: what an address handle is made of, and the QP behind it.
struct UdTarget {
  Gid local, remote;
  std::uint32_t interface{};
  std::uint8_t traffic_class{}, hop_limit{64}, sl{};
  std::uint32_t flow_label{};
  Qpn qpn;
  QKey qkey;
};

// RDMA_MC_JOIN_FLAG_*: a send-only member may send to the group and receives nothing.
enum class JoinAs : std::uint8_t { full_member = 0, send_only = 1 };
// Names one membership of an id for ever; 0 is none.
using MembershipHandle = std::uint64_t;

// One event. Spans are valid during the handler only.
struct Event {
  EventType type{};
  int status{};  // 0, -errno, or a positive reject reason / SIDR status [spec 1.5]
  struct Conn {
    // [spec 1.5.32]
    std::span<const std::byte> private_data;  // the message's full field, zero padded
    std::uint8_t responder_resources{}, initiator_depth{}, flow_control{}, retry_count{}, rnr_retry_count{}, srq{};
    Qpn qpn;
  } conn{};
  // Instead of `conn`: of ids with QpType::ud, and of MULTICAST_JOIN. CONNECT_REQUEST and errors fill the private data
  // only.
  struct Ud {
    std::span<const std::byte> private_data;
    UdTarget target;
  } ud{};
  cm::Ece ece{};
  void* membership_context{};  // MULTICAST_*: as given to join_multicast()
};

}  // namespace hawser::cma
