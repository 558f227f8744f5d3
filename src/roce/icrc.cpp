#include "roce/icrc.hpp"

#include <algorithm>
#include <array>

#include <isa-l/crc.h>

#include "base/assert.hpp"
#include "base/types.hpp"
#include "fabric/fabric.hpp"

namespace hawser::roce {
namespace {

constexpr std::size_t bth_congestion_byte = 4;  // FECN, BECN and reserved bits: routers may change them
constexpr std::size_t ipv4_bytes = 20, ipv4_identification_byte = 4, ipv6_bytes = 40, udp_bytes = 8;
constexpr std::uint8_t ip_protocol_udp = 17;
constexpr std::uint32_t polynomial = 0xEDB88320;  // CRC-32 of Ethernet, reflected: bit 31 is x^0
// CRC of the eight bytes of ones that stand for InfiniBand's local routing header.
constexpr std::uint32_t seed = ~0xDEBB20E3U;

using Masked = std::array<std::uint8_t, ipv6_bytes + udp_bytes + bth_bytes>;

class Appender {
 public:
  explicit Appender(Masked& out) : out_(out) {}
  void byte(std::uint8_t value) { out_[size_++] = value; }
  void half(std::size_t value) {
    byte(static_cast<std::uint8_t>(value >> 8));
    byte(static_cast<std::uint8_t>(value));
  }
  void bytes(std::span<const std::uint8_t> from) {
    std::ranges::copy(from, out_.begin() + static_cast<std::ptrdiff_t>(size_));
    size_ += from.size();
  }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  Masked& out_;
  std::size_t size_ = 0;
};

void append_ipv4(Appender& out, const IcrcHeaders& headers, std::size_t udp_length) {
  out.byte(0x45);
  out.byte(0xFF);  // type of service
  out.half(ipv4_bytes + udp_length);
  out.half(headers.identification);
  out.half(headers.dont_fragment ? 0x4000 : 0);
  out.byte(0xFF);  // time to live
  out.byte(ip_protocol_udp);
  out.half(0xFFFF);  // checksum
  out.bytes(std::span(headers.source.bytes).last<4>());
  out.bytes(std::span(headers.destination.bytes).last<4>());
}

void append_ipv6(Appender& out, const IcrcHeaders& headers, std::size_t udp_length) {
  out.byte(0x6F);  // version; traffic class and flow label are ones
  out.byte(0xFF);
  out.half(0xFFFF);
  out.half(udp_length);
  out.byte(ip_protocol_udp);
  out.byte(0xFF);  // hop limit
  out.bytes(headers.source.bytes);
  out.bytes(headers.destination.bytes);
}

std::uint32_t extend(std::uint32_t crc, std::span<const std::uint8_t> data) {
  return crc32_gzip_refl(crc, data.data(), data.size());
}

// --- The identification from the CRC. A CRC is linear: two datagrams that differ in the identification only have CRCs
// that differ by identification · x^(8 · bytes from the field to the end), modulo the polynomial. So the difference
// times the inverse of that power is the identification, a value of 16 bits, or the datagram was corrupted.

constexpr std::uint32_t times_inverse_of_x(std::uint32_t value) {
  return (value & 0x80000000) != 0 ? (value ^ polynomial) << 1 | 1 : value << 1;
}

constexpr std::size_t covered_bytes_max = fabric::datagram_bytes_max - icrc_bytes;
constexpr std::size_t identification_to_bth = ipv4_bytes - ipv4_identification_byte + udp_bytes;

// inverse_powers[n] = x^-(8 · (bytes from the identification to the BTH + 4n)) for 4n covered bytes of UDP payload.
constexpr auto inverse_powers = [] {
  std::array<std::uint32_t, covered_bytes_max / 4 + 1> table{};
  std::uint32_t power = 0x80000000;  // 1
  for (std::size_t i = 0; i < 8 * identification_to_bth; ++i) power = times_inverse_of_x(power);
  for (std::uint32_t& entry : table) {
    entry = power;
    for (int i = 0; i < 32; ++i) power = times_inverse_of_x(power);
  }
  return table;
}();

constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (; a != 0; a <<= 1) {
    product ^= b & (0U - (a >> 31));
    b = b >> 1 ^ (polynomial & (0U - (b & 1)));
  }
  return product;
}

}  // namespace

std::uint32_t icrc(const IcrcHeaders& headers, std::span<const std::byte> covered) {
  HW_ASSERT(covered.size() >= bth_bytes, "icrc-no-bth");
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(covered.data()), covered.size());
  const std::size_t udp_length = udp_bytes + covered.size() + icrc_bytes;
  Masked masked;
  Appender out(masked);
  if (headers.source.is_v4()) {
    append_ipv4(out, headers, udp_length);
  } else {
    append_ipv6(out, headers, udp_length);
  }
  out.half(headers.source_port);
  out.half(roce_v2_port);
  out.half(udp_length);
  out.half(0xFFFF);  // checksum
  out.bytes(bytes.first<bth_bytes>());
  masked[out.size() - bth_bytes + bth_congestion_byte] = 0xFF;
  return extend(extend(seed, std::span(masked).first(out.size())), bytes.subspan(bth_bytes));
}

void store_icrc(std::span<std::byte, icrc_bytes> out, std::uint32_t value) {
  for (std::size_t i = 0; i < icrc_bytes; ++i) out[i] = static_cast<std::byte>(value >> (8 * i));
}

std::uint32_t load_icrc(std::span<const std::byte, icrc_bytes> in) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < icrc_bytes; ++i) value |= std::to_integer<std::uint32_t>(in[i]) << (8 * i);
  return value;
}

std::optional<std::uint16_t> solve_icrc(const IcrcHeaders& headers, std::span<const std::byte> payload) {
  if (payload.size() < bth_bytes + icrc_bytes || payload.size() % 4 != 0) return std::nullopt;
  const auto covered = payload.first(payload.size() - icrc_bytes);
  IcrcHeaders zero = headers;
  zero.identification = 0;
  const std::uint32_t difference = load_icrc(payload.last<icrc_bytes>()) ^ icrc(zero, covered);
  if (difference == 0) return std::uint16_t{0};
  if (!headers.source.is_v4() || covered.size() > covered_bytes_max) return std::nullopt;
  const std::uint32_t value = multiply(difference, inverse_powers[covered.size() / 4]);
  if (value >> 16 != 0) return std::nullopt;
  return static_cast<std::uint16_t>(value << 8 | value >> 8);  // the first byte on the wire is the low one of a CRC
}

}  // namespace hawser::roce
