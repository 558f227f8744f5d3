// The messages of the IB connection manager as they stand in a 256-byte MAD [spec 5.2, 5.3, 5.4]. Pure data and pure
// functions. Each message is described once; decode and encode are that description read in two directions.
// [spec 5.2.4, 5.2.5]
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <variant>

#include "base/ip.hpp"
#include "base/types.hpp"
#include "base/wire.hpp"
#include "verbs/gsi.hpp"

namespace hawser::cm {

// [spec 5.2.2]
enum class Attribute : std::uint16_t {
  req = 0x0010,
  mra = 0x0011,
  rej = 0x0012,
  rep = 0x0013,
  rtu = 0x0014,
  dreq = 0x0015,
  drep = 0x0016,
  sidr_req = 0x0017,
  sidr_rep = 0x0018,
  lap = 0x0019,
  apr = 0x001A,
};
[[nodiscard]] const char* name(Attribute attribute);

// "Message MRAed" and "Message Rejected": which message an MRA or REJ answers.
enum class Answered : std::uint8_t { req = 0, rep = 1, other = 2, reserved = 3 };

template <std::size_t N>
using Bytes = std::array<std::byte, N>;

// What of the MAD header is not the same in every CM message.
struct MadHeader {
  std::uint16_t status{}, class_specific{};
  std::uint64_t tid{};
  std::uint32_t attribute_modifier{};  // ECE attr_mod in REQ, REP and SIDR_REP, else 0
  bool operator==(const MadHeader&) const = default;
};

// A path as REQ describes it, 44 bytes: the primary one at byte 52, the alternate one at byte 96.
struct PathFields {
  std::uint16_t local_lid{}, remote_lid{};
  Gid local_gid, remote_gid;
  std::uint32_t flow_label{};  // 20 bits
  std::uint8_t packet_rate{}, traffic_class{}, hop_limit{}, sl{};
  bool subnet_local{};
  std::uint8_t local_ack_timeout{};
  bool operator==(const PathFields&) const = default;

  template <class Io, class Self>
  static constexpr void describe(Io& io, Self& m, std::size_t at) {
    io.field(at, 0, 16, m.local_lid);
    io.field(at + 2, 0, 16, m.remote_lid);
    io.bytes(at + 4, m.local_gid);
    io.bytes(at + 20, m.remote_gid);
    io.field(at + 36, 0, 20, m.flow_label);
    io.field(at + 39, 2, 6, m.packet_rate);
    io.field(at + 40, 0, 8, m.traffic_class);
    io.field(at + 41, 0, 8, m.hop_limit);
    io.field(at + 42, 0, 4, m.sl);
    io.field(at + 42, 4, 1, m.subnet_local);
    io.field(at + 43, 0, 5, m.local_ack_timeout);
  }
};

// [spec 5.3.1, 5.3.3]
struct Req {
  static constexpr Attribute attribute = Attribute::req;
  CommId local_comm_id;
  std::uint32_t vendor_id{};  // ECE, 24 bits
  ServiceId service_id;
  Guid local_ca_guid;
  QKey local_qkey;
  Qpn local_qpn;
  std::uint8_t responder_resources{};
  std::uint32_t local_eecn{};
  std::uint8_t initiator_depth{};
  std::uint32_t remote_eecn{};
  std::uint8_t remote_cm_response_timeout{};
  std::uint8_t transport_service_type{};  // 0 RC, 1 UC, 3: see extended_transport_type
  bool flow_control{};
  Psn starting_psn;
  std::uint8_t local_cm_response_timeout{}, retry_count{};
  PKey pkey;
  std::uint8_t path_mtu{};  // 4 bits; only 1…5 are an Mtu
  bool rdc_exists{};
  std::uint8_t rnr_retry_count{}, max_cm_retries{};
  bool srq{};
  std::uint8_t extended_transport_type{};  // 1 = XRC
  PathFields primary, alternate;
  bool sap_supported{};
  Bytes<92> private_data{};
  bool operator==(const Req&) const = default;

