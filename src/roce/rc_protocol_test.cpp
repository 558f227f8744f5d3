// How the two halves behave packet by packet: acknowledgements, NAKs, repetitions, limits.
#include <cstring>

#include <gtest/gtest.h>

#include "roce/aeth.hpp"
#include "roce/rc_test_pair.hpp"

namespace hawser::roce {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using test::End;
using test::Pair;

Packet request(Operation operation, Psn psn, std::span<const std::byte> payload = {}) {
  Packet packet;
  packet.bth.opcode.operation = operation;
  packet.bth.psn = psn;
  packet.bth.ack_request = true;
  packet.payload = payload;
  return packet;
}
Packet acknowledgement(std::uint8_t syndrome, Psn psn) {
  Packet packet = request(Operation::acknowledge, psn);
  packet.aeth = Aeth{syndrome, 0};
  return packet;
}

// One end alone; the test plays the other one.
class Alone : public testing::Test {
 protected:
  Alone() {
    pair_.attributes[1].receive_psn = start;
    pair_.connect();
  }
  // Hands a packet to the responder and returns what it has sent since, after its batch.
  std::vector<Packet> answer(const Packet& packet) {
    const std::size_t before = host_.packets.size();
    qp_.on_packet(packet, pair_.addresses[0]);
    qp_.flush_acks();
    return sent_since(before);
  }
  std::vector<Packet> sent_since(std::size_t before) const {
    std::vector<Packet> packets;
    for (std::size_t i = before; i < host_.packets.size(); ++i) packets.push_back(host_.packet(i));
    return packets;
  }
  static void expect_syndrome(const std::vector<Packet>& packets, std::uint8_t syndrome, Psn psn) {
    ASSERT_EQ(packets.size(), 1U);
    EXPECT_EQ(packets[0].bth.opcode.operation, Operation::acknowledge);
    ASSERT_TRUE(packets[0].aeth);
    EXPECT_EQ(packets[0].aeth->syndrome, syndrome);
    EXPECT_EQ(packets[0].bth.psn, psn);
  }

