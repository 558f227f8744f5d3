#include "roce/ud_qp.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "roce/network_header.hpp"
#include "roce/ud_test_host.hpp"

namespace hawser::roce {
namespace {

using test::UdTestHost;
using testing::ElementsAre;
using testing::Field;

const IpAddress alice = IpAddress::v4(0x0A000001), bob = IpAddress::v4(0x0A000002);
constexpr Qpn alice_qpn{0x111}, bob_qpn{0x222};
constexpr QKey ud_key{0x01234567};

std::vector<std::byte> text(const char* characters) {
  std::vector<std::byte> bytes(std::strlen(characters));
  std::memcpy(bytes.data(), characters, bytes.size());
  return bytes;
}

class UdQpTest : public testing::Test {
 protected:
  UdQpTest() {
    receiver_host.memory[1].resize(2048);
    sender_host.memory[1] = text("Hello, datagram!");
    sender.ready_to_receive({.qkey = ud_key, .mtu = Mtu::mtu_1024, .local_qpn = alice_qpn});
    sender.ready_to_send({.qkey = ud_key, .mtu = Mtu::mtu_1024, .local_qpn = alice_qpn}, Psn(0xFFFFFF));
    receiver.ready_to_receive({.qkey = ud_key, .mtu = Mtu::mtu_1024, .local_qpn = bob_qpn});
  }
  SendWork work(std::uint64_t wr_id = 7) {
    SendWork out;
    out.wr_id = wr_id;
    out.signaled = true;
    out.ud = {.address = std::make_shared<UdAddress>(UdAddress{alice, bob, 0, 8, 33}), .qpn = bob_qpn, .qkey = ud_key};
    out.sges.push_back({.addr = 0, .length = 16, .lkey = LKey(1)});
    return out;
  }
  UdQp::Received deliver(test::SentDatagram& datagram) {
    const fabric::InDatagram in = datagram.arriving();
    const auto packet = decode(in);
    EXPECT_TRUE(packet);
    return receiver.on_packet(*packet, in);
  }
  UdQp::Received deliver_last() { return deliver(sender_host.datagrams.back()); }

