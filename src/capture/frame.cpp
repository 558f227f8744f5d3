#include "capture/frame.hpp"

#include <algorithm>

#include "base/ip.hpp"
#include "base/wire.hpp"

namespace hawser::capture {
namespace {

constexpr std::uint16_t ether_ipv4 = 0x0800, ether_ipv6 = 0x86DD, ether_vlan = 0x8100, ether_qinq = 0x88A8;
constexpr std::size_t ethernet_bytes = 14, vlan_bytes = 4, sll_bytes = 16, sll2_bytes = 20, ipv4_bytes_min = 20,
                      ipv6_bytes = 40, udp_bytes = 8;
constexpr unsigned protocol_udp = 17;

template <class T>
T number(std::span<const std::byte> data, std::size_t byte) {
  return static_cast<T>(read_bits(data, byte, 0, sizeof(T) * 8));
}

struct Network {  // the packet inside a frame
  std::span<std::byte> bytes;
  std::uint32_t interface{};
};

// What the first bits of an IP packet say about its version stands in for an ether type where the link has none.
std::optional<std::uint16_t> type_by_version(std::span<const std::byte> packet) {
  if (packet.empty()) return std::nullopt;
  const unsigned version = std::to_integer<unsigned>(packet[0]) >> 4;
  if (version == 4) return ether_ipv4;
  if (version == 6) return ether_ipv6;
  return std::nullopt;
}

std::optional<Network> strip_ethernet(std::span<std::byte> frame) {
  std::size_t at = ethernet_bytes;
  if (frame.size() < at) return std::nullopt;
  auto type = number<std::uint16_t>(frame, at - 2);
  while (type == ether_vlan || type == ether_qinq) {
    at += vlan_bytes;
    if (frame.size() < at) return std::nullopt;
    type = number<std::uint16_t>(frame, at - 2);
  }
  if (type != ether_ipv4 && type != ether_ipv6) return std::nullopt;
  return Network{.bytes = frame.subspan(at)};
}

std::optional<Network> strip_link(LinkType link, std::span<std::byte> frame) {
  switch (link) {
    case LinkType::ethernet: return strip_ethernet(frame);
    case LinkType::raw:
    case LinkType::ipv4:
    case LinkType::ipv6: return Network{.bytes = frame};
    case LinkType::linux_sll: {
      if (frame.size() < sll_bytes) return std::nullopt;
      const auto type = number<std::uint16_t>(frame, 14);
      if (type != ether_ipv4 && type != ether_ipv6) return std::nullopt;
      return Network{.bytes = frame.subspan(sll_bytes)};
    }
    case LinkType::linux_sll2: {
      if (frame.size() < sll2_bytes) return std::nullopt;
      const auto type = number<std::uint16_t>(frame, 0);
      if (type != ether_ipv4 && type != ether_ipv6) return std::nullopt;
      return Network{.bytes = frame.subspan(sll2_bytes), .interface = number<std::uint32_t>(frame, 4)};
    }
  }
  return std::nullopt;
}

// Fills what the UDP header says; `segment` is all that the IP packet carries, as far as it was captured.
bool parse_udp_header(std::span<std::byte> segment, UdpDatagram& out) {
  if (segment.size() < udp_bytes) return false;
  out.datagram.source_port = number<std::uint16_t>(segment, 0);
  out.destination_port = number<std::uint16_t>(segment, 2);
  const std::size_t length = number<std::uint16_t>(segment, 4);
  out.udp_checksum = number<std::uint16_t>(segment, 6);
  if (length < udp_bytes) return false;
  out.datagram.payload = segment.subspan(udp_bytes, std::min(length, segment.size()) - udp_bytes);
  out.truncated = length > segment.size() && !out.fragment;
  return true;
}

std::optional<UdpDatagram> parse_ipv4(std::span<std::byte> packet) {
  if (packet.size() < ipv4_bytes_min) return std::nullopt;
  const std::size_t header = read_bits(packet, 0, 4, 4) * 4;
  const std::size_t total = number<std::uint16_t>(packet, 2);
  if (header < ipv4_bytes_min || header > packet.size() || total < header) return std::nullopt;
  if (number<std::uint8_t>(packet, 9) != protocol_udp) return std::nullopt;
  UdpDatagram out;
  out.datagram.traffic_class = number<std::uint8_t>(packet, 1);
  out.identification = number<std::uint16_t>(packet, 4);
  out.dont_fragment = read_bits(packet, 6, 1, 1) != 0;
  const auto offset = read_bits(packet, 6, 3, 13);
  out.fragment = read_bits(packet, 6, 2, 1) != 0 || offset != 0;
  out.datagram.hop_limit = number<std::uint8_t>(packet, 8);
  out.datagram.source = IpAddress::v4(number<std::uint32_t>(packet, 12));
  out.datagram.destination = IpAddress::v4(number<std::uint32_t>(packet, 16));
  if (offset != 0) return std::nullopt;  // no UDP header in here
  const auto segment = packet.first(std::min(total, packet.size())).subspan(header);
  if (!parse_udp_header(segment, out)) return std::nullopt;
  return out;
}

std::optional<UdpDatagram> parse_ipv6(std::span<std::byte> packet) {
  if (packet.size() < ipv6_bytes) return std::nullopt;
  if (number<std::uint8_t>(packet, 6) != protocol_udp) return std::nullopt;
  UdpDatagram out;
  WireReader reader(packet);
  reader.field(0, 4, 8, out.datagram.traffic_class);
  reader.field(7, 0, 8, out.datagram.hop_limit);
  reader.bytes(8, out.datagram.source);
  reader.bytes(24, out.datagram.destination);
  const std::size_t length = number<std::uint16_t>(packet, 4);
  if (!parse_udp_header(packet.subspan(ipv6_bytes, std::min(length, packet.size() - ipv6_bytes)), out)) {
    return std::nullopt;
  }
  return out;
}

}  // namespace

bool is_supported(int link_type) {
  switch (static_cast<LinkType>(link_type)) {
    case LinkType::ethernet:
    case LinkType::raw:
    case LinkType::linux_sll:
    case LinkType::ipv4:
    case LinkType::ipv6:
    case LinkType::linux_sll2: return true;
  }
  return false;
}

std::optional<UdpDatagram> parse_udp(LinkType link, std::span<std::byte> frame) {
  const auto network = strip_link(link, frame);
  if (!network) return std::nullopt;
  const auto type = type_by_version(network->bytes);
  auto udp = type == ether_ipv4   ? parse_ipv4(network->bytes)
             : type == ether_ipv6 ? parse_ipv6(network->bytes)
                                  : std::nullopt;
  if (udp) udp->datagram.interface = network->interface;
  return udp;
}

}  // namespace hawser::capture
