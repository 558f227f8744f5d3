// IP addresses as RoCE sees them: 16 bytes, IPv4 mapped (::ffff:a.b.c.d). The GID of an address is the same 16 bytes
// [spec 1.7.1], so one type serves both.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

struct sockaddr;
struct sockaddr_storage;

namespace hawser {

struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};

  constexpr auto operator<=>(const IpAddress&) const = default;

  [[nodiscard]] static IpAddress v4(std::uint32_t host_order);                 // 0x7F000001 → 127.0.0.1
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);  // "10.0.0.1", "fe80::1"
  [[nodiscard]] static constexpr IpAddress any_v6() { return {}; }
  [[nodiscard]] static IpAddress any_v4() { return v4(0); }

  [[nodiscard]] bool is_v4() const;                   // v4-mapped
  [[nodiscard]] std::uint32_t v4_host_order() const;  // requires is_v4()
  [[nodiscard]] bool is_any() const;                  // 0.0.0.0 or ::
  [[nodiscard]] bool is_loopback() const;             // 127/8 or ::1
  [[nodiscard]] bool is_link_local() const;           // fe80::/10
  [[nodiscard]] bool is_multicast() const;            // 224/4 or ff00::/8
  [[nodiscard]] std::string text() const;             // "10.0.0.1", "fe80::1"
};

// The GID table's entries and the GIDs in MADs are IP addresses [spec 1.7].
using Gid = IpAddress;

enum class Family : std::uint8_t { unspecified, inet, inet6, ib };

// An address with a port: what the field calls a sockaddr. `family` says what the program passed: a v4-mapped address
// with family inet6 is a different thing from the same bytes with family inet.
struct SocketAddress {
  Family family{Family::unspecified};
  IpAddress ip{};
  std::uint16_t port{};       // host byte order
  std::uint32_t scope_id{};   // IPv6 link-local: interface index
  std::uint32_t flow_info{};  // IPv6: as in sin6_flowinfo, host byte order

  auto operator<=>(const SocketAddress&) const = default;

  // nullopt for a family that is none of AF_UNSPEC, AF_INET, AF_INET6 (AF_IB is recognised by family only).
  [[nodiscard]] static std::optional<SocketAddress> from(const sockaddr* address);
  void to(sockaddr_storage& out) const;
  [[nodiscard]] std::string text() const;  // "10.0.0.1:7471", "[fe80::1%2]:7471"
};

}  // namespace hawser

template <>
struct std::hash<hawser::IpAddress> {
  std::size_t operator()(const hawser::IpAddress& a) const noexcept;
};
