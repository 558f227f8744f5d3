#include "verbs/qp.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "roce/packet.hpp"
#include "verbs/test_host.hpp"

namespace hawser::verbs {
namespace {

using roce::WcOpcode;
using roce::WcStatus;
using roce::WorkOp;

roce::SendWork send_of(std::uint64_t id, const roce::Sge& sge, WorkOp op = WorkOp::send) {
  roce::SendWork work;
  work.wr_id = id;
  work.op = op;
  work.signaled = true;
  work.sges.push_back(sge);
  return work;
}

roce::RecvWork receive_of(std::uint64_t id, const roce::Sge& sge) {
  roce::RecvWork work;
  work.wr_id = id;
  work.sges.push_back(sge);
  return work;
}

TEST(Qp, SendArrivesInThePostedReceive) {
  Pair pair;
  auto data = pattern(5000);
  std::vector<std::byte> received(6000);
  ASSERT_TRUE(pair.qp_b->post_receive(once(receive_of(7, pair.sge_b(received)))));
  auto work = send_of(3, pair.sge_a(data), WorkOp::send_with_imm);
  work.imm_data = 0x01020304;
  ASSERT_TRUE(pair.qp_a->post_send(once(work)));
  pair.run();

  const auto sent = Pair::drain(*pair.cq_a);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].completion.status, WcStatus::success);
  EXPECT_EQ(sent[0].completion.wr_id, 3U);
  EXPECT_EQ(sent[0].qpn, pair.qp_a->qpn());
  const auto got = Pair::drain(*pair.cq_b);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].completion.wr_id, 7U);
  EXPECT_EQ(got[0].completion.opcode, WcOpcode::recv);
  EXPECT_EQ(got[0].completion.byte_len, 5000U);
  EXPECT_TRUE(got[0].completion.with_imm);
  EXPECT_EQ(got[0].completion.imm_data, 0x01020304U);
  received.resize(data.size());
  EXPECT_EQ(received, data);
}

TEST(Qp, WriteAndReadMoveBytesWithoutTheTargetsHelp) {
  Pair pair;
  auto data = pattern(3000);
  std::vector<std::byte> remote(3000), back(3000);
  pair.sge_b(remote);
  auto write = send_of(1, pair.sge_a(data), WorkOp::rdma_write);
  write.remote_addr = pair.last_b().iova;
  write.rkey = pair.last_b().rkey;
  auto read = send_of(2, pair.sge_a(back), WorkOp::rdma_read);
  read.remote_addr = pair.last_b().iova;
  read.rkey = pair.last_b().rkey;
  ASSERT_TRUE(pair.qp_a->post_send(once(write)));
  ASSERT_TRUE(pair.qp_a->post_send(once(read)));
  pair.run();

  const auto done = Pair::drain(*pair.cq_a);
  ASSERT_EQ(done.size(), 2U);
  EXPECT_EQ(done[0].completion.status, WcStatus::success);
  EXPECT_EQ(done[1].completion.status, WcStatus::success);
  EXPECT_EQ(done[1].completion.opcode, WcOpcode::rdma_read);
  EXPECT_EQ(remote, data);
  EXPECT_EQ(back, data);
  EXPECT_TRUE(Pair::drain(*pair.cq_b).empty());
}

TEST(Qp, ARemoteKeyThatDoesNotAllowItBreaksTheConnection) {
  Pair pair;
  auto data = pattern(16);
  std::vector<std::byte> remote(16);
  MemoryRegion* read_only = pair.b.register_bytes(remote, roce::access::remote_read);
  auto write = send_of(1, pair.sge_a(data), WorkOp::rdma_write);
  write.remote_addr = read_only->iova;
  write.rkey = read_only->rkey;
  ASSERT_TRUE(pair.qp_a->post_send(once(write)));
  ASSERT_TRUE(pair.qp_a->post_send(once(send_of(2, write.sges[0]))));
  ASSERT_TRUE(pair.qp_a->post_receive(once(receive_of(3, write.sges[0]))));
  pair.run();

  const auto done = Pair::drain(*pair.cq_a);
  ASSERT_EQ(done.size(), 3U);
  EXPECT_EQ(done[0].completion.status, WcStatus::rem_access_err);
  EXPECT_EQ(done[1].completion.status, WcStatus::wr_flush_err);
  EXPECT_EQ(done[2].completion.status, WcStatus::wr_flush_err);
  EXPECT_EQ(done[2].completion.wr_id, 3U);
  EXPECT_EQ(pair.qp_a->state(), QpState::err);
  EXPECT_EQ(pair.qp_b->state(), QpState::err);
  EXPECT_EQ(remote, std::vector<std::byte>(16));
  pair.b.context->memory().remove(read_only);
}