  static constexpr Psn start{0xFFFFFE};  // the space wraps within the tests
  static constexpr std::size_t mtu = 256;
  Pair pair_;
  RcQp& qp_ = pair_.b.qp;
  test::TestHost& host_ = pair_.b.host;
  std::vector<std::byte> full_ = std::vector<std::byte>(mtu);
};

TEST_F(Alone, AcknowledgesABatchOnce) {
  for (std::uint32_t i = 0; i < 5; ++i) {
    pair_.b.post_receive(i, 0, 100);
    qp_.on_packet(request(Operation::send_only, start.plus(i)), pair_.addresses[0]);
  }
  EXPECT_TRUE(host_.packets.empty());
  qp_.flush_acks();
  expect_syndrome(sent_since(0), aeth_ack, start.plus(4));
  EXPECT_EQ(host_.packet(0).aeth->msn, 5U);
  EXPECT_EQ(qp_.counters().acks_coalesced, 4U);
  EXPECT_EQ(host_.received.size(), 5U);
  qp_.flush_acks();
  EXPECT_EQ(host_.packets.size(), 1U);
}

TEST_F(Alone, AcknowledgesOnlyWhereAsked) {
  pair_.b.post_receive(1, 0, 1000);
  Packet first = request(Operation::send_first, start, full_);
  first.bth.ack_request = false;
  EXPECT_TRUE(answer(first).empty());
  expect_syndrome(answer(request(Operation::send_last, start.plus(1), std::span(full_).first(1))), aeth_ack,
                  start.plus(1));
  ASSERT_EQ(host_.received.size(), 1U);
  EXPECT_EQ(host_.received[0].byte_len, mtu + 1);
}

TEST_F(Alone, OneNakForAGapThenSilence) {
  pair_.b.post_receive(1, 0, 100);
  expect_syndrome(answer(request(Operation::send_only, start.plus(1))), aeth_nak_sequence, start);
  EXPECT_TRUE(answer(request(Operation::send_only, start.plus(2))).empty());
  EXPECT_TRUE(answer(request(Operation::send_only, start.plus(1))).empty());
  EXPECT_TRUE(host_.received.empty());
  expect_syndrome(answer(request(Operation::send_only, start)), aeth_ack, start);
  EXPECT_EQ(host_.received.size(), 1U);
  // The next gap is told again.
  expect_syndrome(answer(request(Operation::send_only, start.plus(2))), aeth_nak_sequence, start.plus(1));
  EXPECT_EQ(qp_.counters().naks_sent, 2U);
}

TEST_F(Alone, DuplicateIsAcknowledgedAndNotExecuted) {
  for (std::uint32_t i = 0; i < 3; ++i) {
    pair_.b.post_receive(i, 0, 100);
    answer(request(Operation::send_only, start.plus(i)));
  }
  pair_.b.post_receive(3, 0, 100);
  expect_syndrome(answer(request(Operation::send_only, start)), aeth_ack, start.plus(2));
  EXPECT_EQ(host_.received.size(), 3U);
  EXPECT_EQ(host_.receives.size(), 1U);
  EXPECT_EQ(qp_.counters().duplicates, 1U);
}

TEST_F(Alone, RnrNakThenTheSamePacketAgain) {
  expect_syndrome(answer(request(Operation::send_only, start)), aeth_rnr_nak(1), start);
  EXPECT_TRUE(answer(request(Operation::send_only, start.plus(1))).empty());
  expect_syndrome(answer(request(Operation::send_only, start)), aeth_rnr_nak(1), start);
  pair_.b.post_receive(1, 0, 100);
  expect_syndrome(answer(request(Operation::send_only, start)), aeth_ack, start);
  EXPECT_EQ(host_.received.size(), 1U);
}

TEST_F(Alone, WriteWithImmediateWaitsForItsReceiveBeforeItWrites) {
  std::ranges::fill(full_, std::byte{7});
  Packet packet = request(Operation::write_only_imm, start, std::span(full_).first(8));
  packet.reth = Reth{End::base, RKey(End::key), 8};
  packet.imm = ImmDt{5};
  expect_syndrome(answer(packet), aeth_rnr_nak(1), start);
  EXPECT_EQ(pair_.b.memory(0, 1)[0], std::byte{0});
  pair_.b.post_receive(1, 0, 0);
  packet.bth.solicited = true;
  expect_syndrome(answer(packet), aeth_ack, start);
  EXPECT_EQ(pair_.b.memory(0, 1)[0], std::byte{7});
  ASSERT_EQ(host_.received.size(), 1U);
  EXPECT_TRUE(host_.received[0].solicited);
}

TEST_F(Alone, RepeatedReadIsAnsweredFromWhereItAsks) {
  pair_.b.fill(0, 1000, 3);
  Packet read = request(Operation::read_request, start);
  read.reth = Reth{End::base, RKey(End::key), 1000};
  const auto responses = answer(read);
  ASSERT_EQ(responses.size(), 4U);
  EXPECT_EQ(responses[0].bth.opcode.operation, Operation::read_response_first);
  EXPECT_EQ(responses[1].bth.opcode.operation, Operation::read_response_middle);
  EXPECT_EQ(responses[3].bth.opcode.operation, Operation::read_response_last);
  for (std::uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(responses[i].bth.psn, start.plus(i));
    EXPECT_TRUE(std::ranges::equal(responses[i].payload, pair_.b.memory(i * mtu, i == 3 ? 1000 - 3 * mtu : mtu)));
  }
  EXPECT_EQ(qp_.receive_psn(), start.plus(4));
  Packet tail = request(Operation::read_request, start.plus(3));
  tail.reth = Reth{End::base + 3 * mtu, RKey(End::key), 1000 - 3 * mtu};
  const auto again = answer(tail);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].bth.opcode.operation, Operation::read_response_only);
  EXPECT_EQ(again[0].bth.psn, start.plus(3));
  EXPECT_TRUE(std::ranges::equal(again[0].payload, pair_.b.memory(3 * mtu, 1000 - 3 * mtu)));
  // What was never asked like this is not a repetition.
  for (const Reth reth :
       {Reth{End::base + 3 * mtu, RKey(End::key), 1000 - 3 * mtu + 1},
        Reth{End::base + 3 * mtu + 1, RKey(End::key), 100}, Reth{End::base + 3 * mtu, RKey(2), 100}}) {
    tail.reth = reth;
    EXPECT_TRUE(answer(tail).empty());
  }
  EXPECT_EQ(host_.errors, 0);
}

