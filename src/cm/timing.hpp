// The timer values of the connection manager, in the kernel's approximations [spec 1.12]. Pure functions.
// [spec 1.12.2, 1.12.5, 1.12.7]
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "runtime/time.hpp"

namespace hawser::cm {

// IBTA writes times as 4.096 µs · 2^exponent (5 bits); Linux takes that as 2^(exponent − 8) ms, at least 1 ms.
[[nodiscard]] constexpr rt::Duration cm_time(std::uint8_t exponent) {
  const unsigned shift = std::min<unsigned>(exponent, 31);
  return std::chrono::milliseconds(shift > 8 ? std::int64_t{1} << (shift - 8) : 1);
}

// How long to wait for the answer to a REQ (and later to a DREQ of the active side).
[[nodiscard]] constexpr rt::Duration req_time(std::uint8_t packet_life_time, std::uint8_t remote_cm_response_timeout) {
  return 2 * cm_time(packet_life_time) + cm_time(remote_cm_response_timeout);
}

// How long a peer that sent an MRA may take.
[[nodiscard]] constexpr rt::Duration mra_time(std::uint8_t service_timeout, std::uint8_t ack_timeout) {
  return cm_time(service_timeout) + cm_time(ack_timeout);
}

// The QP's ACK timeout from a CA's ack delay and the packet life time: about delay + 2 · life time, as exponents.
[[nodiscard]] constexpr std::uint8_t combine_ack_timeout(std::uint8_t ca_ack_delay, std::uint8_t packet_life_time) {
  unsigned a = packet_life_time + 1U;
  const unsigned delay = ca_ack_delay;
  if (a >= delay) {
    a += delay >= a - 1 ? 1U : 0U;
  } else {
    a = delay + (a + 1 >= delay ? 1U : 0U);
  }
  return static_cast<std::uint8_t>(std::min(a, 31U));
}

// The largest that a message can say.
inline constexpr std::uint8_t exponent_max = 31, cm_retries_max = 15;

// What our device says of itself; the same as rdma_rxe's [spec 5.7].
inline constexpr std::uint8_t local_ca_ack_delay = 15;

}  // namespace hawser::cm
