// RoCEv2 packets: BTH, extended headers, payload, ICRC (IBTA chapter 9 and annex A17; [spec 5.1]).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <vector>

#include "base/ip.hpp"
#include "base/types.hpp"
#include "fabric/fabric.hpp"

namespace hawser::roce {

// Transport in the top 3 bits, operation in the low 5 (IBTA table 38).
enum class Transport : std::uint8_t { rc = 0, uc = 1, rd = 2, ud = 3, cnp = 4, xrc = 5 };
enum class Operation : std::uint8_t {
  send_first = 0, send_middle = 1, send_last = 2, send_last_imm = 3, send_only = 4, send_only_imm = 5,
  write_first = 6, write_middle = 7, write_last = 8, write_last_imm = 9, write_only = 10, write_only_imm = 11,
  read_request = 12, read_response_first = 13, read_response_middle = 14, read_response_last = 15,
  read_response_only = 16, acknowledge = 17, atomic_acknowledge = 18, cmp_swap = 19, fetch_add = 20,
  send_last_inv = 22, send_only_inv = 23,
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

enum class DecodeError : std::uint8_t { too_short, bad_version, unknown_opcode, bad_pad, bad_icrc };

// Decodes and verifies one UDP payload; which extended headers there are follows from the opcode.
[[nodiscard]] std::expected<Packet, DecodeError> decode(const fabric::InDatagram& datagram);

// Encodes `packet` (pad count and pad are set here) and its ICRC into `out`; returns the UDP payload's length. The ICRC is
// that of a datagram source → destination with IPv4 identification 0 and DF set.
std::size_t encode(const Packet& packet, const IpAddress& source, const IpAddress& destination,
                   std::uint16_t source_port, std::span<std::byte> out);

}  // namespace hawser::roce