TEST(Qp, ALocalKeyThatDoesNotAllowItFailsTheWorkRequest) {
  Pair pair;
  auto data = pattern(16);
  roce::Sge sge = pair.sge_a(data);
  sge.length = 17;
  ASSERT_TRUE(pair.qp_a->post_send(once(send_of(1, sge))));
  const auto done = Pair::drain(*pair.cq_a);
  ASSERT_EQ(done.size(), 1U);
  EXPECT_EQ(done[0].completion.status, WcStatus::loc_prot_err);
  EXPECT_EQ(pair.qp_a->state(), QpState::err);
}

TEST(Qp, APeerThatDoesNotAnswerEndsInRetryExceeded) {
  Pair pair;
  auto data = pattern(16);
  const roce::Sge sge = pair.sge_a(data);
  pair.qp_b->destroy();
  pair.qp_b.reset();
  ASSERT_TRUE(pair.qp_a->post_send(once(send_of(1, sge))));
  pair.run();
  const auto done = Pair::drain(*pair.cq_a);
  ASSERT_EQ(done.size(), 1U);
  EXPECT_EQ(done[0].completion.status, WcStatus::retry_exc_err);
  EXPECT_EQ(pair.qp_a->state(), QpState::err);
  EXPECT_GT(pair.b.path.counters().unknown_qp, 0U);
  EXPECT_EQ(pair.a.path.next_deadline(), rt::time_never);
}

// Whether a peer of this host is stopped is asked, when it does not answer; of one that only has the link-local address
// of another interface of ours it is not.
TEST(Qp, APeerWithAnAddressOfOursOnAnotherLinkIsElsewhere) {
  for (const char* where : {"eth0", "eth1"}) {
    Pair pair;
    auto eth0 = TestHost::interface("10.0.0.1"), eth1 = TestHost::interface("10.0.1.1");
    eth1.index = 3;
    eth1.name = "eth1";
    (where == eth0.name ? eth0 : eth1).addresses.push_back(*IpAddress::parse("fe80::1"));
    pair.a.devices.apply({eth0, eth1});
    int asked = 0;
    pair.a.path.set_peer_activity([&asked](Qpn) {
      ++asked;
      return roce::PeerActivity::running;
    });
    auto peer = connected_to(pair.b, pair.qp_b->qpn());
    peer.address.destination = *IpAddress::parse("fe80::1");
    ASSERT_TRUE(move_to(*pair.qp_a, QpState::reset, peer, qp_attr::state));
    bring_to_rts(*pair.qp_a, peer);
    auto data = pattern(16);
    const roce::Sge sge = pair.sge_a(data);
    ASSERT_TRUE(pair.qp_a->post_send(once(send_of(1, sge))));
    pair.run();
    EXPECT_EQ(asked > 0, where == eth0.name) << where;
  }
}