TEST_F(Alone, RepeatedAtomicIsAnsweredFromMemoryOfTheAnswer) {
  Packet add = request(Operation::fetch_add, start);
  add.atomic_eth = AtomicEth{End::base, RKey(End::key), 5, 0};
  for (int i = 0; i < 3; ++i) {
    const auto responses = answer(add);
    ASSERT_EQ(responses.size(), 1U);
    EXPECT_EQ(responses[0].bth.opcode.operation, Operation::atomic_acknowledge);
    EXPECT_EQ(responses[0].atomic_ack_eth->original, 0U);
  }
  EXPECT_EQ(pair_.b.memory(0, 1)[0], std::byte{5});
  // As many results are kept as the peer may have outstanding, and no more.
  for (std::uint32_t i = 1; i <= 4; ++i) {
    add.bth.psn = start.plus(i);
    EXPECT_EQ(answer(add).size(), 1U);
  }
  add.bth.psn = start;
  EXPECT_TRUE(answer(add).empty());
  add.bth.psn = start.plus(1);
  const auto responses = answer(add);
  ASSERT_EQ(responses.size(), 1U);
  EXPECT_EQ(responses[0].atomic_ack_eth->original, 5U);
}

// A foreign requester may ask for much at once: it gets it in bursts, in order, with what it sends meanwhile behind it.
TEST_F(Alone, LongReadIsAnsweredInBursts) {
  constexpr std::uint32_t length = 1 << 20;
  Packet read = request(Operation::read_request, start);
  read.reth = Reth{End::base, RKey(End::key), length};
  const std::size_t first_burst = answer(read).size();
  EXPECT_LT(first_burst, length / mtu);
  pair_.b.post_receive(1, 0, 100);
  EXPECT_TRUE(answer(request(Operation::send_only, start.plus(length / mtu))).empty());
  EXPECT_EQ(host_.received.size(), 1U);
  while (qp_.next_deadline() != rt::time_never) qp_.on_time(qp_.next_deadline());
  const auto all = sent_since(0);
  ASSERT_EQ(all.size(), length / mtu + 1);
  for (std::uint32_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i].bth.psn, start.plus(i));
  EXPECT_EQ(all.back().bth.opcode.operation, Operation::acknowledge);
}

struct BadRequest {
  const char* name;
  Operation first, second;  // what is sent; the second one is refused (or the first, if they are equal)
  std::size_t bytes;        // of the packet that is refused
  std::uint32_t announced;  // length in a RETH
};
class AloneRefuses : public Alone, public testing::WithParamInterface<BadRequest> {};
INSTANTIATE_TEST_SUITE_P(
    , AloneRefuses,
    testing::Values(BadRequest{"ShortSendFirst", Operation::send_first, Operation::send_first, 255, 0},
                    BadRequest{"LongSendOnly", Operation::send_only, Operation::send_only, 260, 0},
                    BadRequest{"MiddleWithoutFirst", Operation::send_middle, Operation::send_middle, 256, 0},
                    BadRequest{"LastWithoutFirst", Operation::send_last_imm, Operation::send_last_imm, 1, 0},
                    BadRequest{"WriteMiddleWithoutFirst", Operation::write_middle, Operation::write_middle, 256, 0},
                    BadRequest{"OnlyInsideAMessage", Operation::send_first, Operation::send_only, 1, 0},
                    BadRequest{"FirstInsideAMessage", Operation::send_first, Operation::send_first, 256, 0},
                    BadRequest{"WriteInsideASend", Operation::send_first, Operation::write_last, 1, 0},
                    BadRequest{"SendInsideAWrite", Operation::write_first, Operation::send_last, 1, 512},
                    BadRequest{"ReadInsideASend", Operation::send_first, Operation::read_request, 0, 10},
                    BadRequest{"AtomicInsideAWrite", Operation::write_first, Operation::fetch_add, 0, 512},
                    BadRequest{"ShortMiddle", Operation::send_first, Operation::send_middle, 252, 0},
                    BadRequest{"EmptyLast", Operation::send_first, Operation::send_last, 0, 0},
                    BadRequest{"WriteOnlyOfOtherLength", Operation::write_only, Operation::write_only, 10, 11},
                    BadRequest{"WriteFirstThatIsAll", Operation::write_first, Operation::write_first, 256, 256},
                    BadRequest{"WriteLastTooShort", Operation::write_first, Operation::write_last, 255, 512},
                    BadRequest{"WriteLastTooLong", Operation::write_first, Operation::write_last, 256, 511},
                    BadRequest{"WriteMiddleThatEnds", Operation::write_first, Operation::write_middle, 256, 512},
                    BadRequest{"WriteOverTwoGigabytes", Operation::write_first, Operation::write_first, 256,
                               0x80000001},
                    BadRequest{"ReadOverTwoGigabytes", Operation::read_request, Operation::read_request, 0, 0x80000001},
                    BadRequest{"ReadWithPayload", Operation::read_request, Operation::read_request, 4, 10},
                    BadRequest{"AtomicWithPayload", Operation::fetch_add, Operation::fetch_add, 4, 0}),
    [](const auto& tested) { return tested.param.name; });

