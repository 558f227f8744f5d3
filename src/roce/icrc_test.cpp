#include "roce/icrc.hpp"

#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fabric/fabric.hpp"
#include "runtime/world.hpp"

namespace hawser::roce {
namespace {

// The definition, bit by bit, as the reference for what ISA-L and the tables do.
std::uint32_t crc_by_definition(std::span<const std::uint8_t> data) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const std::uint8_t byte : data) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
  }
  return ~crc;
}

std::vector<std::byte> random_payload(rt::World& world, std::size_t bytes) {
  std::vector<std::byte> payload(bytes);
  for (std::byte& byte : payload) byte = static_cast<std::byte>(world.random());
  return payload;
}

TEST(Icrc, IsTheCrcOfTheMaskedHeadersIpv4) {  // [spec 5.1.4]
  const IcrcHeaders headers{.source = IpAddress::v4(0x0A000001),
                            .destination = IpAddress::v4(0x0A000002),
                            .source_port = 0xC001,
                            .identification = 0x1234};
  std::vector<std::uint8_t> data(8, 0xFF);
  for (const int byte :
       {0x45, 0xFF, 0,    48,   0x12, 0x34, 0x40, 0,    0xFF, 17, 0xFF, 0xFF, 10, 0,  0,  1, 10, 0, 0, 2,  // IPv4
        0xC0, 0x01, 0x12, 0xB7, 0,    28,   0xFF, 0xFF,                                                    // UDP
        1,    2,    3,    4,    0xFF, 6,    7,    8,    9,    10, 11,   12,   13, 14, 15, 16}) {
    data.push_back(static_cast<std::uint8_t>(byte));
  }
  std::vector<std::byte> covered;
  for (int i = 1; i <= 16; ++i) covered.push_back(static_cast<std::byte>(i));
  EXPECT_EQ(icrc(headers, covered), crc_by_definition(data));
}

TEST(Icrc, IsTheCrcOfTheMaskedHeadersIpv6) {  // [spec 5.1.4]
  const IcrcHeaders headers{
      .source = *IpAddress::parse("fd00::1"), .destination = *IpAddress::parse("fd00::2"), .source_port = 0xC001};
  std::vector<std::uint8_t> data(8, 0xFF);
  for (const int byte : {0x6F, 0xFF, 0xFF, 0xFF, 0, 28, 17, 0xFF}) data.push_back(static_cast<std::uint8_t>(byte));
  data.insert(data.end(), headers.source.bytes.begin(), headers.source.bytes.end());
  data.insert(data.end(), headers.destination.bytes.begin(), headers.destination.bytes.end());
  for (const int byte : {0xC0, 0x01, 0x12, 0xB7, 0,    28, 0xFF, 0xFF,  //
                         1,    2,    3,    4,    0xFF, 6,  7,    8,    9, 10, 11, 12, 13, 14, 15, 16}) {
    data.push_back(static_cast<std::uint8_t>(byte));
  }
  std::vector<std::byte> covered;
  for (int i = 1; i <= 16; ++i) covered.push_back(static_cast<std::byte>(i));
  EXPECT_EQ(icrc(headers, covered), crc_by_definition(data));
}

TEST(Icrc, LoadsWhatItStores) {
  std::array<std::byte, icrc_bytes> bytes{};
  store_icrc(bytes, 0x01020304);
  EXPECT_EQ(bytes[0], std::byte{4});
  EXPECT_EQ(load_icrc(bytes), 0x01020304U);
}

// For every length that a datagram can have, a random identification is found again.
TEST(Icrc, SolvesForTheIdentification) {
  const auto world = rt::World::simulated(1);
  for (std::size_t bytes = 16; bytes <= fabric::datagram_bytes_max; bytes += 4) {
    auto payload = random_payload(*world, bytes);
    IcrcHeaders headers{.source = IpAddress::v4(world->random32()),
                        .destination = IpAddress::v4(world->random32()),
                        .source_port = static_cast<std::uint16_t>(world->random())};
    for (const std::uint16_t identification :
         {std::uint16_t{0}, std::uint16_t{1}, std::uint16_t{0x8000}, static_cast<std::uint16_t>(world->random())}) {
      headers.identification = identification;
      store_icrc(std::span(payload).last<icrc_bytes>(), icrc(headers, std::span(payload).first(bytes - icrc_bytes)));
      ASSERT_EQ(solve_icrc(headers, payload), identification) << bytes;
    }
  }
}

TEST(Icrc, Ipv6HasNoIdentificationToSolveFor) {
  const auto world = rt::World::simulated(2);
  auto payload = random_payload(*world, 64);
  const IcrcHeaders headers{
      .source = *IpAddress::parse("fd00::1"), .destination = *IpAddress::parse("fd00::2"), .source_port = 7};
  const std::uint32_t right = icrc(headers, std::span(payload).first(60));
  store_icrc(std::span(payload).last<icrc_bytes>(), right);
  EXPECT_EQ(solve_icrc(headers, payload), 0);
  for (int bit = 0; bit < 32; ++bit) {
    store_icrc(std::span(payload).last<icrc_bytes>(), right ^ 1U << bit);
    EXPECT_FALSE(solve_icrc(headers, payload));
  }
}

// About 16 bits of check remain with IPv4: of 2^20 corrupt datagrams about 16 pass.
TEST(Icrc, CorruptionPassesAsRarelyAsSixteenBitsAllow) {
  const auto world = rt::World::simulated(3);
  auto payload = random_payload(*world, 32);
  const IcrcHeaders headers{
      .source = IpAddress::v4(0x0A000001), .destination = IpAddress::v4(0x0A000002), .source_port = 7};
  int passed = 0;
  for (int i = 0; i < 1 << 20; ++i) {
    store_icrc(std::span(payload).last<icrc_bytes>(), world->random32());
    passed += solve_icrc(headers, payload) ? 1 : 0;
  }
  EXPECT_GT(passed, 4);
  EXPECT_LT(passed, 40);
}

TEST(Icrc, RefusesImpossibleLengths) {
  const IcrcHeaders headers{.source = IpAddress::v4(1), .destination = IpAddress::v4(2), .source_port = 7};
  const std::vector<std::byte> zeros(fabric::datagram_bytes_max + 64);
  for (std::size_t bytes = 0; bytes < 16; ++bytes) EXPECT_FALSE(solve_icrc(headers, std::span(zeros).first(bytes)));
  EXPECT_FALSE(solve_icrc(headers, std::span(zeros).first(33)));
  EXPECT_FALSE(solve_icrc(headers, zeros));
}

}  // namespace
}  // namespace hawser::roce
