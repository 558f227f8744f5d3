// What the IB connection manager tells and is told: paths, parameters of the messages, events [spec 5].
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ip.hpp"
#include "base/types.hpp"
#include "runtime/time.hpp"
#include "verbs/device.hpp"
#include "verbs/gsi.hpp"

namespace hawser::cm {

// States of a connection; the numbers are the kernel's enum ib_cm_state [spec 5.5].
enum class State : std::uint8_t {
  idle = 0,
  listen = 1,
  req_sent = 2,
  req_rcvd = 3,
  mra_req_sent = 4,
  mra_req_rcvd = 5,
  rep_sent = 6,
  rep_rcvd = 7,
  mra_rep_sent = 8,
  mra_rep_rcvd = 9,
  established = 10,
  dreq_sent = 11,
  dreq_rcvd = 12,
  timewait = 13,
  sidr_req_sent = 14,
  sidr_req_rcvd = 15,
};
[[nodiscard]] const char* name(State state);

// REJ reasons (IBTA 12.6.7.2) [spec 5.4.11]; any other number may arrive.
enum class RejectReason : std::uint16_t {
  no_qp = 1,
  no_eec = 2,
  no_resources = 3,
  timeout = 4,
  unsupported = 5,
  invalid_comm_id = 6,
  invalid_comm_instance = 7,
  invalid_service_id = 8,
  invalid_transport_type = 9,
  stale_connection = 10,
  no_rdc = 11,
  invalid_gid = 12,
  invalid_lid = 13,
  invalid_sl = 14,
  invalid_traffic_class = 15,
  invalid_hop_limit = 16,
  invalid_packet_rate = 17,
  invalid_alt_gid = 18,
  invalid_alt_lid = 19,
  invalid_alt_sl = 20,
  invalid_alt_traffic_class = 21,
  invalid_alt_hop_limit = 22,
  invalid_alt_packet_rate = 23,
  port_cm_redirect = 24,
  port_redirect = 25,
  invalid_mtu = 26,
  insufficient_responder_resources = 27,
  consumer_defined = 28,
  invalid_rnr_retry = 29,
  duplicate_comm_id = 30,
  invalid_class_version = 31,
  invalid_flow_label = 32,
  invalid_alt_flow_label = 33,
  vendor_option = 35,
};
[[nodiscard]] const char* name(RejectReason reason);

// Status of a SIDR_REP [spec 5.4.10]; any other number may arrive.
enum class SidrStatus : std::uint8_t {
  success = 0,
  unsupported = 1,  // nobody listens
  reject = 2,
  no_qp = 3,
  redirect = 4,
  unsupported_version = 5,
};
[[nodiscard]] const char* name(SidrStatus status);

// Vendor options negotiated in REQ/REP ("enhanced connection establishment") [spec 1.14.4].
struct Ece {
  std::uint32_t vendor_id{};  // 24 bits
  std::uint32_t attr_mod{};
  bool operator==(const Ece&) const = default;
};

struct Path {
  verbs::DevicePtr device;
  Gid local, remote;
  std::uint32_t interface{};
  Mtu mtu{Mtu::mtu_1024};
  std::uint8_t traffic_class{}, hop_limit{64}, sl{}, rate{};
  std::uint8_t packet_life_time{16};  // 4.096 µs · 2^plt
  std::uint32_t flow_label{};         // 20 bits
  PKey pkey{pkey_default};
};

// Where the MADs of a path go.
[[nodiscard]] inline verbs::MadAddress address_of(const Path& path) {
  return {path.local, path.remote, path.interface, path.traffic_class, path.hop_limit};
}

struct ReqParam {
  Path path;
  ServiceId service_id;
  std::span<const std::byte> private_data;  // ≤ 92 bytes
  Qpn qpn;
  Psn starting_psn;
  std::uint8_t responder_resources{}, initiator_depth{};
  std::uint8_t remote_cm_response_timeout{20}, local_cm_response_timeout{20};
  std::uint8_t retry_count{7}, rnr_retry_count{7}, max_cm_retries{15};
  bool flow_control{}, srq{};
  bool report_unreachable{};  // see Manager::on_unreachable()
  Ece ece;
};

struct RepParam {
  std::span<const std::byte> private_data;  // ≤ 196 bytes
  Qpn qpn;
  Psn starting_psn;
  std::uint8_t responder_resources{}, initiator_depth{}, target_ack_delay{}, rnr_retry_count{7};
  bool flow_control{}, srq{};
  Ece ece;
};

// "Which of your datagram QPs serves this?"
struct SidrReqParam {
  Path path;
  ServiceId service_id;
  std::span<const std::byte> private_data;  // ≤ 216 bytes
  std::uint8_t remote_cm_response_timeout{20}, max_cm_retries{15};
  bool report_unreachable{};
};

struct SidrRepParam {
  SidrStatus status{SidrStatus::success};
  Qpn qpn{};                                     // of a success
  QKey qkey{};                                   // of a success
  std::span<const std::byte> additional_info{};  // ≤ 72 bytes
  std::span<const std::byte> private_data{};     // ≤ 136 bytes
  Ece ece{};
};

enum class EventKind : std::uint8_t {
  req_received,
  req_error,
  rep_received,
  rep_error,
  rtu_received,
  user_established,
  mra_received,
  rej_received,
  dreq_received,
  dreq_error,
  drep_received,
  timewait_exit,
  sidr_req_received,
  sidr_req_error,
  sidr_rep_received,
};
[[nodiscard]] const char* name(EventKind kind);

// One event. Spans point into the event and are valid during the handler only.
struct Event {
  EventKind kind{};
  std::span<const std::byte> private_data;  // always the message's full field, zero padded [spec 1.5]
  // req_error, rep_error, dreq_error, sidr_req_error: ETIMEDOUT, or ECONNREFUSED: nobody receives at that address
  int error{};
  // req_received
  struct Req {
    Path path;  // local = ours
    ServiceId service_id;
    Guid remote_guid;
    Qpn remote_qpn;
    Psn starting_psn;
    std::uint8_t responder_resources{}, initiator_depth{};  // as in the message (the peer's): swapped by nobody yet
    std::uint8_t retry_count{}, rnr_retry_count{};
    bool flow_control{}, srq{};
    Ece ece;
  } req;
  // rep_received
  struct Rep {
    Guid remote_guid;
    Qpn remote_qpn;
    Psn starting_psn;
    std::uint8_t responder_resources{}, initiator_depth{}, target_ack_delay{}, rnr_retry_count{};
    bool flow_control{}, srq{};
    Ece ece;
  } rep;
  // rej_received
  struct Rej {
    std::uint16_t reason{};
    std::span<const std::byte> additional_info;
  } rej;
  // sidr_req_received
  struct SidrReq {
    Path path;  // local = ours; MTU and packet life time are ours, as the message has none
    ServiceId service_id;
  } sidr_req;
  // sidr_rep_received
  struct SidrRep {
    SidrStatus status{};
    Qpn qpn;
    QKey qkey;
    Ece ece;
    std::span<const std::byte> additional_info;
  } sidr_rep;
};

// Attributes for moving the QP, as ib_cm_init_qp_attr gives them [spec 5.9].
enum class QpTarget : std::uint8_t { init, rtr, rts };
struct QpAttributes {
  // rtr
  Gid local, remote;
  std::uint32_t interface{};
  std::uint8_t traffic_class{}, hop_limit{64}, sl{};
  std::uint32_t flow_label{};
  Mtu path_mtu{Mtu::mtu_1024};
  Qpn destination_qpn;
  Psn receive_psn;
  std::uint8_t max_dest_rd_atomic{}, min_rnr_timer{};
  // rts
  Psn send_psn;
  std::uint8_t timeout{}, retry_count{}, rnr_retry{}, max_rd_atomic{};
  // init
  QKey qkey;  // of a UD QP
  PKey pkey{pkey_default};
  bool remote_read_and_atomic{};  // responder_resources ≠ 0
};

}  // namespace hawser::cm