  template <class Io, class Self>
  static constexpr void describe(Io& io, Self& m) {
    io.field(0, 0, 32, m.local_comm_id);
    io.field(5, 0, 24, m.vendor_id);
    io.field(8, 0, 64, m.service_id);
    io.field(16, 0, 64, m.local_ca_guid);
    io.field(28, 0, 32, m.local_qkey);
    io.field(32, 0, 24, m.local_qpn);
    io.field(35, 0, 8, m.responder_resources);
    io.field(36, 0, 24, m.local_eecn);
    io.field(39, 0, 8, m.initiator_depth);
    io.field(40, 0, 24, m.remote_eecn);
    io.field(43, 0, 5, m.remote_cm_response_timeout);
    io.field(43, 5, 2, m.transport_service_type);
    io.field(43, 7, 1, m.flow_control);
    io.field(44, 0, 24, m.starting_psn);
    io.field(47, 0, 5, m.local_cm_response_timeout);
    io.field(47, 5, 3, m.retry_count);
    io.field(48, 0, 16, m.pkey);
    io.field(50, 0, 4, m.path_mtu);
    io.field(50, 4, 1, m.rdc_exists);
    io.field(50, 5, 3, m.rnr_retry_count);
    io.field(51, 0, 4, m.max_cm_retries);
    io.field(51, 4, 1, m.srq);
    io.field(51, 5, 3, m.extended_transport_type);
    PathFields::describe(io, m.primary, 52);
    PathFields::describe(io, m.alternate, 96);
    io.field(139, 5, 1, m.sap_supported);
    io.bytes(140, m.private_data);
  }
};

// [spec 5.4.1]
struct Mra {
  static constexpr Attribute attribute = Attribute::mra;
  CommId local_comm_id, remote_comm_id;
  Answered answered{};
  std::uint8_t service_timeout{};
  Bytes<222> private_data{};
  bool operator==(const Mra&) const = default;

  template <class Io, class Self>
  static constexpr void describe(Io& io, Self& m) {
    io.field(0, 0, 32, m.local_comm_id);
    io.field(4, 0, 32, m.remote_comm_id);
    io.field(8, 0, 2, m.answered);
    io.field(9, 0, 5, m.service_timeout);
    io.bytes(10, m.private_data);
  }
};

// [spec 5.4.2]
struct Rej {
  static constexpr Attribute attribute = Attribute::rej;
  CommId local_comm_id, remote_comm_id;
  Answered answered{};
  std::uint8_t additional_info_length{};  // 7 bits; more than 72 may arrive
  std::uint16_t reason{};
  Bytes<72> additional_info{};
  Bytes<148> private_data{};
  bool operator==(const Rej&) const = default;

  template <class Io, class Self>
  static constexpr void describe(Io& io, Self& m) {
    io.field(0, 0, 32, m.local_comm_id);
    io.field(4, 0, 32, m.remote_comm_id);
    io.field(8, 0, 2, m.answered);
    io.field(9, 0, 7, m.additional_info_length);
    io.field(10, 0, 16, m.reason);
    io.bytes(12, m.additional_info);
    io.bytes(84, m.private_data);
  }
};

// [spec 5.4.3]
struct Rep {
  static constexpr Attribute attribute = Attribute::rep;
  CommId local_comm_id, remote_comm_id;
  QKey local_qkey;
  Qpn local_qpn;
  std::uint8_t vendor_id_high{}, vendor_id_middle{}, vendor_id_low{};  // ECE, scattered: see vendor_id()
  std::uint32_t local_eecn{};                                          // XRC: the QPN
  Psn starting_psn;
  std::uint8_t responder_resources{}, initiator_depth{}, target_ack_delay{}, failover_accepted{};
  bool flow_control{};
  std::uint8_t rnr_retry_count{};
  bool srq{};
  Guid local_ca_guid;
  Bytes<196> private_data{};
  bool operator==(const Rep&) const = default;

  [[nodiscard]] constexpr std::uint32_t vendor_id() const {
    return static_cast<std::uint32_t>(vendor_id_high << 16 | vendor_id_middle << 8 | vendor_id_low);
  }
  constexpr void set_vendor_id(std::uint32_t id) {
    vendor_id_high = static_cast<std::uint8_t>(id >> 16);
    vendor_id_middle = static_cast<std::uint8_t>(id >> 8);
    vendor_id_low = static_cast<std::uint8_t>(id);
  }

