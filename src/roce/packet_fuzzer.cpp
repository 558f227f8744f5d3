// libFuzzer: any UDP payload may be given to decode(); what decodes encodes to the same bytes again.
#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.hpp"
#include "roce/packet.hpp"

using namespace hawser;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::byte> bytes(reinterpret_cast<const std::byte*>(data),
                               reinterpret_cast<const std::byte*>(data) + size);
  fabric::InDatagram datagram;
  datagram.source = IpAddress::v4(0x0A000001);
  datagram.destination = IpAddress::v4(0x0A000002);
  datagram.source_port = roce_v2_port;
  datagram.payload = bytes;
  static_cast<void>(roce::decode(datagram));
  const auto packet = roce::decode_unverified(bytes);
  if (!packet) return 0;
  std::array<std::byte, fabric::datagram_bytes_max + 8> again{};
  const std::size_t length = roce::encode(*packet, datagram.source, datagram.destination, datagram.source_port, again);
  // Pad bytes and a pad count of four or more empty words are not kept.
  const std::size_t kept = *roce::header_bytes(packet->bth.opcode) + packet->payload.size();
  HW_ASSERT(length <= size, "fuzz-packet-grew");
  bytes[1] = again[1] = std::byte{0};
  HW_ASSERT(std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(kept), again.begin()),
            "fuzz-packet-changed");
  return 0;
}