TEST_P(AloneRefuses, WithInvalidRequest) {
  const BadRequest& bad = GetParam();
  const std::vector<std::byte> bytes(300);
  const auto build = [&](Operation operation, Psn psn, std::size_t length) {
    Packet packet = request(operation, psn, std::span(bytes).first(length));
    if (operation == Operation::write_first || operation == Operation::write_only ||
        operation == Operation::read_request) {
      packet.reth = Reth{End::base, RKey(End::key), bad.announced};
    }
    if (operation == Operation::fetch_add) packet.atomic_eth = AtomicEth{End::base, RKey(End::key), 1, 0};
    if (operation == Operation::send_last_imm) packet.imm = ImmDt{1};
    return packet;
  };
  pair_.b.post_receive(1, 0, 4096);
  Psn psn = start;
  const bool two = bad.first != bad.second || std::string_view(bad.name) == "FirstInsideAMessage";
  if (two) {
    qp_.on_packet(build(bad.first, psn, mtu), pair_.addresses[0]);
    psn = psn.plus(1);
  }
  expect_syndrome(answer(build(bad.second, psn, bad.bytes)), aeth_nak_invalid_request, psn);
  EXPECT_EQ(host_.errors, 1);
  // A receive that was begun ends with an error; otherwise an event tells.
  const bool receiving = two && bad.first == Operation::send_first;
  EXPECT_EQ(host_.event, receiving ? std::nullopt : std::optional(ResponderError::invalid_request));
  ASSERT_EQ(host_.received.size(), receiving ? 1U : 0U);
  if (receiving) {
    EXPECT_EQ(host_.received[0].status, WcStatus::rem_inv_req_err);
  }
}

TEST_F(Alone, IgnoresOtherSenders) {
  pair_.b.post_receive(1, 0, 100);
  for (const char* address : {"10.0.0.3", "::a00:1", "10.0.0.2"}) {
    qp_.on_packet(request(Operation::send_only, start), *IpAddress::parse(address));
  }
  qp_.flush_acks();
  EXPECT_TRUE(host_.packets.empty());
  EXPECT_TRUE(host_.received.empty());
  EXPECT_EQ(host_.established, 0);
}

TEST_F(Alone, IgnoresOtherTransports) {
  pair_.b.post_receive(1, 0, 100);
  Packet packet = request(Operation::send_only, start);
  packet.bth.opcode.transport = Transport::ud;
  EXPECT_TRUE(answer(packet).empty());
  EXPECT_TRUE(host_.received.empty());
}

TEST_F(Alone, ZeroLengthWriteNeedsNoKey) {
  Packet packet = request(Operation::write_only, start);
  packet.reth = Reth{0, RKey(0), 0};
  expect_syndrome(answer(packet), aeth_ack, start);
  packet = request(Operation::read_request, start.plus(1));
  packet.reth = Reth{0, RKey(0), 0};
  const auto responses = answer(packet);
  ASSERT_EQ(responses.size(), 1U);
  EXPECT_EQ(responses[0].bth.opcode.operation, Operation::read_response_only);
}

// --- Requester

