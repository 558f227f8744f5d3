#include "cma/private_header.hpp"

#include <algorithm>

#include "base/wire.hpp"

namespace hawser::cma {
namespace {

struct Wire {
  std::uint8_t version{}, ip_version{};
  std::uint16_t source_port{};
  IpAddress source, destination;
};

// [spec 1.11.1, 1.11.3]
template <class Io, class Header>
void describe(Io& io, Header& h) {
  io.field(0, 0, 8, h.version);
  io.field(1, 0, 4, h.ip_version);
  io.field(2, 0, 16, h.source_port);
  io.bytes(4, h.source);
  io.bytes(20, h.destination);
}

// An IPv4 address stands in the last four bytes, after zeroes (not after ::ffff as in a GID).
IpAddress without_prefix(IpAddress address) {
  address.bytes[10] = address.bytes[11] = 0;
  return address;
}

IpAddress with_prefix(IpAddress address) {
  std::fill_n(address.bytes.begin(), 10, std::uint8_t{0});
  address.bytes[10] = address.bytes[11] = 0xff;
  return address;
}

}  // namespace

// [spec 1.11.2]
Result<PrivateHeader> PrivateHeader::parse(std::span<const std::byte> private_data) {
  if (private_data.size() < private_header_bytes) return fail(EINVAL);
  Wire wire;
  WireReader reader(private_data);
  describe(reader, wire);
  if (wire.version != 0) return fail(EINVAL);
  if (wire.ip_version != 4 && wire.ip_version != 6) return fail(EINVAL);
  PrivateHeader header{.v4 = wire.ip_version == 4,
                       .source_port = wire.source_port,
                       .source = wire.source,
                       .destination = wire.destination};
  if (header.v4) {
    header.source = with_prefix(header.source);
    header.destination = with_prefix(header.destination);
  }
  return header;
}

Result<std::vector<std::byte>> with_private_header(const PrivateHeader& header, std::span<const std::byte> user_data,
                                                   std::size_t user_data_max) {
  if (user_data.size() > user_data_max) return fail(EINVAL);
  std::vector<std::byte> field(private_header_bytes + user_data.size());
  Wire wire{.version = 0,
            .ip_version = static_cast<std::uint8_t>(header.v4 ? 4 : 6),
            .source_port = header.source_port,
            .source = header.v4 ? without_prefix(header.source) : header.source,
            .destination = header.v4 ? without_prefix(header.destination) : header.destination};
  WireWriter writer(field);
  describe(writer, wire);
  std::ranges::copy(user_data, field.begin() + private_header_bytes);
  return field;
}

}  // namespace hawser::cma