TEST(Qp, MovingToErrorFlushesBothQueuesAndWhatIsPostedAfterwards) {
  Pair pair;
  auto data = pattern(16);
  const roce::Sge sge = pair.sge_a(data);
  ASSERT_TRUE(pair.qp_a->post_receive(once(receive_of(1, sge))));
  ASSERT_TRUE(pair.qp_a->post_send(once(send_of(2, sge))));
  ASSERT_TRUE(move_to(*pair.qp_a, QpState::err, {}, qp_attr::state));
  ASSERT_TRUE(pair.qp_a->post_send(once(send_of(3, sge))));
  ASSERT_TRUE(pair.qp_a->post_receive(once(receive_of(4, sge))));
  const auto done = Pair::drain(*pair.cq_a);
  ASSERT_EQ(done.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(done[i].completion.status, WcStatus::wr_flush_err);
  EXPECT_EQ(done[2].completion.wr_id, 3U);
  EXPECT_EQ(done[3].completion.wr_id, 4U);
}

TEST(Qp, QueuesHaveTheSizeThatWasAskedFor) {
  Pair pair;
  auto data = pattern(16);
  const roce::Sge sge = pair.sge_a(data);
  for (unsigned i = 0; i < 16; ++i) {
    ASSERT_TRUE(pair.qp_a->post_send(once(send_of(i, sge))));
    ASSERT_TRUE(pair.qp_a->post_receive(once(receive_of(i, sge))));
  }
  EXPECT_EQ(errno_of(pair.qp_a->post_send(once(send_of(99, sge)))), ENOMEM);
  EXPECT_EQ(errno_of(pair.qp_a->post_receive(once(receive_of(99, sge)))), ENOMEM);
  roce::SendWork wide = send_of(99, sge);
  for (int i = 0; i < 4; ++i) wide.sges.push_back(sge);
  EXPECT_EQ(errno_of(pair.qp_a->post_send(once(wide))), EINVAL);
  roce::SendWork fat;
  fat.inlined = true;
  fat.inline_data.resize(65);
  EXPECT_EQ(errno_of(pair.qp_a->post_send(once(fat))), EINVAL);
}

TEST(Qp, PostingInTheWrongStateIsRefused) {
  const auto world = rt::World::simulated(1);
  fabric::SimNetwork network(*world);
  TestHost host(*world, network, "10.0.0.1");
  const auto qp = host.make_qp(host.make_cq());
  EXPECT_EQ(errno_of(qp->post_receive(once(roce::RecvWork{}))), EINVAL);
  EXPECT_EQ(errno_of(qp->post_send(once(roce::SendWork{}))), EINVAL);
  bring_to_rtr(*qp, connected_to(host, Qpn(5)));
  EXPECT_TRUE(qp->post_receive(once(roce::RecvWork{})));
  EXPECT_EQ(errno_of(qp->post_send(once(roce::SendWork{}))), EINVAL);
  qp->destroy();
}

// IBTA table 96 and ibv_modify_qp(3), transcribed: which attributes each transition needs and allows.
struct TransitionCase {
  QpState from, to;
  std::uint32_t required, optional;
};

constexpr std::uint32_t bit(int number) { return 1U << number; }
constexpr TransitionCase transitions[] = {
    {QpState::reset, QpState::init, bit(3) | bit(4) | bit(5), 0},
    {QpState::init, QpState::init, 0, bit(3) | bit(4) | bit(5)},
    {QpState::init, QpState::rtr, bit(7) | bit(8) | bit(12) | bit(15) | bit(17) | bit(20), bit(3) | bit(4) | bit(14)},
    {QpState::rtr, QpState::rts, bit(9) | bit(10) | bit(11) | bit(13) | bit(16),
     bit(1) | bit(3) | bit(14) | bit(15) | bit(18)},
    {QpState::rts, QpState::rts, 0, bit(1) | bit(3) | bit(14) | bit(15) | bit(18)},
    {QpState::rts, QpState::sqd, 0, bit(2)},
    {QpState::sqd, QpState::rts, 0, bit(1) | bit(3) | bit(14) | bit(15) | bit(18)},
    {QpState::sqd, QpState::sqd, 0,
     bit(3) | bit(4) | bit(5) | bit(7) | bit(9) | bit(10) | bit(11) | bit(13) | bit(14) | bit(15) | bit(17) | bit(18)},
};

TEST(Qp, EveryTransitionNeedsAndAllowsItsAttributes) {
  const auto world = rt::World::simulated(1);
  fabric::SimNetwork network(*world);
  TestHost host(*world, network, "10.0.0.1");
  const auto cq = host.make_cq();
  const QpAttributes good = connected_to(host, Qpn(5));
  const auto in_state = [&](QpState state) {
    auto qp = host.make_qp(cq);
    if (state == QpState::reset) return qp;
    if (state == QpState::err) {
      EXPECT_TRUE(move_to(*qp, QpState::err, good, qp_attr::state));
      return qp;
    }
    bring_to_init(*qp, good);
    if (state == QpState::init) return qp;
    EXPECT_TRUE(move_to(*qp, QpState::rtr, good, rtr_mask));
    if (state == QpState::rtr) return qp;
    EXPECT_TRUE(move_to(*qp, QpState::rts, good, rts_mask));
    if (state == QpState::sqd) {
      EXPECT_TRUE(move_to(*qp, QpState::sqd, good, qp_attr::state));
    }
    return qp;
  };
  const auto attempt = [&](QpState from, QpState to, std::uint32_t mask) {
    const auto qp = in_state(from);
    QpAttributes attributes = good;
    attributes.state = to;
    attributes.current_state = from;
    const int error = errno_of(qp->modify(attributes, mask | qp_attr::state));
    EXPECT_EQ(qp->state(), error == 0 ? to : from);
    qp->destroy();
    return error;
  };
  constexpr std::uint32_t alternate = qp_attr::alt_path;
  constexpr QpState states[] = {QpState::reset, QpState::init, QpState::rtr, QpState::rts, QpState::sqd, QpState::err};
  for (const QpState from : states) {
    for (const QpState to : states) {
      SCOPED_TRACE(fmt::format("{} to {}", static_cast<int>(from), static_cast<int>(to)));
      if (to == QpState::reset || to == QpState::err) {
        EXPECT_EQ(attempt(from, to, 0), 0);
        EXPECT_EQ(attempt(from, to, qp_attr::access_flags), EINVAL);
        continue;
      }
      const auto* row = std::ranges::find_if(transitions, [&](const auto& t) { return t.from == from && t.to == to; });
      if (row == std::end(transitions)) {
        EXPECT_EQ(attempt(from, to, 0), EINVAL);
        continue;
      }
      EXPECT_EQ(attempt(from, to, row->required), 0);
      EXPECT_EQ(attempt(from, to, row->required | (row->optional & ~alternate)), 0);
      for (int number = 1; number < 32; ++number) {
        const std::uint32_t attribute = bit(number);
        if ((row->required & attribute) != 0) {
          EXPECT_EQ(attempt(from, to, row->required & ~attribute), EINVAL) << number;
        } else if ((row->optional & attribute) == 0) {
          EXPECT_EQ(attempt(from, to, row->required | attribute), EINVAL) << number;
        }
      }
    }
  }
}

TEST(Qp, AttributesOutOfRangeAreRefused) {
  const auto world = rt::World::simulated(1);
  fabric::SimNetwork network(*world);
  TestHost host(*world, network, "10.0.0.1");
  const auto cq = host.make_cq();
  const QpAttributes good = connected_to(host, Qpn(5));
  const auto refused = [&](auto change, QpState to, std::uint32_t mask) {
    const auto qp = host.make_qp(cq);
    if (to != QpState::init) bring_to_init(*qp, good);
    if (to == QpState::rts) {
      EXPECT_TRUE(move_to(*qp, QpState::rtr, good, rtr_mask));
    }
    QpAttributes attributes = good;
    change(attributes);
    const int error = errno_of(move_to(*qp, to, attributes, mask));
    qp->destroy();
    return error;
  };
  EXPECT_EQ(refused([](auto& a) { a.port = 2; }, QpState::init, init_mask), EINVAL);
  EXPECT_EQ(refused([](auto& a) { a.pkey_index = 1; }, QpState::init, init_mask), EINVAL);
  EXPECT_EQ(refused([](auto& a) { a.path_mtu = 4; }, QpState::rtr, rtr_mask), EINVAL);  // 2048 over 1500
  EXPECT_EQ(refused([](auto& a) { a.path_mtu = 0; }, QpState::rtr, rtr_mask), EINVAL);
  EXPECT_EQ(refused([](auto& a) { a.address.is_global = false; }, QpState::rtr, rtr_mask), EINVAL);
  EXPECT_EQ(refused([](auto& a) { a.address.source_gid_index = 1; }, QpState::rtr, rtr_mask), EINVAL);
  EXPECT_EQ(refused([](auto& a) { a.address.destination = {}; }, QpState::rtr, rtr_mask), EINVAL);
  EXPECT_EQ(refused([](auto& a) { a.max_dest_rd_atomic = 129; }, QpState::rtr, rtr_mask), EINVAL);
  EXPECT_EQ(refused([](auto& a) { a.timeout = 32; }, QpState::rts, rts_mask), EINVAL);
  EXPECT_EQ(refused([](auto& a) { a.retry_count = 8; }, QpState::rts, rts_mask), EINVAL);
}

TEST(Qp, ResetForgetsEverything) {
  Pair pair;
  auto data = pattern(16);
  const roce::Sge sge = pair.sge_a(data);
  ASSERT_TRUE(pair.qp_a->post_receive(once(receive_of(1, sge))));
  ASSERT_TRUE(pair.qp_a->post_send(once(send_of(2, sge))));
  ASSERT_TRUE(move_to(*pair.qp_a, QpState::reset, {}, qp_attr::state));
  pair.run();
  EXPECT_TRUE(Pair::drain(*pair.cq_a).empty());
  EXPECT_EQ(pair.qp_a->query().destination_qpn, Qpn());
}

TEST(Qp, DrainsAndSaysSoWhenAsked) {
  Pair pair;
  auto data = pattern(16);
  std::vector<std::byte> received(16);
  ASSERT_TRUE(pair.qp_b->post_receive(once(receive_of(1, pair.sge_b(received)))));
  ASSERT_TRUE(pair.qp_a->post_send(once(send_of(2, pair.sge_a(data)))));
  QpAttributes notify;
  notify.sqd_async_notify = true;
  ASSERT_TRUE(move_to(*pair.qp_a, QpState::sqd, notify, qp_attr::state | qp_attr::en_sqd_async_notify));
  EXPECT_TRUE(pair.qp_a->query().sq_draining);
  pair.run();
  EXPECT_FALSE(pair.qp_a->query().sq_draining);
  const auto event = pair.a.context->events().take();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, AsyncEventType::sq_drained);
  EXPECT_EQ(event->source, pair.qp_a.get());
  pair.a.context->events().acknowledge(*event->source);
}

