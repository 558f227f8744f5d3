// Reasons why a peer rejected a connection (IBTA 12.6.7.2) or did not name a service (12.11.1.2), as values that
// explain themselves.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hawser {

// Any other number may arrive. Those marked * are what a Hawser or a Linux sends by itself; the rest are other
// vendors'.
enum class RejectReason : std::uint16_t {
  no_qp = 1,
  no_eec = 2,
  no_resources = 3,
  timeout = 4,  // *
  unsupported = 5,
  invalid_comm_id = 6,
  invalid_comm_instance = 7,
  invalid_service_id = 8,  // *
  invalid_transport_type = 9,
  stale_connection = 10,  // *
  rdc_does_not_exist = 11,
  invalid_gid = 12,  // *
  invalid_lid = 13,
  invalid_sl = 14,
  invalid_traffic_class = 15,
  invalid_hop_limit = 16,
  invalid_packet_rate = 17,
  invalid_alt_gid = 18,  // *
  invalid_alt_lid = 19,
  invalid_alt_sl = 20,
  invalid_alt_traffic_class = 21,
  invalid_alt_hop_limit = 22,
  invalid_alt_packet_rate = 23,
  port_cm_redirect = 24,
  port_redirect = 25,
  invalid_mtu = 26,  // *
  insufficient_responder_resources = 27,
  consumer_defined = 28,  // * the program itself said no; its private data may say why
  invalid_rnr_retry = 29,
  duplicate_local_comm_id = 30,
  invalid_class_version = 31,
  invalid_flow_label = 32,
  invalid_alt_flow_label = 33,
  vendor_option_not_supported = 35,
};

// "invalid service ID", as rdma_reject_msg() of the kernel says it; "reserved" for numbers without a meaning.
[[nodiscard]] std::string_view name(RejectReason reason);
// What it means for a program, in a sentence: "invalid service ID (8): nobody listens on this port there, …".
[[nodiscard]] std::string explain(RejectReason reason);
// The peer's program said no, and not its connection manager.
[[nodiscard]] constexpr bool is_consumer_reject(RejectReason reason) {
  return reason == RejectReason::consumer_defined;
}

// Why a host named no queue pair for a datagram service: the status of a SIDR_REP. Any other number may arrive.
enum class SidrStatus : std::uint8_t {
  success = 0,
  unsupported = 1,  // nobody listens
  reject = 2,       // the program itself said no; its private data may say why
  no_qp = 3,
  redirect = 4,
  unsupported_version = 5,
};
[[nodiscard]] std::string_view name(SidrStatus status);  // "service ID not supported"; "reserved"
// What it means for a program, in a sentence.
[[nodiscard]] std::string explain(SidrStatus status);

}  // namespace hawser
