#include "roce/network_header.hpp"

#include "base/wire.hpp"

namespace hawser::roce {
namespace {

constexpr std::size_t v4_offset = 20, v4_bytes = 20, udp_header_bytes = 8;
constexpr std::uint8_t protocol_udp = 17;
constexpr std::uint16_t dont_fragment = 0x4000;

struct Ipv6Header {
  std::uint8_t version{6}, traffic_class{};
  std::uint32_t flow_label{};
  std::uint16_t payload_bytes{};
  std::uint8_t next_header{protocol_udp}, hop_limit{};
  IpAddress source, destination;
};
template <class Io, class T>
void describe_v6(Io& io, T& m) {
  io.field(0, 0, 4, m.version);
  io.field(0, 4, 8, m.traffic_class);
  io.field(1, 4, 20, m.flow_label);
  io.field(4, 0, 16, m.payload_bytes);
  io.field(6, 0, 8, m.next_header);
  io.field(7, 0, 8, m.hop_limit);
  io.bytes(8, m.source);
  io.bytes(24, m.destination);
}

struct Ipv4Header {
  std::uint8_t version{4}, header_words{v4_bytes / 4}, tos{};
  std::uint16_t total_bytes{}, identification{}, fragment{dont_fragment};
  std::uint8_t ttl{}, protocol{protocol_udp};
  std::uint16_t checksum{};
  std::uint32_t source{}, destination{};
};
template <class Io, class T>
void describe_v4(Io& io, T& m) {
  io.field(0, 0, 4, m.version);
  io.field(0, 4, 4, m.header_words);
  io.field(1, 0, 8, m.tos);
  io.field(2, 0, 16, m.total_bytes);
  io.field(4, 0, 16, m.identification);
  io.field(6, 0, 16, m.fragment);
  io.field(8, 0, 8, m.ttl);
  io.field(9, 0, 8, m.protocol);
  io.field(10, 0, 16, m.checksum);
  io.field(12, 0, 32, m.source);
  io.field(16, 0, 32, m.destination);
}

// The checksum that makes the header's one's complement sum come out (RFC 1071); 0 for a header that has it already.
std::uint16_t checksum_of(std::span<const std::byte> header) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < header.size(); i += 2) sum += static_cast<std::uint32_t>(read_bits(header, i, 0, 16));
  while (sum > 0xFFFF) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

}  // namespace

std::array<std::byte, network_header_bytes> network_header(const fabric::InDatagram& datagram) {
  std::array<std::byte, network_header_bytes> out{};
  const std::size_t udp_total = udp_header_bytes + datagram.payload.size();
  if (datagram.destination.is_v4()) {
    const std::span v4 = std::span(out).subspan(v4_offset);
    Ipv4Header header{.tos = datagram.traffic_class,
                      .total_bytes = static_cast<std::uint16_t>(v4_bytes + udp_total),
                      .ttl = datagram.hop_limit,
                      .source = datagram.source.v4_host_order(),
                      .destination = datagram.destination.v4_host_order()};
    WireWriter writer(v4);
    describe_v4(writer, header);
    header.checksum = checksum_of(v4);
    describe_v4(writer, header);
    return out;
  }
  Ipv6Header header{.traffic_class = datagram.traffic_class,
                    .payload_bytes = static_cast<std::uint16_t>(udp_total),
                    .hop_limit = datagram.hop_limit,
                    .source = datagram.source,
                    .destination = datagram.destination};
  WireWriter writer(out);
  describe_v6(writer, header);
  return out;
}

std::optional<NetworkHeader> parse_network_header(std::span<const std::byte, network_header_bytes> in) {
  Ipv6Header v6;
  WireReader reader_v6(in);
  describe_v6(reader_v6, v6);
  if (v6.version == 6) {
    return NetworkHeader{.source = v6.source,
                         .destination = v6.destination,
                         .traffic_class = v6.traffic_class,
                         .hop_limit = v6.hop_limit,
                         .flow_label = v6.flow_label};
  }
  const auto bytes = in.subspan(v4_offset);
  Ipv4Header v4;
  WireReader reader_v4(bytes);
  describe_v4(reader_v4, v4);
  if (v4.version != 4 || v4.header_words != v4_bytes / 4 || checksum_of(bytes) != 0) return std::nullopt;
  return NetworkHeader{.source = IpAddress::v4(v4.source),
                       .destination = IpAddress::v4(v4.destination),
                       .traffic_class = v4.tos,
                       .hop_limit = v4.ttl};
}

}  // namespace hawser::roce