  template <class Io, class Self>
  static constexpr void describe(Io& io, Self& m) {
    io.field(0, 0, 32, m.local_comm_id);
    io.field(4, 0, 32, m.remote_comm_id);
    io.field(8, 0, 32, m.local_qkey);
    io.field(12, 0, 24, m.local_qpn);
    io.field(15, 0, 8, m.vendor_id_high);
    io.field(16, 0, 24, m.local_eecn);
    io.field(19, 0, 8, m.vendor_id_middle);
    io.field(20, 0, 24, m.starting_psn);
    io.field(23, 0, 8, m.vendor_id_low);
    io.field(24, 0, 8, m.responder_resources);
    io.field(25, 0, 8, m.initiator_depth);
    io.field(26, 0, 5, m.target_ack_delay);
    io.field(26, 5, 2, m.failover_accepted);
    io.field(26, 7, 1, m.flow_control);
    io.field(27, 0, 3, m.rnr_retry_count);
    io.field(27, 3, 1, m.srq);
    io.field(28, 0, 64, m.local_ca_guid);
    io.bytes(36, m.private_data);
  }
};

// [spec 5.4.4]
struct Rtu {
  static constexpr Attribute attribute = Attribute::rtu;
  CommId local_comm_id, remote_comm_id;
  Bytes<224> private_data{};
  bool operator==(const Rtu&) const = default;

  template <class Io, class Self>
  static constexpr void describe(Io& io, Self& m) {
    io.field(0, 0, 32, m.local_comm_id);
    io.field(4, 0, 32, m.remote_comm_id);
    io.bytes(8, m.private_data);
  }
};

// [spec 5.4.5]
struct Dreq {
  static constexpr Attribute attribute = Attribute::dreq;
  CommId local_comm_id, remote_comm_id;
  Qpn remote_qpn;  // the receiver's [spec 5.7]
  Bytes<220> private_data{};
  bool operator==(const Dreq&) const = default;

  template <class Io, class Self>
  static constexpr void describe(Io& io, Self& m) {
    io.field(0, 0, 32, m.local_comm_id);
    io.field(4, 0, 32, m.remote_comm_id);
    io.field(8, 0, 24, m.remote_qpn);
    io.bytes(12, m.private_data);
  }
};

// [spec 5.4.6]
struct Drep {
  static constexpr Attribute attribute = Attribute::drep;
  CommId local_comm_id, remote_comm_id;
  Bytes<224> private_data{};
  bool operator==(const Drep&) const = default;

  template <class Io, class Self>
  static constexpr void describe(Io& io, Self& m) {
    io.field(0, 0, 32, m.local_comm_id);
    io.field(4, 0, 32, m.remote_comm_id);
    io.bytes(8, m.private_data);
  }
};

// [spec 5.4.7]
struct Lap {
  static constexpr Attribute attribute = Attribute::lap;
  CommId local_comm_id, remote_comm_id;
  Qpn remote_qpn;
  std::uint8_t remote_cm_response_timeout{};
  std::uint16_t local_lid{}, remote_lid{};
  Gid local_gid, remote_gid;
  std::uint32_t flow_label{};
  std::uint8_t traffic_class{}, hop_limit{}, packet_rate{}, sl{};
  bool subnet_local{};
  std::uint8_t local_ack_timeout{};
  Bytes<168> private_data{};
  bool operator==(const Lap&) const = default;

  template <class Io, class Self>
  static constexpr void describe(Io& io, Self& m) {
    io.field(0, 0, 32, m.local_comm_id);
    io.field(4, 0, 32, m.remote_comm_id);
    io.field(12, 0, 24, m.remote_qpn);
    io.field(15, 0, 5, m.remote_cm_response_timeout);
    io.field(20, 0, 16, m.local_lid);
    io.field(22, 0, 16, m.remote_lid);
    io.bytes(24, m.local_gid);
    io.bytes(40, m.remote_gid);
    io.field(56, 0, 20, m.flow_label);
    io.field(59, 0, 8, m.traffic_class);
    io.field(60, 0, 8, m.hop_limit);
    io.field(61, 2, 6, m.packet_rate);
    io.field(62, 0, 4, m.sl);
    io.field(62, 4, 1, m.subnet_local);
    io.field(63, 0, 5, m.local_ack_timeout);
    io.bytes(64, m.private_data);
  }
};

struct Apr {
  static constexpr Attribute attribute = Attribute::apr;
  CommId local_comm_id, remote_comm_id;
  std::uint8_t additional_info_length{}, status{};
  Bytes<72> additional_info{};
  Bytes<148> private_data{};
  bool operator==(const Apr&) const = default;

