// Datagrams that one kernel sent to another, given to our UD engine as the receiver, and made again by it as the
// sender.
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "capture/reader.hpp"
#include "roce/network_header.hpp"
#include "roce/ud_test_host.hpp"

namespace hawser::capture {
namespace {

struct CapturedFile {
  const char* name;
  std::size_t datagrams;
};
class KernelDatagrams : public testing::TestWithParam<CapturedFile> {};
INSTANTIATE_TEST_SUITE_P(, KernelDatagrams,
                         testing::Values(CapturedFile{"rxe-udaddy", 6}, CapturedFile{"rxe-mckey", 3}),
                         [](const auto& tested) { return std::string(tested.param.name).substr(4); });

// What our receiver makes of it.
void receive(const fabric::InDatagram& datagram, const roce::Packet& packet) {
  roce::test::UdTestHost host;
  host.memory[1].resize(4096);
  host.add_receive(1, 1, 4096);
  roce::UdQp qp(host);
  qp.ready_to_receive({.qkey = packet.deth->qkey, .local_qpn = packet.bth.destination});
  EXPECT_EQ(qp.on_packet(packet, datagram), roce::UdQp::Received::taken);
  ASSERT_EQ(host.received.size(), 1U);
  EXPECT_EQ(host.received[0].byte_len, roce::network_header_bytes + packet.payload.size());
  EXPECT_EQ(host.received[0].source, packet.deth->source);
  EXPECT_TRUE(host.received[0].with_imm);
  const std::span<const std::byte> memory = host.memory[1];
  const auto header = roce::parse_network_header(memory.first<roce::network_header_bytes>());
  ASSERT_TRUE(header);
  EXPECT_EQ(header->source, datagram.source);
  EXPECT_EQ(header->destination, datagram.destination);
  EXPECT_EQ(header->hop_limit, 64);
  EXPECT_TRUE(std::ranges::equal(memory.subspan(roce::network_header_bytes, packet.payload.size()), packet.payload));
}

// The same work makes the same packet, but for the ICRC, which covers another identification.
void send(const fabric::InDatagram& datagram, const roce::Packet& packet) {
  roce::test::UdTestHost host;
  host.memory[1].assign(packet.payload.begin(), packet.payload.end());
  roce::UdQp qp(host);
  qp.ready_to_send({.qkey = QKey(1), .local_qpn = packet.deth->source}, packet.bth.psn);
  roce::SendWork work;
  work.op = roce::WorkOp::send_with_imm;
  work.imm_data = packet.imm->data;
  work.ud = {.address = std::make_shared<roce::UdAddress>(roce::UdAddress{datagram.source, datagram.destination}),
             .qpn = packet.bth.destination,
             .qkey = packet.deth->qkey};
  work.sges.push_back({.addr = 0, .length = static_cast<std::uint32_t>(packet.payload.size()), .lkey = LKey(1)});
  qp.post_send(std::move(work));
  ASSERT_EQ(host.datagrams.size(), 1U);
  const auto& ours = host.datagrams[0].bytes;
  ASSERT_EQ(ours.size(), datagram.payload.size());
  EXPECT_TRUE(std::equal(ours.begin(), ours.end() - roce::icrc_bytes, datagram.payload.begin()));
}

TEST_P(KernelDatagrams, AreTakenAndMadeAlike) {
  auto reader = Reader::open(fmt::format("{}/{}.pcap", HAWSER_WIRE_DIR, GetParam().name));
  ASSERT_TRUE(reader) << reader.error();
  std::size_t seen = 0;
  while (const auto frame = reader->next()) {
    if (!frame->udp || frame->udp->destination_port != roce_v2_port) continue;
    const fabric::InDatagram& datagram = frame->udp->datagram;
    const auto packet = roce::decode(datagram);
    ASSERT_TRUE(packet);
    if (packet->bth.destination == qpn_gsi) continue;
    ASSERT_TRUE(packet->deth && packet->imm);
    EXPECT_EQ(packet->bth.destination == qpn_multicast, datagram.destination.is_multicast());
    receive(datagram, *packet);
    send(datagram, *packet);
    ++seen;
  }
  EXPECT_EQ(seen, GetParam().datagrams);
}

}  // namespace
}  // namespace hawser::capture
