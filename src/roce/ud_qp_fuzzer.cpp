// libFuzzer: a datagram queue pair is given any packets whose addresses and ICRC are right.
// Input: records of {length (1 byte, in words), payload without ICRC}; every record is one packet.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/assert.hpp"
#include "roce/network_header.hpp"
#include "roce/ud_test_host.hpp"

using namespace hawser;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  roce::test::UdTestHost host;
  host.memory[1].resize(600);
  host.shared = size % 2 == 1;
  roce::UdQp qp(host);
  qp.ready_to_receive({.qkey = QKey(0x11111111), .local_qpn = Qpn(2)});
  constexpr std::size_t receives = 6;
  for (std::uint32_t i = 0; i < receives; ++i) host.add_receive(i, i == 4 ? 9 : 1, 40 + 90 * i);
  while (size > 0) {
    const std::size_t length = std::min<std::size_t>(std::size_t{data[0]} * 4, size - 1) / 4 * 4;
    const auto* begin = reinterpret_cast<const std::byte*>(data + 1);
    std::vector<std::byte> bytes(begin, begin + length);
    bytes.resize(length + roce::icrc_bytes);
    const std::size_t completed = host.received.size();
    if (const auto packet = roce::decode_unverified(bytes)) {
      const fabric::InDatagram in{
          .source = IpAddress::v4(1), .destination = IpAddress::v4(2), .source_port = 1, .payload = bytes};
      const auto received = qp.on_packet(*packet, in);
      if (received != roce::UdQp::Received::taken && !host.shared) {
        HW_ASSERT(host.received.size() == completed, "fuzz-ud-dropped-and-completed");
      }
    }
    if (host.receive_failures > 0) qp.flush();
    data += 1 + length;
    size -= 1 + length;
  }
  HW_ASSERT(host.received.size() + host.receives.size() == receives, "fuzz-ud-lost-receive");
  return 0;
}
