// The invariant CRC of RoCEv2 (IBTA annex A17; [spec 5.1]): CRC-32 over what no router changes, from the IP header to
// the end of the padded payload, with the fields that routers do change taken as ones.
//
// Pure functions, thread-safe, without allocation [spec 5.1.4].
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/ip.hpp"

namespace hawser::roce {

inline constexpr std::size_t bth_bytes = 12;  // the base transport header
inline constexpr std::size_t icrc_bytes = 4;

// What the ICRC covers outside the UDP payload and what differs from one RoCEv2 datagram to the next.
struct IcrcHeaders {
  IpAddress source;
  IpAddress destination;
  std::uint16_t source_port{};
  std::uint16_t identification{};  // IPv4 only; a UDP socket that we send from writes 0
  bool dont_fragment{true};        // IPv4 only
};

// The ICRC for a UDP payload; `covered` is all of it but the ICRC itself, at least a BTH, a multiple of 4 bytes.
[[nodiscard]] std::uint32_t icrc(const IcrcHeaders& headers, std::span<const std::byte> covered);

// Stores and loads the ICRC as it stands on the wire (little-endian).
void store_icrc(std::span<std::byte, icrc_bytes> out, std::uint32_t value);
[[nodiscard]] std::uint32_t load_icrc(std::span<const std::byte, icrc_bytes> in);

// A UDP receiver cannot see the identification of an IPv4 datagram, and rdma_rxe writes a changing one. Given `headers`
// (its identification is ignored) and a whole UDP payload, returns the identification with which the ICRC is right: 0
// for our own datagrams and all IPv6; nullopt if there is none, so the payload is corrupt. About 16 of the 32 bits of
// check remain when the identification is not 0.
[[nodiscard]] std::optional<std::uint16_t> solve_icrc(const IcrcHeaders& headers, std::span<const std::byte> payload);

}  // namespace hawser::roce