  template <class Io, class Self>
  static constexpr void describe(Io& io, Self& m) {
    io.field(0, 0, 32, m.local_comm_id);
    io.field(4, 0, 32, m.remote_comm_id);
    io.field(8, 0, 8, m.additional_info_length);
    io.field(9, 0, 8, m.status);
    io.bytes(12, m.additional_info);
    io.bytes(84, m.private_data);
  }
};

// [spec 5.4.8]
struct SidrReq {
  static constexpr Attribute attribute = Attribute::sidr_req;
  CommId request_id;
  PKey pkey;
  ServiceId service_id;
  Bytes<216> private_data{};
  bool operator==(const SidrReq&) const = default;

  template <class Io, class Self>
  static constexpr void describe(Io& io, Self& m) {
    io.field(0, 0, 32, m.request_id);
    io.field(4, 0, 16, m.pkey);
    io.field(8, 0, 64, m.service_id);
    io.bytes(16, m.private_data);
  }
};

// [spec 5.4.9]
struct SidrRep {
  static constexpr Attribute attribute = Attribute::sidr_rep;
  CommId request_id;
  std::uint8_t status{}, additional_info_length{};
  std::uint16_t vendor_id_high{};  // Linux loses bits 23:16 of the id on their way into this field [spec 5.4]
  Qpn qpn;
  std::uint8_t vendor_id_low{};
  ServiceId service_id;
  QKey qkey;
  Bytes<72> additional_info{};
  Bytes<136> private_data{};
  bool operator==(const SidrRep&) const = default;

  [[nodiscard]] constexpr std::uint32_t vendor_id() const {
    return (std::uint32_t{vendor_id_high} << 8 | vendor_id_low) & 0xFFFFFF;
  }
  constexpr void set_vendor_id(std::uint32_t id) {
    vendor_id_high = static_cast<std::uint16_t>(id >> 8);
    vendor_id_low = static_cast<std::uint8_t>(id);
  }

  template <class Io, class Self>
  static constexpr void describe(Io& io, Self& m) {
    io.field(0, 0, 32, m.request_id);
    io.field(4, 0, 8, m.status);
    io.field(5, 0, 8, m.additional_info_length);
    io.field(6, 0, 16, m.vendor_id_high);
    io.field(8, 0, 24, m.qpn);
    io.field(11, 0, 8, m.vendor_id_low);
    io.field(12, 0, 64, m.service_id);
    io.field(20, 0, 32, m.qkey);
    io.bytes(24, m.additional_info);
    io.bytes(96, m.private_data);
  }
};

using Body = std::variant<Req, Mra, Rej, Rep, Rtu, Dreq, Drep, Lap, Apr, SidrReq, SidrRep>;

struct Message {
  MadHeader header;
  Body body;
  bool operator==(const Message&) const = default;
};

enum class DecodeError : std::uint8_t {
  bad_base_version,
  bad_class,
  bad_class_version,
  bad_method,
  unknown_attribute,
};

// The MAD's status, reserved bits and lengths are not judged: whoever uses a field checks it.
[[nodiscard]] std::expected<Message, DecodeError> decode(const verbs::Mad& mad);
[[nodiscard]] verbs::Mad encode(const MadHeader& header, const Body& body);
[[nodiscard]] inline verbs::Mad encode(const Message& message) { return encode(message.header, message.body); }

// Copies private data into a message's field; what is left of the field stays zero. The caller has checked the length.
template <std::size_t N>
void fill(Bytes<N>& field, std::span<const std::byte> data) {
  std::ranges::copy(data, field.begin());
}

}  // namespace hawser::cm
