// The field's numbers as types of their own: a QPN is not a PSN is not a communication id.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace hawser {

// A number that means one thing. Comparable and hashable; no arithmetic.
template <class Tag, class Value>
struct Named {
  Value value{};
  constexpr Named() = default;
  constexpr explicit Named(Value v) : value(v) {}
  constexpr auto operator<=>(const Named&) const = default;
};

using Qpn = Named<struct QpnTag, std::uint32_t>;              // queue pair number, 24 bits
using CommId = Named<struct CommIdTag, std::uint32_t>;        // CM communication id [spec 5.2]
using ServiceId = Named<struct ServiceIdTag, std::uint64_t>;  // (port space << 16) | port [spec 1.8]
using Guid = Named<struct GuidTag, std::uint64_t>;            // node (CA) GUID, host byte order
using QKey = Named<struct QKeyTag, std::uint32_t>;
using PKey = Named<struct PKeyTag, std::uint16_t>;
using LKey = Named<struct LKeyTag, std::uint32_t>;
using RKey = Named<struct RKeyTag, std::uint32_t>;

inline constexpr Qpn qpn_gsi{1};  // the general services interface: CM MADs
inline constexpr Qpn qpn_multicast{0xFFFFFF};
inline constexpr PKey pkey_default{0xFFFF};
inline constexpr QKey qkey_gsi{0x80010000};
inline constexpr QKey qkey_udp{0x01234567};  // what port space UDP and multicast groups have by default
inline constexpr std::uint16_t roce_v2_port = 4791;

// Packet sequence number: 24 bits, compared as a window (IBTA 9.7.1: half of the space is "before").
struct Psn {
  std::uint32_t value{};
  constexpr Psn() = default;
  constexpr explicit Psn(std::uint32_t v) : value(v & 0xFFFFFF) {}
  constexpr bool operator==(const Psn&) const = default;
  [[nodiscard]] constexpr Psn plus(std::uint32_t n) const { return Psn(value + n); }
  [[nodiscard]] constexpr Psn minus(std::uint32_t n) const { return Psn(value - n); }
  // Signed distance this - other in [-2^23, 2^23).
  [[nodiscard]] constexpr std::int32_t distance_from(Psn other) const {
    std::uint32_t d = (value - other.value) & 0xFFFFFF;
    return d < 0x800000 ? static_cast<std::int32_t>(d) : static_cast<std::int32_t>(d) - 0x1000000;
  }
  [[nodiscard]] constexpr bool before(Psn other) const { return distance_from(other) < 0; }
  [[nodiscard]] constexpr bool after(Psn other) const { return distance_from(other) > 0; }
};

// Path MTU as IBTA encodes it (1 = 256 … 5 = 4096 bytes); the value is the ibv_mtu enumerator.
enum class Mtu : std::uint8_t { mtu_256 = 1, mtu_512 = 2, mtu_1024 = 3, mtu_2048 = 4, mtu_4096 = 5 };
[[nodiscard]] constexpr std::uint32_t mtu_bytes(Mtu mtu) { return 128U << static_cast<unsigned>(mtu); }

}  // namespace hawser

template <class Tag, class Value>
struct std::hash<hawser::Named<Tag, Value>> {
  std::size_t operator()(const hawser::Named<Tag, Value>& n) const noexcept { return std::hash<Value>{}(n.value); }
};