class Asking : public testing::Test {
 protected:
  void connect() { pair_.connect(); }
  void answer(const Packet& packet) { pair_.a.qp.on_packet(packet, pair_.addresses[1]); }
  Psn psn(std::uint32_t n) const { return pair_.attributes[0].send_psn.plus(n); }
  Pair pair_;
  test::TestHost& host_ = pair_.a.host;
};

TEST_F(Asking, UnsignaledWorkCompletesSilently) {
  connect();
  for (std::uint64_t i = 0; i < 10; ++i) {
    SendWork work = End::work(WorkOp::rdma_write, i, 0, 10);
    work.signaled = i == 4;
    pair_.a.qp.post_send(std::move(work));
  }
  ASSERT_TRUE(pair_.run());
  EXPECT_EQ(host_.sent_ids(), (std::vector<std::uint64_t>{4}));
  EXPECT_EQ(pair_.a.qp.sends_outstanding(), 0U);
  EXPECT_EQ(pair_.a.qp.counters().timeouts, 0U);
}

TEST_F(Asking, FencedWorkWaitsForReads) {
  connect();
  pair_.a.qp.post_send(End::work(WorkOp::rdma_read, 1, 0, 1000));
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 2, 0, 10));
  SendWork fenced = End::work(WorkOp::rdma_write, 3, 0, 10);
  fenced.fence = true;
  pair_.a.qp.post_send(std::move(fenced));
  EXPECT_EQ(host_.packets.size(), 2U);
  ASSERT_TRUE(pair_.run());
  EXPECT_EQ(host_.packets.size(), 3U);
  EXPECT_EQ(host_.sent_ids(), (std::vector<std::uint64_t>{1, 2, 3}));
}

TEST_F(Asking, NeverMoreReadsThanAgreed) {
  pair_.attributes[0].max_rd_atomic = 2;
  connect();
  for (std::uint64_t i = 0; i < 9; ++i) pair_.a.qp.post_send(End::work(WorkOp::rdma_read, i, 0, 100));
  EXPECT_EQ(host_.packets.size(), 2U);
  ASSERT_TRUE(pair_.run());
  EXPECT_EQ(host_.sent.size(), 9U);
}

TEST_F(Asking, LongReadIsAskedForInParts) {
  connect();
  pair_.a.qp.post_send(End::work(WorkOp::rdma_read, 1, 0, 200'000));
  ASSERT_TRUE(pair_.run());
  for (std::size_t i = 0; i < host_.packets.size(); ++i) {
    EXPECT_LE(host_.packet(i).reth->length, RcLimits{}.in_flight_bytes_max / 4);
  }
  EXPECT_EQ(host_.packets.size(), (200'000 + 16'383) / 16'384U);
}

TEST_F(Asking, InFlightIsCappedAndShrinksOnLoss) {
  connect();
  const auto sent_at_once = [&] { return host_.packets.size(); };
  pair_.b.host.drop = [] { return true; };
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 1, 0, 1 << 19));
  const std::size_t before = sent_at_once();
  EXPECT_LE(before * 256, RcLimits{}.in_flight_bytes_max);
  EXPECT_GT(before * (256 + 512), RcLimits{}.in_flight_bytes_max);
  std::size_t last = before;
  for (int i = 0; i < 7; ++i) {
    const std::size_t so_far = sent_at_once();
    ASSERT_TRUE(pair_.run_for(pair_.a.qp.next_deadline() - pair_.world->now()));
    EXPECT_LT(sent_at_once() - so_far, last);
    last = sent_at_once() - so_far;
  }
  EXPECT_EQ(last, 1U);
  pair_.b.host.drop = nullptr;
  ASSERT_TRUE(pair_.run());
  EXPECT_EQ(host_.errors, 0);
  EXPECT_EQ(host_.sent.size(), 1U);
}

TEST_F(Asking, TimeoutZeroIsNever) {
  pair_.attributes[0].timeout = 0;
  connect();
  host_.drop = [] { return true; };
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 1, 0, 1));
  EXPECT_EQ(pair_.a.qp.next_deadline(), rt::time_never);
}

TEST_F(Asking, TimeoutAboveTheFloorIsIbtas) {
  pair_.attributes[0].timeout = 17;
  connect();
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 1, 0, 1));
  EXPECT_EQ(pair_.a.qp.next_deadline() - pair_.world->now(), std::chrono::nanoseconds(4096 * 131072));
}

