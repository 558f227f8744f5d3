// What goes wrong, how each end learns of it, and that the rest of the queue is flushed in order.
#include <gtest/gtest.h>

#include "roce/aeth.hpp"
#include "roce/rc_test_pair.hpp"

namespace hawser::roce {
namespace {

using test::End;
using test::Pair;
using test::Region;

constexpr std::uint32_t bad_key = 99;

struct ErrorCase {
  const char* name;
  // Before connect(): attributes and memory.
  void (*prepare)(Pair&);
  // The work request that fails.
  SendWork (*work)();
  WcStatus status;                           // of that work request
  std::optional<WcStatus> at_receiver;       // completion of the peer's receive
  bool peer_fails;                           // the peer's queue pair enters the error state too
  std::optional<ResponderError> peer_event;  // … and only an async event tells it
};

SendWork plain(WorkOp op, std::size_t length = 300) { return End::work(op, 1, 0, length); }
SendWork with_lkey(WorkOp op) {
  SendWork work = plain(op);
  work.sges[0].lkey = LKey(bad_key);
  return work;
}
SendWork with_rkey(WorkOp op, std::size_t length = 300) {
  SendWork work = plain(op, length);
  work.rkey = RKey(bad_key);
  return work;
}
void nothing(Pair&) {}
void post_small_receive(Pair& pair) { pair.b.post_receive(50, 0, 299); }
void post_bad_receive(Pair& pair) {
  RecvWork work{.wr_id = 50, .sges = {}};
  work.sges.push_back({.addr = End::base, .length = 4096, .lkey = LKey(bad_key)});
  pair.b.host.receives.push_back(work);
}
void post_receive(Pair& pair) { pair.b.post_receive(50, 0, 4096); }
template <std::uint32_t Rights>
void only_rights(Pair& pair) {
  pair.b.host.regions[End::key].rights = Rights;
}
template <std::uint32_t Rights>
void only_qp_rights(Pair& pair) {
  pair.attributes[1].remote_access = Rights;
}

const ErrorCase cases[] = {
    {"SendFromBadMemory", nothing, [] { return with_lkey(WorkOp::send); }, WcStatus::loc_prot_err, {}, false, {}},
    {"WriteFromBadMemory",
     nothing,
     [] { return with_lkey(WorkOp::rdma_write); },
     WcStatus::loc_prot_err,
     {},
     false,
     {}},
    {"ReadIntoBadMemory", nothing, [] { return with_lkey(WorkOp::rdma_read); }, WcStatus::loc_prot_err, {}, false, {}},
    {"ReadIntoReadOnlyMemory",
     [](Pair& pair) { pair.a.host.regions[End::key].rights = 0; },
     [] { return plain(WorkOp::rdma_read); },
     WcStatus::loc_prot_err,
     {},
     false,
     {}},
    {"AtomicIntoFourBytes",
     nothing,
     [] { return plain(WorkOp::atomic_fetch_and_add, 4); },
     WcStatus::loc_len_err,
     {},
     false,
     {}},
    {"MessageOverTwoGigabytes",
     nothing,
     [] {
       SendWork work = plain(WorkOp::rdma_write);
       work.sges.clear();
       for (const std::uint32_t length : {1U << 30, 1U << 30, 1U}) work.sges.push_back({0, length, LKey(1)});
       return work;
     },
     WcStatus::loc_len_err,
     {},
     false,
     {}},
    {"ReadWithoutInitiatorDepth",
     [](Pair& pair) { pair.attributes[0].max_rd_atomic = 0; },
     [] { return plain(WorkOp::rdma_read); },
     WcStatus::loc_qp_op_err,
     {},
     false,
     {}},
    {"ReadWithoutResponderResources",
     [](Pair& pair) { pair.attributes[1].max_dest_rd_atomic = 0; },
     [] { return plain(WorkOp::rdma_read); },
     WcStatus::rem_inv_req_err,
     {},
     true,
     ResponderError::invalid_request},
    {"WriteWithBadKey",
     nothing,
     [] { return with_rkey(WorkOp::rdma_write); },
     WcStatus::rem_access_err,
     {},
     true,
     ResponderError::access_violation},
    {"ReadWithBadKey",
     nothing,
     [] { return with_rkey(WorkOp::rdma_read); },
     WcStatus::rem_access_err,
     {},
     true,
     ResponderError::access_violation},
    {"AtomicWithBadKey",
     nothing,
     [] { return with_rkey(WorkOp::atomic_fetch_and_add, 8); },
     WcStatus::rem_access_err,
     {},
     true,
     ResponderError::access_violation},
    {"WriteBeyondTheRegion",
     nothing,
     [] {
       SendWork work = plain(WorkOp::rdma_write);
       work.remote_addr = End::base + (1 << 20) - 299;
       return work;
     },
     WcStatus::rem_access_err,
     {},
     true,
     ResponderError::access_violation},
    {"WriteAroundTheEndOfTheAddressSpace",
     nothing,
     [] {
       SendWork work = plain(WorkOp::rdma_write);
       work.remote_addr = 0xFFFFFFFFFFFFFF00;
       return work;
     },
     WcStatus::rem_access_err,
     {},
     true,
     ResponderError::access_violation},
    {"WriteToReadOnlyRegion",
     only_rights<access::remote_read>,
     [] { return plain(WorkOp::rdma_write); },
     WcStatus::rem_access_err,
     {},
     true,
     ResponderError::access_violation},
    {"ReadFromWriteOnlyRegion",
     only_rights<access::remote_write>,
     [] { return plain(WorkOp::rdma_read); },
     WcStatus::rem_access_err,
     {},
     true,
     ResponderError::access_violation},
    {"AtomicOnOrdinaryRegion",
     only_rights<access::remote_write | access::remote_read>,
     [] { return plain(WorkOp::atomic_cmp_and_swp, 8); },
     WcStatus::rem_access_err,
     {},
     true,
     ResponderError::access_violation},
    {"WriteToQpWithoutTheRight",
     only_qp_rights<access::remote_read | access::remote_atomic>,
     [] { return plain(WorkOp::rdma_write); },
     WcStatus::rem_inv_req_err,
     {},
     true,
     ResponderError::invalid_request},
    {"ReadFromQpWithoutTheRight",
     only_qp_rights<access::remote_write | access::remote_atomic>,
     [] { return plain(WorkOp::rdma_read); },
     WcStatus::rem_inv_req_err,
     {},
     true,
     ResponderError::invalid_request},
    {"AtomicOnQpWithoutTheRight",
     only_qp_rights<access::remote_write | access::remote_read>,
     [] { return plain(WorkOp::atomic_fetch_and_add, 8); },
     WcStatus::rem_inv_req_err,
     {},
     true,
     ResponderError::invalid_request},
    {"AtomicMisaligned",
     nothing,
     [] {
       SendWork work = plain(WorkOp::atomic_fetch_and_add, 8);
       work.remote_addr += 4;
       return work;
     },
     WcStatus::rem_inv_req_err,
     {},
     true,
     ResponderError::invalid_request},
    {"SendLongerThanReceive",
     post_small_receive,
     [] { return plain(WorkOp::send); },
     WcStatus::rem_inv_req_err,
     WcStatus::loc_len_err,
     true,
     {}},
    {"SendIntoBadMemory",
     post_bad_receive,
     [] { return plain(WorkOp::send); },
     WcStatus::rem_op_err,
     WcStatus::loc_prot_err,
     true,
     {}},
    {"InvalidateUnknownKey",
     post_receive,
     [] {
       SendWork work = plain(WorkOp::send_with_inv);
       work.invalidate_rkey = RKey(bad_key);
       return work;
     },
     WcStatus::rem_access_err,
     WcStatus::rem_inv_req_err,
     true,
     {}},
};

class RcError : public testing::TestWithParam<ErrorCase> {};
INSTANTIATE_TEST_SUITE_P(, RcError, testing::ValuesIn(cases), [](const auto& tested) { return tested.param.name; });

TEST_P(RcError, IsToldOnceAndTheRestIsFlushedInOrder) {
  const ErrorCase& tested = GetParam();
  Pair pair;
  tested.prepare(pair);
  pair.connect();
  // Good work before it (a WRITE of nothing needs no rights on memory), then the bad one, then two more.
  SendWork good = End::work(WorkOp::rdma_write, 0, 0, 0);
  const bool writable = (pair.attributes[1].remote_access & access::remote_write) != 0;
  if (writable) pair.a.qp.post_send(std::move(good));
  SendWork bad = tested.work();
  bad.signaled = false;  // errors complete all the same
  pair.a.qp.post_send(std::move(bad));
  for (const std::uint64_t id : {2U, 3U}) {
    SendWork after = plain(WorkOp::rdma_write, 10);
    after.wr_id = id;
    after.signaled = false;
    pair.a.qp.post_send(std::move(after));
  }
  ASSERT_TRUE(pair.run());

  std::vector<std::uint64_t> ids{1, 2, 3};
  std::vector<WcStatus> statuses{tested.status, WcStatus::wr_flush_err, WcStatus::wr_flush_err}, got;
  if (writable) {
    ids.insert(ids.begin(), 0);
    statuses.insert(statuses.begin(), WcStatus::success);
  }
  for (const Completion& completion : pair.a.host.sent) got.push_back(completion.status);
  EXPECT_EQ(pair.a.host.sent_ids(), ids);
  EXPECT_EQ(got, statuses);
  EXPECT_EQ(pair.a.host.errors, 1);
  EXPECT_EQ(pair.a.host.event, std::nullopt);
  EXPECT_EQ(pair.a.qp.sends_outstanding(), 0U);
  EXPECT_EQ(pair.a.qp.next_deadline(), rt::time_never);

  EXPECT_EQ(pair.b.host.errors, tested.peer_fails ? 1 : 0);
  EXPECT_EQ(pair.b.host.event, tested.peer_event);
  ASSERT_EQ(pair.b.host.received.size(), tested.at_receiver ? 1U : 0U);
  if (tested.at_receiver) {
    EXPECT_EQ(pair.b.host.received[0].status, *tested.at_receiver);
    EXPECT_EQ(pair.b.host.received[0].wr_id, 50U);
  }
}

// After an error nothing is executed, answered or completed any more, but new work is flushed by its owner.
TEST(RcErrorState, IsSilent) {
  Pair pair;
  pair.connect();
  pair.a.qp.post_send(with_rkey(WorkOp::rdma_write));
  ASSERT_TRUE(pair.run());
  const std::size_t sent_by_b = pair.b.host.packets.size();
  Packet packet;
  packet.bth.opcode.operation = Operation::send_only;
  packet.bth.psn = pair.b.qp.receive_psn();
  packet.bth.ack_request = true;
  pair.b.post_receive(1, 0, 100);
  pair.b.qp.on_packet(packet, pair.addresses[0]);
  pair.b.qp.flush_acks();
  EXPECT_EQ(pair.b.host.packets.size(), sent_by_b);
  EXPECT_TRUE(pair.b.host.received.empty());
  pair.a.qp.post_send(plain(WorkOp::send));
  EXPECT_EQ(pair.a.qp.sends_outstanding(), 1U);
  pair.a.qp.flush();
  EXPECT_EQ(pair.a.host.sent.back().status, WcStatus::wr_flush_err);
}

TEST(RcErrorState, ReceiveInProgressIsFlushed) {
  Pair pair;
  pair.connect();
  pair.b.post_receive(9, 0, 4096);
  unsigned sent = 0;
  pair.a.host.drop = [&] { return sent++ > 1; };
  pair.a.qp.post_send(plain(WorkOp::send, 1000));
  ASSERT_TRUE(pair.run_for(std::chrono::milliseconds(1)));
  EXPECT_TRUE(pair.b.host.received.empty());
  pair.b.qp.flush();
  ASSERT_EQ(pair.b.host.received.size(), 1U);
  EXPECT_EQ(pair.b.host.received[0].status, WcStatus::wr_flush_err);
  EXPECT_EQ(pair.b.host.received[0].wr_id, 9U);
}

class RcRetries : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(, RcRetries, testing::Values(0, 1, 3, 7));

// IBTA, unlike rdma_rxe: 7 means seven.
TEST_P(RcRetries, CountIsExactWhenNobodyAnswers) {
  Pair pair;
  pair.attributes[0].retry_count = static_cast<std::uint8_t>(GetParam());
  pair.b.host.drop = [] { return true; };
  pair.connect();
  pair.a.qp.post_send(plain(WorkOp::rdma_write, 10));
  const rt::Time start = pair.world->now();
  ASSERT_TRUE(pair.run());
  ASSERT_EQ(pair.a.host.sent.size(), 1U);
  EXPECT_EQ(pair.a.host.sent[0].status, WcStatus::retry_exc_err);
  EXPECT_EQ(pair.a.host.packets.size(), static_cast<std::size_t>(1 + GetParam()));
  EXPECT_EQ(pair.a.qp.counters().retransmits, static_cast<std::uint64_t>(GetParam()));
  rt::Duration waited{};
  for (int retry = 0; retry <= GetParam(); ++retry) waited += RcLimits{}.ack_timeout_min * (1 << std::min(retry, 2));
  EXPECT_EQ(pair.world->now() - start, waited);
}

TEST_P(RcRetries, ProgressRefillsThem) {
  Pair pair;
  pair.attributes[0].retry_count = static_cast<std::uint8_t>(GetParam());
  // Each acknowledgement comes at the last try.
  int sent = 0;
  pair.b.host.drop = [&] { return ++sent % (GetParam() + 1) != 0; };
  pair.connect();
  for (std::uint64_t i = 0; i < 5; ++i) {
    pair.a.qp.post_send(End::work(WorkOp::rdma_write, i, 0, 10));
    ASSERT_TRUE(pair.run());
  }
  EXPECT_EQ(pair.a.host.sent_ids(), (std::vector<std::uint64_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(pair.a.host.errors, 0);
}

TEST_P(RcRetries, RnrCountIsExactAndSevenIsForEver) {
  Pair pair;
  const int retries = GetParam();
  pair.attributes[0].rnr_retry = static_cast<std::uint8_t>(retries);
  pair.attributes[1].min_rnr_timer = 14;  // 1.28 ms
  pair.connect();
  pair.a.qp.post_send(plain(WorkOp::send, 10));
  ASSERT_TRUE(pair.run_for(std::chrono::milliseconds(100)));
  if (retries == 7) {
    EXPECT_TRUE(pair.a.host.sent.empty());
    EXPECT_GT(pair.a.qp.counters().rnr_naks_received, 70U);
    pair.b.post_receive(1, 0, 100);
    ASSERT_TRUE(pair.run());
    ASSERT_EQ(pair.a.host.sent.size(), 1U);
    EXPECT_EQ(pair.a.host.sent[0].status, WcStatus::success);
    EXPECT_EQ(pair.b.host.received.size(), 1U);
  } else {
    ASSERT_EQ(pair.a.host.sent.size(), 1U);
    EXPECT_EQ(pair.a.host.sent[0].status, WcStatus::rnr_retry_exc_err);
    EXPECT_EQ(pair.a.host.packets.size(), static_cast<std::size_t>(1 + retries));
    EXPECT_EQ(pair.b.qp.counters().rnr_naks_sent, static_cast<std::uint64_t>(1 + retries));
  }
}

// A process that was stopped and goes on finds its connection alive.
TEST(RcStoppedPeer, CostsNoRetriesAndNoTraffic) {
  Pair pair;
  bool stopped = true;
  pair.b.host.drop = [&] { return stopped; };
  pair.a.host.peer = PeerActivity::stopped;
  pair.connect();
  pair.a.qp.post_send(plain(WorkOp::rdma_write, 10));
  ASSERT_TRUE(pair.run_for(std::chrono::seconds(10)));
  EXPECT_EQ(pair.a.host.errors, 0);
  EXPECT_EQ(pair.a.host.packets.size(), 1U);
  stopped = false;
  pair.a.host.peer = PeerActivity::running;
  ASSERT_TRUE(pair.run());
  ASSERT_EQ(pair.a.host.sent.size(), 1U);
  EXPECT_EQ(pair.a.host.sent[0].status, WcStatus::success);
}

// Until the answer is there a loss is repaired, at no cost; but an answer that never comes must not forgive for ever.
TEST(RcStoppedPeer, UnknownForgivesOneTimeout) {
  Pair pair;
  pair.attributes[0].retry_count = 2;
  unsigned losses = 3;
  pair.a.host.drop = [&] { return losses > 0 && losses-- > 0; };
  pair.a.host.peer = PeerActivity::unknown;
  pair.connect();
  pair.a.qp.post_send(plain(WorkOp::rdma_write, 10));
  ASSERT_TRUE(pair.run());
  ASSERT_EQ(pair.a.host.sent.size(), 1U);
  EXPECT_EQ(pair.a.host.sent[0].status, WcStatus::success);
  EXPECT_EQ(pair.a.host.packets.size(), 4U);
}

// A program may end its QP as soon as it sees the message, before the end of the batch in which it arrived.
TEST(RcErrorState, WhatArrivedIsAcknowledgedFirst) {
  for (const bool reset : {false, true}) {
    Pair pair;
    pair.connect();
    pair.b.post_receive(1, 0, 100);
    pair.a.qp.post_send(plain(WorkOp::send, 100));
    pair.b.after_packet = [&] { reset ? pair.b.qp.reset() : pair.b.qp.flush(); };
    ASSERT_TRUE(pair.run());
    ASSERT_EQ(pair.a.host.sent.size(), 1U);
    EXPECT_EQ(pair.a.host.sent[0].status, WcStatus::success);
  }
}

}  // namespace
}  // namespace hawser::roce