  UdTestHost sender_host, receiver_host;
  UdQp sender{sender_host}, receiver{receiver_host};
};

TEST_F(UdQpTest, ASendIsOnePacketToWhereItsAddressSays) {
  sender.post_send(work());
  SendWork with_imm = work(8);
  with_imm.op = WorkOp::send_with_imm;
  with_imm.imm_data = 0xAABBCCDD;
  with_imm.solicited = true;
  sender.post_send(std::move(with_imm));
  ASSERT_EQ(sender_host.datagrams.size(), 2U);
  EXPECT_THAT(sender_host.sent, ElementsAre(Field(&Completion::wr_id, 7), Field(&Completion::wr_id, 8)));

  const fabric::OutDatagram& envelope = sender_host.datagrams[0].envelope;
  EXPECT_EQ(envelope.source, alice);
  EXPECT_EQ(envelope.destination, bob);
  EXPECT_EQ(envelope.traffic_class, 8);
  EXPECT_EQ(envelope.hop_limit, 33);
  const auto first = decode(sender_host.datagrams[0].arriving());
  const auto second = decode(sender_host.datagrams[1].arriving());
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->bth.opcode.value(), 100);
  EXPECT_EQ(second->bth.opcode.value(), 101);
  EXPECT_EQ(first->bth.psn, Psn(0xFFFFFF));
  EXPECT_EQ(second->bth.psn, Psn(0));
  EXPECT_EQ(first->bth.destination, bob_qpn);
  EXPECT_EQ(first->deth->source, alice_qpn);
  EXPECT_EQ(first->deth->qkey, ud_key);
  EXPECT_EQ(second->imm->data, 0xAABBCCDDU);
  EXPECT_TRUE(second->bth.solicited);
}

TEST_F(UdQpTest, AReceiveHoldsTheNetworkHeaderAndThePayload) {
  receiver_host.add_receive(21, 1, 100);
  SendWork out = work();
  out.op = WorkOp::send_with_imm;
  out.imm_data = 5;
  sender.post_send(std::move(out));
  EXPECT_EQ(deliver_last(), UdQp::Received::taken);
  ASSERT_EQ(receiver_host.received.size(), 1U);
  const Completion& got = receiver_host.received[0];
  EXPECT_EQ(got.wr_id, 21U);
  EXPECT_EQ(got.status, WcStatus::success);
  EXPECT_EQ(got.opcode, WcOpcode::recv);
  EXPECT_EQ(got.byte_len, network_header_bytes + 16);
  EXPECT_EQ(got.source, alice_qpn);
  EXPECT_TRUE(got.with_network_header);
  EXPECT_TRUE(got.with_imm);
  EXPECT_EQ(got.imm_data, 5U);
  const std::span<const std::byte> memory = receiver_host.memory[1];
  const auto header = parse_network_header(memory.first<network_header_bytes>());
  ASSERT_TRUE(header);
  EXPECT_EQ(*header, (NetworkHeader{.source = alice, .destination = bob, .traffic_class = 8, .hop_limit = 33}));
  EXPECT_TRUE(std::ranges::equal(memory.subspan(network_header_bytes, 16), text("Hello, datagram!")));
}

TEST_F(UdQpTest, AnotherQKeyIsDropped) {
  receiver_host.add_receive(1, 1, 100);
  SendWork out = work();
  out.ud.qkey = QKey(99);
  sender.post_send(std::move(out));
  EXPECT_EQ(deliver_last(), UdQp::Received::bad_qkey);
  EXPECT_EQ(receiver_host.receives.size(), 1U);
}

TEST_F(UdQpTest, AControlledQKeyStandsForTheQueuePairsOwn) {
  SendWork out = work();
  out.ud.qkey = QKey(0x80010000);
  sender.post_send(std::move(out));
  EXPECT_EQ(decode(sender_host.datagrams[0].arriving())->deth->qkey, ud_key);
}

TEST_F(UdQpTest, WithoutAReceiveItIsDropped) {
  sender.post_send(work());
  EXPECT_EQ(deliver_last(), UdQp::Received::no_receive);
  EXPECT_TRUE(receiver_host.received.empty());
}

TEST_F(UdQpTest, ATooSmallReceiveStaysForTheNextDatagram) {
  receiver_host.add_receive(1, 1, network_header_bytes + 15);
  sender.post_send(work());
  EXPECT_EQ(deliver_last(), UdQp::Received::too_long);
  EXPECT_TRUE(receiver_host.received.empty());
  SendWork shorter = work();
  shorter.sges[0].length = 15;
  sender.post_send(std::move(shorter));
  EXPECT_EQ(deliver_last(), UdQp::Received::taken);
  EXPECT_EQ(receiver_host.received.at(0).wr_id, 1U);
}

TEST_F(UdQpTest, ATooSmallReceiveOfASharedQueueFails) {
  receiver_host.shared = true;
  receiver_host.add_receive(1, 1, 20);
  sender.post_send(work());
  EXPECT_EQ(deliver_last(), UdQp::Received::too_long);
  EXPECT_EQ(receiver_host.received.at(0).status, WcStatus::loc_len_err);
}

TEST_F(UdQpTest, ReceiveMemoryThatIsNotOursBreaksTheQueuePair) {
  receiver_host.add_receive(1, 42, 100);
  sender.post_send(work());
  EXPECT_EQ(deliver_last(), UdQp::Received::taken);
  EXPECT_EQ(receiver_host.received.at(0).status, WcStatus::loc_prot_err);
  EXPECT_EQ(receiver_host.receive_failures, 1);
}

TEST_F(UdQpTest, TheMtuIsTheLongestMessage) {
  sender_host.memory[1].resize(2000);
  SendWork longest = work(), longer = work(8);
  longest.sges[0].length = 1024;
  longer.sges[0].length = 1025;
  sender.post_send(std::move(longest));
  sender.post_send(std::move(longer));
  EXPECT_EQ(sender_host.datagrams.size(), 1U);
  EXPECT_EQ(sender_host.too_long, 1);
  EXPECT_THAT(sender_host.sent, ElementsAre(Field(&Completion::status, WcStatus::success),
                                            Field(&Completion::status, WcStatus::success)));
}

TEST_F(UdQpTest, EmptyAndInlineMessages) {
  receiver_host.add_receive(1, 1, 40);
  receiver_host.add_receive(2, 1, 100);
  SendWork empty = work(), inlined = work();
  empty.sges.clear();
  inlined.inlined = true;
  for (const std::byte b : text("abc")) inlined.inline_data.push_back(b);
  sender.post_send(std::move(empty));
  EXPECT_EQ(deliver_last(), UdQp::Received::taken);
  sender.post_send(std::move(inlined));
  EXPECT_EQ(deliver_last(), UdQp::Received::taken);
  EXPECT_THAT(receiver_host.received, ElementsAre(Field(&Completion::byte_len, 40), Field(&Completion::byte_len, 43)));
}

TEST_F(UdQpTest, AFailedSendFlushesTheLaterOnesUntilResumed) {
  SendWork broken = work(1);
  broken.sges[0].lkey = LKey(9);
  sender.post_send(std::move(broken));
  EXPECT_EQ(sender_host.send_failures, 1);
  sender.post_send(work(2));
  EXPECT_TRUE(sender_host.datagrams.empty());
  sender.resume_sends();
  sender.post_send(work(3));
  EXPECT_THAT(sender_host.sent, ElementsAre(Field(&Completion::status, WcStatus::loc_prot_err),
                                            Field(&Completion::status, WcStatus::wr_flush_err),
                                            Field(&Completion::status, WcStatus::success)));
  EXPECT_EQ(sender_host.datagrams.size(), 1U);
}

TEST_F(UdQpTest, WhileDrainingSendsAreHeld) {
  sender.drain_sends();
  EXPECT_EQ(sender_host.drained, 1);
  sender.post_send(work(1));
  sender.post_send(work(2));
  EXPECT_EQ(sender.sends_outstanding(), 2U);
  EXPECT_TRUE(sender_host.sent.empty());
  sender.resume_sends();
  EXPECT_EQ(sender.sends_outstanding(), 0U);
  EXPECT_EQ(sender_host.datagrams.size(), 2U);
  sender.drain_sends();
  sender.post_send(work(3));
  sender.flush();
  EXPECT_THAT(sender_host.sent,
              ElementsAre(Field(&Completion::wr_id, 1), Field(&Completion::wr_id, 2),
                          AllOf(Field(&Completion::wr_id, 3), Field(&Completion::status, WcStatus::wr_flush_err))));
}

TEST_F(UdQpTest, OnlySendsWithAnAddressAreDatagrams) {
  EXPECT_TRUE(UdQp::acceptable(work()));
  SendWork write = work(), lost = work();
  write.op = WorkOp::rdma_write;
  lost.ud.address = nullptr;
  EXPECT_FALSE(UdQp::acceptable(write));
  EXPECT_FALSE(UdQp::acceptable(lost));
}

// Every valid packet that is no datagram, and every state in which nothing is received.
TEST_F(UdQpTest, OtherTransportsAreDropped) {
  receiver_host.add_receive(1, 1, 100);
  Packet packet;
  packet.bth.opcode = {Transport::rc, Operation::send_only};
  std::vector<std::byte> bytes(fabric::datagram_bytes_max);
  bytes.resize(encode(packet, alice, bob, roce_v2_port, bytes));
  test::SentDatagram datagram{{.source = alice, .destination = bob, .payload = {}}, bytes};
  EXPECT_EQ(deliver(datagram), UdQp::Received::wrong_transport);
  sender.post_send(work());
  receiver.flush();
  EXPECT_EQ(deliver_last(), UdQp::Received::wrong_transport);
  EXPECT_EQ(receiver_host.receives.size(), 1U);
}

TEST(NetworkHeader, IsWhatTheDatagramCameWith) {  // [spec 5.1.6]
  std::vector<std::byte> payload(100);
  const fabric::InDatagram v6{.source = *IpAddress::parse("fe80::1"),
                              .destination = *IpAddress::parse("fd00::2"),
                              .traffic_class = 0x68,
                              .hop_limit = 7,
                              .payload = payload};
  const auto header = network_header(v6);
  EXPECT_EQ(parse_network_header(header),
            (NetworkHeader{.source = v6.source, .destination = v6.destination, .traffic_class = 0x68, .hop_limit = 7}));
  EXPECT_EQ(std::to_integer<int>(header[5]), 108);  // UDP's length
  const fabric::InDatagram v4{
      .source = alice, .destination = bob, .traffic_class = 4, .hop_limit = 1, .payload = payload};
  auto header_v4 = network_header(v4);
  EXPECT_TRUE(std::ranges::all_of(std::span(header_v4).first(20), [](std::byte b) { return b == std::byte{0}; }));
  EXPECT_EQ(parse_network_header(header_v4)->source, alice);
  header_v4[30] ^= std::byte{1};  // the checksum
  EXPECT_FALSE(parse_network_header(header_v4));
}

}  // namespace
}  // namespace hawser::roce
