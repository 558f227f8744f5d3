// RoCEv2 packets: BTH, extended headers, payload, ICRC (IBTA chapter 9 and annex A17; [spec 5.1.1]).
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "base/ip.hpp"
#include "base/types.hpp"
#include "fabric/fabric.hpp"
#include "roce/icrc.hpp"

namespace hawser::roce {

// Transport in the top 3 bits, operation in the low 5 (IBTA table 38).
enum class Transport : std::uint8_t { rc = 0, uc = 1, rd = 2, ud = 3, cnp = 4, xrc = 5 };
enum class Operation : std::uint8_t {
  send_first = 0,
  send_middle = 1,
  send_last = 2,
  send_last_imm = 3,
  send_only = 4,
  send_only_imm = 5,
  write_first = 6,
  write_middle = 7,
  write_last = 8,
  write_last_imm = 9,
  write_only = 10,
  write_only_imm = 11,
  read_request = 12,
  read_response_first = 13,
  read_response_middle = 14,
  read_response_last = 15,
  read_response_only = 16,
  acknowledge = 17,
  atomic_acknowledge = 18,
  cmp_swap = 19,
  fetch_add = 20,
  send_last_inv = 22,
  send_only_inv = 23,
};
struct Opcode {
  Transport transport{};
  Operation operation{};
  [[nodiscard]] constexpr std::uint8_t value() const {
    return static_cast<std::uint8_t>(static_cast<unsigned>(transport) << 5 | static_cast<unsigned>(operation));
  }
  constexpr bool operator==(const Opcode&) const = default;
};

struct Bth {  // base transport header, 12 bytes
  Opcode opcode{};
  bool solicited{}, migrated{};
  std::uint8_t pad_count{}, version{};
  PKey pkey{pkey_default};
  bool fecn{}, becn{};
  std::uint8_t reserved_a{};  // 6 bits beside FECN/BECN
  Qpn destination{};
  bool ack_request{};
  std::uint8_t reserved_b{};  // 7 bits beside AckReq
  Psn psn{};
};
struct Deth {  // UD, 8 bytes
  QKey qkey{};
  std::uint8_t reserved{};
  Qpn source{};
};
struct Reth {  // RDMA, 16 bytes
  std::uint64_t virtual_address{};
  RKey rkey{};
  std::uint32_t length{};
};
struct AtomicEth {  // 28 bytes
  std::uint64_t virtual_address{};
  RKey rkey{};
  std::uint64_t swap_add{}, compare{};
};
struct Aeth {  // ACK, 4 bytes
  std::uint8_t syndrome{};
  std::uint32_t msn{};  // 24 bits
};
struct ImmDt {
  std::uint32_t data{};  // network byte order, as in the work completion
};
struct Ieth {
  RKey rkey{};
};
struct AtomicAckEth {
  std::uint64_t original{};
};

struct Packet {
  Bth bth;
  std::optional<Deth> deth;
  std::optional<Reth> reth;
  std::optional<AtomicEth> atomic_eth;
  std::optional<Aeth> aeth;
  std::optional<AtomicAckEth> atomic_ack_eth;
  std::optional<ImmDt> imm;
  std::optional<Ieth> ieth;
  std::span<const std::byte> payload;  // without pad
};

// Bytes of BTH and the extended headers that a packet of this opcode carries; nullopt for opcodes that are not spoken
// here: all but RC, and UD SEND Only with and without immediate. (CNPs are among the unknown ones: nobody here slows
// down.)
[[nodiscard]] std::optional<std::size_t> header_bytes(Opcode opcode);

enum class DecodeError : std::uint8_t { too_short, too_long, bad_version, unknown_opcode, bad_pad, bad_icrc };

// Decodes and verifies one UDP payload; which extended headers there are follows from the opcode. The ICRC of an IPv4
// datagram is right if it is so for any identification (icrc.hpp). Packet::payload points into the datagram.
[[nodiscard]] std::expected<Packet, DecodeError> decode(const fabric::InDatagram& datagram);
// The same without a look at the ICRC, for what has been verified already (and for tests).
[[nodiscard]] std::expected<Packet, DecodeError> decode_unverified(std::span<const std::byte> datagram);

// Encodes `packet` (pad count and pad are set here) and its ICRC into `out`; returns the UDP payload's length. The ICRC
// is that of a datagram source → destination with this IPv4 identification and DF set. The packet carries exactly the
// extended headers of its opcode.
std::size_t encode(const Packet& packet, const IpAddress& source, const IpAddress& destination,
                   std::uint16_t source_port, std::span<std::byte> out, std::uint16_t identification = 0);

// encode() in two steps, for a payload that is gathered straight into the datagram: writes the headers for a payload of
// `payload_bytes` and returns where in `out` the payload belongs …
std::span<std::byte> encode_headers(const Packet& packet, std::size_t payload_bytes, std::span<std::byte> out);
// … and, when it is there, writes pad and ICRC behind it; `unpadded_bytes` is the length of headers and payload.
// Returns the UDP payload's length.
std::size_t seal(std::span<std::byte> out, std::size_t unpadded_bytes, const IcrcHeaders& headers);

}  // namespace hawser::roce