// A virtual machine can stand still for longer than eight times 67 ms (timeout 14, ibv_rc_pingpong's).
TEST_F(Asking, RetriesWaitUpToFourTimesAsLong) {
  pair_.attributes[0].timeout = 14;
  pair_.b.host.drop = [] { return true; };
  connect();
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 1, 0, 1));
  const rt::Duration nominal = std::chrono::nanoseconds(4096 * 16384);
  const auto waits = [&] { return pair_.a.qp.next_deadline() - pair_.world->now(); };
  for (const int times : {1, 2, 4, 4, 4}) {
    EXPECT_EQ(waits(), nominal * times);
    ASSERT_TRUE(pair_.run_for(waits()));
  }
  pair_.b.host.drop = nullptr;
  ASSERT_TRUE(pair_.run_for(waits()));
  ASSERT_EQ(host_.sent.size(), 1U);
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 2, 0, 1));
  EXPECT_EQ(waits(), nominal);  // progress
}

TEST_F(Asking, RetriesOfLongTimeoutsWaitNoLonger) {
  pair_.attributes[0].timeout = 16;  // 268 ms
  pair_.b.host.drop = [] { return true; };
  connect();
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 1, 0, 1));
  ASSERT_TRUE(pair_.run_for(pair_.a.qp.next_deadline() - pair_.world->now()));
  EXPECT_EQ(pair_.a.qp.next_deadline() - pair_.world->now(), RcLimits{}.ack_timeout_retried_max);
  pair_.attributes[0].timeout = 17;  // 537 ms
  pair_.a.qp.update(pair_.attributes[0]);
  ASSERT_TRUE(pair_.run_for(pair_.a.qp.next_deadline() - pair_.world->now()));
  EXPECT_EQ(pair_.a.qp.next_deadline() - pair_.world->now(), std::chrono::nanoseconds(4096 * 131072));
}

