#include "base/ip.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/assert.hpp"

namespace hawser {
namespace {

constexpr std::array<std::uint8_t, 12> v4_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr int af_ib = 27;

}  // namespace

IpAddress IpAddress::v4(std::uint32_t host_order) {
  IpAddress a;
  std::ranges::copy(v4_prefix, a.bytes.begin());
  for (int i = 0; i < 4; ++i)
    a.bytes[static_cast<std::size_t>(12 + i)] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return a;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string zero_terminated(text);
  in_addr four{};
  if (inet_pton(AF_INET, zero_terminated.c_str(), &four) == 1) return v4(ntohl(four.s_addr));
  IpAddress a;
  if (inet_pton(AF_INET6, zero_terminated.c_str(), a.bytes.data()) == 1) return a;
  return std::nullopt;
}

bool IpAddress::is_v4() const { return std::equal(v4_prefix.begin(), v4_prefix.end(), bytes.begin()); }

std::uint32_t IpAddress::v4_host_order() const {
  HW_ASSERT(is_v4(), "ip-not-v4");
  return static_cast<std::uint32_t>(bytes[12]) << 24 | static_cast<std::uint32_t>(bytes[13]) << 16 |
         static_cast<std::uint32_t>(bytes[14]) << 8 | bytes[15];
}

bool IpAddress::is_any() const { return *this == any_v6() || *this == any_v4(); }

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes[12] == 127;
  IpAddress one;
  one.bytes[15] = 1;
  return *this == one;
}

bool IpAddress::is_link_local() const { return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80; }

bool IpAddress::is_multicast() const { return is_v4() ? (bytes[12] & 0xf0) == 0xe0 : bytes[0] == 0xff; }

std::string IpAddress::text() const {
  char buffer[INET6_ADDRSTRLEN];
  if (is_v4()) return inet_ntop(AF_INET, bytes.data() + 12, buffer, sizeof buffer);
  return inet_ntop(AF_INET6, bytes.data(), buffer, sizeof buffer);
}

std::optional<SocketAddress> SocketAddress::from(const sockaddr* address) {
  SocketAddress out;
  switch (address->sa_family) {
    case AF_UNSPEC: return out;
    case AF_INET: {
      sockaddr_in in{};
      std::memcpy(&in, address, sizeof in);
      out.family = Family::inet;
      out.ip = IpAddress::v4(ntohl(in.sin_addr.s_addr));
      out.port = ntohs(in.sin_port);
      return out;
    }
    case AF_INET6: {
      sockaddr_in6 in{};
      std::memcpy(&in, address, sizeof in);
      out.family = Family::inet6;
      std::memcpy(out.ip.bytes.data(), &in.sin6_addr, out.ip.bytes.size());
      out.port = ntohs(in.sin6_port);
      out.scope_id = in.sin6_scope_id;
      out.flow_info = ntohl(in.sin6_flowinfo);
      return out;
    }
    case af_ib: out.family = Family::ib; return out;
    default: return std::nullopt;
  }
}

void SocketAddress::to(sockaddr_storage& out) const {
  out = {};
  if (family == Family::inet) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr.s_addr = htonl(ip.is_v4() ? ip.v4_host_order() : 0);
    std::memcpy(&out, &in, sizeof in);
  } else if (family == Family::inet6) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    in.sin6_scope_id = scope_id;
    in.sin6_flowinfo = htonl(flow_info);
    std::memcpy(&in.sin6_addr, ip.bytes.data(), ip.bytes.size());
    std::memcpy(&out, &in, sizeof in);
  }
}

std::string SocketAddress::text() const {
  switch (family) {
    case Family::inet: return fmt::format("{}:{}", ip.text(), port);
    case Family::inet6:
      return scope_id != 0 ? fmt::format("[{}%{}]:{}", ip.text(), scope_id, port)
                           : fmt::format("[{}]:{}", ip.text(), port);
    case Family::ib: return "ib";
    case Family::unspecified: break;
  }
  return "-";
}

}  // namespace hawser

std::size_t std::hash<hawser::IpAddress>::operator()(const hawser::IpAddress& a) const noexcept {
  return std::hash<std::string_view>{}(std::string_view(reinterpret_cast<const char*>(a.bytes.data()), a.bytes.size()));
}
