#include "capture/frame.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace hawser::capture {
namespace {

using Bytes = std::vector<std::byte>;

Bytes bytes(std::initializer_list<int> values) {
  Bytes out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

Bytes join(const Bytes& a, const Bytes& b) {
  Bytes out = a;
  out.insert(out.end(), b.begin(), b.end());
  return out;
}

// 10.0.0.1:49152 → 10.0.0.2:4791, identification 0x1234, DF, TOS 0x20, TTL 63, payload 1 2 3 4.
const Bytes ipv4 = bytes({0x45, 0x20, 0, 32, 0x12, 0x34, 0x40, 0,    63, 17, 0,    0,    10, 0, 0, 1,
                          10,   0,    0, 2,  0xC0, 0,    0x12, 0xB7, 0,  12, 0xAB, 0xCD, 1,  2, 3, 4});
// fe80::1 → fe80::2, traffic class 0x20, hop limit 63.
const Bytes ipv6 =
    bytes({0x62, 0, 0, 0, 0, 12, 17, 63, 0xFE, 0x80, 0, 0, 0, 0, 0,    0, 0,    0,    0, 0,  0, 0, 0, 1, 0xFE, 0x80,
           0,    0, 0, 0, 0, 0,  0,  0,  0,    0,    0, 0, 0, 2, 0xC0, 0, 0x12, 0xB7, 0, 12, 0, 0, 1, 2, 3,    4});

void expect_ipv4(LinkType link, Bytes frame, std::uint32_t interface = 0) {
  const auto udp = parse_udp(link, frame);
  ASSERT_TRUE(udp);
  EXPECT_EQ(udp->datagram.source.text(), "10.0.0.1");
  EXPECT_EQ(udp->datagram.destination.text(), "10.0.0.2");
  EXPECT_EQ(udp->datagram.interface, interface);
  EXPECT_EQ(udp->datagram.source_port, 0xC000);
  EXPECT_EQ(udp->destination_port, 4791);
  EXPECT_EQ(udp->datagram.traffic_class, 0x20);
  EXPECT_EQ(udp->datagram.hop_limit, 63);
  EXPECT_EQ(udp->identification, 0x1234);
  EXPECT_EQ(udp->udp_checksum, 0xABCD);
  EXPECT_TRUE(udp->dont_fragment);
  EXPECT_FALSE(udp->fragment);
  EXPECT_FALSE(udp->truncated);
  EXPECT_EQ(Bytes(udp->datagram.payload.begin(), udp->datagram.payload.end()), bytes({1, 2, 3, 4}));
}

TEST(CaptureFrame, EveryLinkTypeLeadsToTheSameDatagram) {
  const Bytes macs = bytes({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  expect_ipv4(LinkType::raw, ipv4);
  expect_ipv4(LinkType::ipv4, ipv4);
  expect_ipv4(LinkType::ethernet, join(join(macs, bytes({8, 0})), ipv4));
  expect_ipv4(LinkType::ethernet, join(join(macs, bytes({0x81, 0, 0, 7, 8, 0})), ipv4));
  expect_ipv4(LinkType::ethernet, join(join(macs, bytes({0x88, 0xA8, 0, 7, 0x81, 0, 0, 8, 8, 0})), ipv4));
  expect_ipv4(LinkType::linux_sll, join(bytes({0, 4, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0}), ipv4));
  expect_ipv4(LinkType::linux_sll2, join(bytes({8, 0, 0, 0, 0, 0, 0, 9, 0, 1, 4, 6, 1, 2, 3, 4, 5, 6, 0, 0}), ipv4), 9);
}

TEST(CaptureFrame, EthernetPaddingIsNotPayload) { expect_ipv4(LinkType::raw, join(ipv4, Bytes(14))); }

TEST(CaptureFrame, Ipv6) {
  Bytes frame = ipv6;
  for (const LinkType link : {LinkType::raw, LinkType::ipv6}) {
    const auto udp = parse_udp(link, frame);
    ASSERT_TRUE(udp);
    EXPECT_EQ(udp->datagram.source.text(), "fe80::1");
    EXPECT_EQ(udp->datagram.destination.text(), "fe80::2");
    EXPECT_EQ(udp->datagram.traffic_class, 0x20);
    EXPECT_EQ(udp->datagram.hop_limit, 63);
    EXPECT_EQ(udp->datagram.payload.size(), 4U);
  }
}

TEST(CaptureFrame, ShortFramesAreEitherMarkedOrRefused) {
  for (const Bytes& whole : {ipv4, ipv6}) {
    const std::size_t headers = whole.size() - 4;
    for (std::size_t length = 0; length < whole.size(); ++length) {
      Bytes frame(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      const auto udp = parse_udp(LinkType::raw, frame);
      EXPECT_EQ(udp.has_value(), length >= headers) << length;
      if (udp) {
        EXPECT_TRUE(udp->truncated) << length;
      }
    }
  }
}

TEST(CaptureFrame, FragmentsAreMarked) {
  Bytes first = ipv4;
  first[6] = std::byte{0x20};
  ASSERT_TRUE(parse_udp(LinkType::raw, first));
  EXPECT_TRUE(parse_udp(LinkType::raw, first)->fragment);
  Bytes second = ipv4;
  second[7] = std::byte{1};
  EXPECT_FALSE(parse_udp(LinkType::raw, second));  // holds no UDP header
}

TEST(CaptureFrame, OtherProtocolsAreNotDatagrams) {
  Bytes tcp = ipv4;
  tcp[9] = std::byte{6};
  EXPECT_FALSE(parse_udp(LinkType::raw, tcp));
  Bytes arp = join(bytes({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8, 6}), ipv4);
  EXPECT_FALSE(parse_udp(LinkType::ethernet, arp));
}

}  // namespace
}  // namespace hawser::capture