TEST(Qp, TheFirstRequestInRtrEstablishesCommunication) {
  const auto world = rt::World::simulated(1);
  fabric::SimNetwork network(*world);
  TestHost a(*world, network, "10.0.0.1"), b(*world, network, "10.0.0.2");
  const auto qp_a = a.make_qp(a.make_cq()), qp_b = b.make_qp(b.make_cq());
  std::vector<Qpn> told;
  b.path.set_communication_established([&](Qpn qpn) { told.push_back(qpn); });
  bring_to_rts(*qp_a, connected_to(b, qp_b->qpn()));
  bring_to_rtr(*qp_b, connected_to(a, qp_a->qpn()));
  ASSERT_TRUE(qp_b->post_receive(once(roce::RecvWork{})));
  roce::SendWork empty;
  empty.signaled = true;
  ASSERT_TRUE(qp_a->post_send(once(empty)));
  world->advance_to(world->now() + std::chrono::milliseconds(1));
  EXPECT_EQ(b.path.receive(64), 1U);
  EXPECT_THAT(told, testing::ElementsAre(qp_b->qpn()));
  const auto event = b.context->events().take();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, AsyncEventType::comm_est);
  b.context->events().acknowledge(*event->source);
  qp_a->destroy();
  qp_b->destroy();
}