TEST_F(Asking, WaitsAsLongAsTheRnrNakSays) {
  connect();
  host_.drop = [] { return true; };
  pair_.a.qp.post_send(End::work(WorkOp::send, 1, 0, 1));
  answer(acknowledgement(aeth_rnr_nak(0), psn(0)));
  EXPECT_EQ(pair_.a.qp.next_deadline() - pair_.world->now(), microseconds(655'360));
  answer(acknowledgement(aeth_rnr_nak(1), psn(0)));  // the network's duplicate changes nothing
  EXPECT_EQ(pair_.a.qp.next_deadline() - pair_.world->now(), microseconds(655'360));
  EXPECT_EQ(host_.packets.size(), 1U);
  ASSERT_TRUE(pair_.run_for(milliseconds(656)));
  EXPECT_EQ(host_.packets.size(), 2U);
}

TEST(RnrDelay, IsTable45) {
  EXPECT_EQ(rnr_delay(0), microseconds(655'360));
  EXPECT_EQ(rnr_delay(1), microseconds(10));
  EXPECT_EQ(rnr_delay(5), microseconds(60));
  EXPECT_EQ(rnr_delay(12), microseconds(640));
  EXPECT_EQ(rnr_delay(14), microseconds(1'280));
  EXPECT_EQ(rnr_delay(20), microseconds(10'240));
  EXPECT_EQ(rnr_delay(31), microseconds(491'520));
  EXPECT_EQ(rnr_delay(0xE0), rnr_delay(0));
}

TEST_F(Asking, IgnoresAnswersToWhatWasNotAsked) {
  connect();
  host_.drop = [] { return true; };
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 1, 0, 1));
  pair_.a.qp.post_send(End::work(WorkOp::rdma_read, 2, 0, 1));
  const std::array<std::byte, 1> byte{};
  for (const std::uint8_t syndrome : {aeth_ack, aeth_nak_sequence, aeth_nak_invalid_request, aeth_rnr_nak(3)}) {
    for (const Psn wrong : {psn(2), psn(3), psn(0).minus(1), psn(0x7FFFFF), psn(0x800000)}) {
      answer(acknowledgement(syndrome, wrong));
    }
  }
  Packet response = request(Operation::read_response_only, psn(2), byte);
  response.aeth = Aeth{aeth_ack, 0};
  answer(response);
  answer(acknowledgement(0x5F, psn(0)));  // a reserved kind
  answer(acknowledgement(0x7F, psn(0)));  // a reserved NAK code
  EXPECT_TRUE(host_.sent.empty());
  EXPECT_EQ(host_.errors, 0);
  EXPECT_EQ(pair_.a.qp.sends_outstanding(), 2U);
}

TEST_F(Asking, ResponseOfOtherLengthIsAnError) {
  connect();
  pair_.a.qp.post_send(End::work(WorkOp::rdma_read, 1, 0, 10));
  const std::array<std::byte, 11> bytes{};
  Packet response = request(Operation::read_response_only, psn(0), bytes);
  response.aeth = Aeth{aeth_ack, 0};
  answer(response);
  ASSERT_EQ(host_.sent.size(), 1U);
  EXPECT_EQ(host_.sent[0].status, WcStatus::bad_resp_err);
}

TEST_F(Asking, AckBehindAReadMeansItsResponseWasLost) {
  connect();
  pair_.a.qp.post_send(End::work(WorkOp::rdma_read, 1, 0, 1000));
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 2, 0, 1));
  answer(acknowledgement(aeth_ack, psn(4)));
  EXPECT_TRUE(host_.sent.empty());
  ASSERT_EQ(host_.packets.size(), 4U);  // both once more
  EXPECT_EQ(host_.packet(2).bth.opcode.operation, Operation::read_request);
  EXPECT_EQ(host_.packet(2).bth.psn, psn(0));
  // Once is enough for one loss.
  answer(acknowledgement(aeth_ack, psn(4)));
  EXPECT_EQ(host_.packets.size(), 4U);
}

TEST_F(Asking, LateAckForWhatIsBeingRepeatedCounts) {
  connect();
  host_.drop = [] { return true; };
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 1, 0, 600));
  answer(acknowledgement(aeth_nak_sequence, psn(1)));  // packets 1 and 2 again
  EXPECT_EQ(host_.packets.size(), 5U);
  answer(acknowledgement(aeth_ack, psn(2)));
  EXPECT_EQ(host_.sent_ids(), (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(pair_.a.qp.next_deadline(), rt::time_never);
}

TEST_F(Asking, DrainFinishesWhatHasBegun) {
  connect();
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 1, 0, 1 << 19));  // more than the window takes
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 2, 0, 1));
  pair_.a.qp.drain_sends();
  EXPECT_EQ(host_.drained, 0);
  ASSERT_TRUE(pair_.run());
  EXPECT_EQ(host_.sent_ids(), (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(host_.drained, 1);
  EXPECT_EQ(pair_.a.qp.sends_outstanding(), 1U);
  pair_.a.qp.resume_sends();
  ASSERT_TRUE(pair_.run());
  EXPECT_EQ(host_.sent_ids(), (std::vector<std::uint64_t>{1, 2}));
}

TEST_F(Asking, DrainOfAnIdleQueueIsDoneAtOnce) {
  connect();
  pair_.a.qp.drain_sends();
  EXPECT_EQ(host_.drained, 1);
}

TEST_F(Asking, SolicitedOnTheLastPacketOnly) {
  connect();
  pair_.b.post_receive(1, 0, 1000);
  SendWork work = End::work(WorkOp::send, 1, 0, 600);
  work.solicited = true;
  pair_.a.qp.post_send(std::move(work));
  ASSERT_TRUE(pair_.run());
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(host_.packet(i).bth.solicited, i == 2);
  ASSERT_EQ(pair_.b.host.received.size(), 1U);
  EXPECT_TRUE(pair_.b.host.received[0].solicited);
}

TEST_F(Asking, ResetForgetsEverything) {
  connect();
  host_.drop = [] { return true; };
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 1, 0, 600));
  pair_.a.qp.reset();
  EXPECT_EQ(pair_.a.qp.sends_outstanding(), 0U);
  EXPECT_EQ(pair_.a.qp.next_deadline(), rt::time_never);
  EXPECT_TRUE(host_.sent.empty());
  host_.drop = nullptr;
  connect();
  pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 2, 0, 600));
  ASSERT_TRUE(pair_.run());
  EXPECT_EQ(host_.sent_ids(), (std::vector<std::uint64_t>{2}));
}

}  // namespace
}  // namespace hawser::roce
