// Syndromes of the ACK extended header (IBTA 9.7.5.1.1, tables 43 to 46).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "runtime/time.hpp"

namespace hawser::roce {

enum class AethKind : std::uint8_t { ack = 0, rnr_nak = 1, reserved = 2, nak = 3 };  // the top three bits

[[nodiscard]] constexpr AethKind aeth_kind(std::uint8_t syndrome) {
  const unsigned kind = syndrome >> 5;
  return kind <= 3 ? static_cast<AethKind>(kind) : AethKind::reserved;
}

inline constexpr std::uint8_t aeth_ack = 0x1F;  // no end-to-end credits: RNR NAK does that work
inline constexpr std::uint8_t aeth_nak_sequence = 0x60, aeth_nak_invalid_request = 0x61, aeth_nak_remote_access = 0x62,
                              aeth_nak_remote_operational = 0x63;

[[nodiscard]] constexpr std::uint8_t aeth_rnr_nak(std::uint8_t timer) {
  return static_cast<std::uint8_t>(0x20 | (timer & 0x1F));
}

// How long the requester waits after an RNR NAK (table 45); only the low five bits count.
[[nodiscard]] constexpr rt::Duration rnr_delay(std::uint8_t timer) {
  constexpr std::array<std::uint32_t, 32> hundredths_of_ms{
      65536, 1,   2,   3,   4,    6,    8,    12,   16,   24,   32,   48,    64,    96,    128,   192,
      256,   384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152};
  return std::chrono::microseconds(10) * hundredths_of_ms[timer & 0x1F];
}

}  // namespace hawser::roce