TEST(Qp, AFullCompletionQueueBreaksQueuePairAndQueue) {
  Pair pair(2);
  auto data = pattern(16);
  const roce::Sge sge = pair.sge_a(data);
  std::vector<std::byte> received(64);
  const roce::Sge target = pair.sge_b(received);
  for (unsigned i = 0; i < 3; ++i) ASSERT_TRUE(pair.qp_b->post_receive(once(receive_of(i, target))));
  for (unsigned i = 0; i < 3; ++i) ASSERT_TRUE(pair.qp_a->post_send(once(send_of(i, sge))));
  pair.run();
  EXPECT_EQ(Pair::drain(*pair.cq_b).size(), 2U);
  EXPECT_EQ(pair.qp_b->state(), QpState::err);
  std::vector<AsyncEventType> types;
  while (const auto event = pair.b.context->events().take()) {
    types.push_back(event->type);
    pair.b.context->events().acknowledge(*event->source);
  }
  EXPECT_THAT(types, testing::ElementsAre(AsyncEventType::cq_err, AsyncEventType::qp_fatal));
}

// One ACK brings more completions than there is room for: the queue pair breaks once.
TEST(Qp, SeveralLostCompletionsAreOneBreak) {
  Pair pair(2);
  auto data = pattern(16);
  std::vector<std::byte> target(64);
  const roce::Sge sge = pair.sge_a(data);
  static_cast<void>(pair.sge_b(target));
  for (unsigned i = 0; i < 6; ++i) {
    auto write = send_of(i, sge, roce::WorkOp::rdma_write);
    write.remote_addr = pair.last_b().iova;
    write.rkey = pair.last_b().rkey;
    ASSERT_TRUE(pair.qp_a->post_send(once(write)));
  }
  pair.run();
  EXPECT_EQ(pair.qp_a->state(), QpState::err);
  std::vector<AsyncEventType> types;
  while (const auto event = pair.a.context->events().take()) {
    types.push_back(event->type);
    pair.a.context->events().acknowledge(*event->source);
  }
  EXPECT_THAT(types, testing::ElementsAre(AsyncEventType::cq_err, AsyncEventType::qp_fatal));
}

TEST(Qp, ARefusedRequestIsToldByAnEventThatSaysWhy) {
  struct Case {
    roce::WorkOp op;
    std::uint32_t length;
    AsyncEventType type;
  };
  constexpr std::uint64_t no_place_for_an_atomic = 4;
  for (const Case& refused : {Case{roce::WorkOp::rdma_write, 16, AsyncEventType::qp_access_err},
                              Case{roce::WorkOp::atomic_fetch_and_add, 8, AsyncEventType::qp_req_err}}) {
    Pair pair;
    auto data = pattern(16);
    roce::SendWork work = send_of(1, pair.sge_a(data));
    work.op = refused.op;
    work.rkey = RKey(0xBAD);
    work.sges[0].length = refused.length;
    work.remote_addr = no_place_for_an_atomic;
    ASSERT_TRUE(pair.qp_a->post_send(once(work)));
    pair.run();
    EXPECT_EQ(pair.qp_b->state(), QpState::err);
    const auto event = pair.b.context->events().take();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->type, refused.type);
    EXPECT_EQ(event->source, pair.qp_b.get());
    pair.b.context->events().acknowledge(*event->source);
    EXPECT_FALSE(pair.b.context->events().take());
  }
}

TEST(Qp, ABatchIsPostedWholeOrNotAtAll) {
  Pair pair;
  auto data = pattern(16);
  const roce::Sge sge = pair.sge_a(data);
  std::vector<std::byte> received(64);
  ASSERT_TRUE(pair.qp_b->post_receive(once(receive_of(7, pair.sge_b(received)))));
  std::vector<roce::SendWork> works(pair.qp_a->init().capabilities.max_send_wr + 1, send_of(1, sge));
  EXPECT_EQ(errno_of(pair.qp_a->post_sends_or_none(works)), ENOMEM);
  works.resize(2);
  works[1].sges.resize(pair.qp_a->init().capabilities.max_send_sge + 1);
  EXPECT_EQ(errno_of(pair.qp_a->post_sends_or_none(works)), EINVAL);
  pair.run();
  EXPECT_TRUE(Pair::drain(*pair.cq_a).empty());
  EXPECT_TRUE(Pair::drain(*pair.cq_b).empty());
  works.resize(1);
  EXPECT_TRUE(pair.qp_a->post_sends_or_none(works));
  pair.run();
  EXPECT_EQ(Pair::drain(*pair.cq_b).size(), 1U);
}

TEST(Qp, ARemovedDeviceFlushesItsQueuePairs) {
  Pair pair;
  auto data = pattern(16);
  ASSERT_TRUE(pair.qp_a->post_receive(once(receive_of(1, pair.sge_a(data)))));
  pair.a.devices.apply({});
  EXPECT_EQ(pair.qp_a->state(), QpState::err);
  const auto done = Pair::drain(*pair.cq_a);
  ASSERT_EQ(done.size(), 1U);
  EXPECT_EQ(done[0].completion.status, WcStatus::wr_flush_err);
  EXPECT_EQ(pair.a.context->events().take()->type, AsyncEventType::device_fatal);
  EXPECT_EQ(errno_of(move_to(*pair.qp_a, QpState::init, connected_to(pair.b, Qpn(1)), init_mask)), EINVAL);
}

TEST(DataPath, CountsWhatItDoesNotDeliver) {
  Pair pair;
  const IpAddress a = *IpAddress::parse("10.0.0.1"), b = *IpAddress::parse("10.0.0.2");
  std::array<std::byte, 512> buffer{};
  roce::Packet packet;
  packet.bth.opcode = {.transport = roce::Transport::rc, .operation = roce::Operation::send_only};
  const auto send = [&](const auto& change) {
    roce::Packet changed = packet;
    changed.bth.destination = pair.qp_b->qpn();
    change(changed);
    const std::size_t bytes = roce::encode(changed, a, b, pair.a.fabric->source_port(), buffer);
    return std::span(buffer).first(bytes);
  };
  const auto deliver = [&](std::span<std::byte> payload, const IpAddress& destination) {
    pair.b.path.deliver(
        {.source = a, .destination = destination, .source_port = pair.a.fabric->source_port(), .payload = payload});
  };
  deliver(send([](auto&) {}).first(15), b);
  auto corrupt = send([](auto&) {});
  corrupt[9] ^= std::byte{1};
  deliver(corrupt, b);
  deliver(send([](auto& p) { p.bth.pkey = PKey(0x8001); }), b);
  deliver(send([](auto& p) { p.bth.destination = Qpn(0x200); }), b);
  deliver(send([](auto& p) { p.bth.destination = Qpn(0x2000); }), b);
  // Right in everything, but from a stranger: it is not the peer's.
  const IpAddress stranger = *IpAddress::parse("10.0.0.9");
  packet.bth.destination = pair.qp_b->qpn();
  const std::size_t bytes = roce::encode(packet, stranger, b, pair.a.fabric->source_port(), buffer);
  pair.b.path.deliver({.source = stranger,
                       .destination = b,
                       .source_port = pair.a.fabric->source_port(),
                       .payload = std::span(buffer).first(bytes)});
  const DataPathCounters counters = pair.b.path.counters();
  EXPECT_EQ(counters.datagrams, 6U);
  EXPECT_EQ(counters.unknown_address, 1U);
  EXPECT_EQ(counters.malformed, 1U);
  EXPECT_EQ(counters.bad_icrc, 1U);
  EXPECT_EQ(counters.bad_pkey, 1U);
  EXPECT_EQ(counters.unknown_qp, 1U);
  EXPECT_EQ(counters.misdirected, 1U);
}

TEST(Gsi, CarriesMadsBothWaysAndDropsWhatIsNotForUs) {  // [spec 5.1.2, 5.1.3]
  Pair pair;
  std::vector<MadAddress> from;
  Mad seen{};
  pair.b.path.gsi().set_receiver([&](const DevicePtr& device, const MadAddress& address, const Mad& mad) {
    EXPECT_EQ(device->name(), "hw_eth0");
    from.push_back(address);
    seen = mad;
  });
  Mad mad{};
  mad[0] = std::byte{1};
  mad[255] = std::byte{2};
  const MadAddress to{
      .local = *IpAddress::parse("10.0.0.1"), .remote = *IpAddress::parse("10.0.0.2"), .traffic_class = 9};
  pair.a.path.gsi().send(to, mad);
  pair.run();
  ASSERT_EQ(from.size(), 1U);
  EXPECT_EQ(from[0], (MadAddress{.local = to.remote, .remote = to.local, .traffic_class = 9}));
  EXPECT_EQ(seen, mad);

  pair.b.devices.apply({});  // its address is nobody's now
  pair.a.path.gsi().send(to, mad);
  pair.run();
  EXPECT_EQ(from.size(), 1U);
  EXPECT_EQ(pair.b.path.gsi().counters().dropped_unknown_address, 1U);
}

// As the kernel's come, which sends from a port of its own for each queue pair.
TEST(Gsi, AnswersToTheWellKnownPortWhateverTheMessageCameFrom) {  // [spec 5.1.5]
  Pair pair;
  std::vector<MadAddress> from_a, from_b;
  pair.b.path.gsi().set_receiver([&](const DevicePtr&, const MadAddress& a, const Mad& mad) {
    from_a.push_back(a);
    pair.b.path.gsi().send(a, mad);
  });
  pair.a.path.gsi().set_receiver([&](const DevicePtr&, const MadAddress& b, const Mad&) { from_b.push_back(b); });
  const IpAddress a = *IpAddress::parse("10.0.0.1"), b = *IpAddress::parse("10.0.0.2");
  constexpr std::uint16_t another_port = 0xC0DE;
  ASSERT_NE(pair.a.fabric->source_port(), another_port);
  const Mad mad{};
  roce::Packet packet;
  packet.bth.opcode = {.transport = roce::Transport::ud, .operation = roce::Operation::send_only};
  packet.bth.destination = qpn_gsi;
  packet.deth = roce::Deth{.qkey = qkey_gsi, .source = qpn_gsi};
  packet.payload = mad;
  std::array<std::byte, 512> buffer{};
  const std::size_t bytes = roce::encode(packet, a, b, another_port, buffer);
  pair.b.path.deliver(
      {.source = a, .destination = b, .source_port = another_port, .payload = std::span(buffer).first(bytes)});
  pair.run();
  ASSERT_EQ(from_a.size(), 1U);
  EXPECT_EQ(from_a[0].remote, a);
  ASSERT_EQ(from_b.size(), 1U) << "on the port that everybody has";
}

}  // namespace
}  // namespace hawser::verbs
