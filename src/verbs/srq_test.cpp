#include "verbs/srq.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "verbs/limits.hpp"
#include "verbs/test_host.hpp"

namespace hawser::verbs {
namespace {

using roce::WcStatus;

// Two connected pairs whose responders share one queue of receives.
class SrqTest : public testing::Test {
 protected:
  SrqTest() {
    for (std::size_t i = 0; i < 2; ++i) {
      requester[i] = a.make_qp(cq_a);
      responder[i] = *Qp::create(
          *b.context, {.pd = b.pd, .send_cq = cq_b, .recv_cq = cq_b, .capabilities = {16, 0, 4, 0, 64}, .srq = srq});
      bring_to_rts(*requester[i], connected_to(b, responder[i]->qpn()));
      bring_to_rts(*responder[i], connected_to(a, requester[i]->qpn()));
    }
    region_a = a.register_bytes(memory_a, roce::access::local_write);
    region_b = b.register_bytes(memory_b, roce::access::local_write);
  }
  ~SrqTest() override {
    for (auto& qp : {requester[0], requester[1], responder[0], responder[1]}) qp->destroy();
    a.context->memory().remove(region_a);
    b.context->memory().remove(region_b);
    EXPECT_TRUE(srq->close());
  }
  Status post(std::uint64_t id) {
    return srq->post(
        once(roce::RecvWork{.wr_id = id, .sges = {{.addr = region_b->iova, .length = 64, .lkey = region_b->lkey}}}));
  }
  void send(std::size_t i, std::uint64_t id) {
    roce::SendWork work;
    work.wr_id = id;
    work.sges.push_back({.addr = region_a->iova, .length = 32, .lkey = region_a->lkey});
    ASSERT_TRUE(requester[i]->post_send(once(work)));
  }
  void run(rt::Duration limit = std::chrono::seconds(2)) {
    const rt::Time end = world->now() + limit;
    for (;;) {
      while (a.path.receive(64) + b.path.receive(64) > 0) {
      }
      const rt::Time next = std::min({network.next_arrival(), a.path.next_deadline(), b.path.next_deadline()});
      if (next > end) return;
      world->advance_to(std::max(next, world->now()));
      a.path.on_time(world->now());
      b.path.on_time(world->now());
    }
  }
  std::vector<AsyncEventType> events(AsyncSource* source) {
    std::vector<AsyncEventType> types;
    while (const auto event = b.context->events().take()) {
      if (event->source == source) types.push_back(event->type);
      if (event->source != nullptr) b.context->events().acknowledge(*event->source);
    }
    return types;
  }

  std::unique_ptr<rt::World> world = rt::World::simulated(1);
  fabric::SimNetwork network{*world};
  TestHost a{*world, network, "10.0.0.1"}, b{*world, network, "10.0.0.2"};
  std::shared_ptr<Cq> cq_a = a.make_cq(), cq_b = b.make_cq();
  std::shared_ptr<Srq> srq = *Srq::create(*b.context, b.pd, {.max_wr = 4, .max_sge = 1});
  std::array<std::shared_ptr<Qp>, 2> requester, responder;
  std::vector<std::byte> memory_a = pattern(64), memory_b = pattern(64);
  MemoryRegion *region_a{}, *region_b{};
};

TEST_F(SrqTest, ReceivesGoToWhoeverNeedsThemFirst) {
  for (const std::uint64_t id : {10U, 11U, 12U}) ASSERT_TRUE(post(id));
  send(1, 1);
  run();
  send(0, 2);
  run();
  const auto got = Pair::drain(*cq_b);
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].completion.wr_id, 10U);
  EXPECT_EQ(got[0].qpn, responder[1]->qpn());
  EXPECT_EQ(got[1].completion.wr_id, 11U);
  EXPECT_EQ(got[1].qpn, responder[0]->qpn());
}

TEST_F(SrqTest, AnEmptyQueueIsReceiverNotReady) {
  send(0, 1);
  run(std::chrono::milliseconds(5));
  EXPECT_TRUE(Pair::drain(*cq_b).empty());
  ASSERT_TRUE(post(10));
  run();
  EXPECT_EQ(Pair::drain(*cq_b).size(), 1U);
}

TEST_F(SrqTest, TheLimitIsToldOnceAndArmedAgain) {
  for (const std::uint64_t id : {1U, 2U, 3U}) ASSERT_TRUE(post(id));
  ASSERT_TRUE(srq->modify(std::nullopt, 2));
  send(0, 1);
  run();
  EXPECT_TRUE(events(srq.get()).empty());  // two are left: not fewer than the limit
  send(0, 2);
  run();
  EXPECT_THAT(events(srq.get()), testing::ElementsAre(AsyncEventType::srq_limit_reached));
  EXPECT_EQ(srq->query().limit, 0U);
  send(0, 3);
  run();
  EXPECT_TRUE(events(srq.get()).empty());
}

TEST_F(SrqTest, ABrokenQueuePairSaysThatItTakesNoMore) {
  ASSERT_TRUE(post(1));
  QpAttributes attributes;
  ASSERT_TRUE(move_to(*responder[0], QpState::err, attributes, qp_attr::state));
  EXPECT_THAT(events(responder[0].get()), testing::ElementsAre(AsyncEventType::qp_last_wqe_reached));
  ASSERT_TRUE(move_to(*responder[0], QpState::err, attributes, qp_attr::state));
  EXPECT_TRUE(events(responder[0].get()).empty());
  send(1, 1);
  run();
  EXPECT_EQ(Pair::drain(*cq_b).size(), 1U);  // the receive is still there for the other one
}

TEST_F(SrqTest, ItsQueuePairsHaveNoReceivesOfTheirOwn) {
  roce::RecvWork work;
  EXPECT_EQ(errno_of(responder[0]->post_receive(once(work))), EINVAL);
  EXPECT_EQ(errno_of(srq->close()), EBUSY);
}

TEST_F(SrqTest, SizesAndLimitsAreChecked) {
  for (const std::uint64_t id : {1U, 2U, 3U, 4U}) ASSERT_TRUE(post(id));
  EXPECT_EQ(errno_of(post(5)), ENOMEM);
  EXPECT_EQ(errno_of(srq->modify(3, std::nullopt)), EINVAL);
  EXPECT_EQ(errno_of(srq->modify(std::nullopt, 5)), EINVAL);
  EXPECT_EQ(errno_of(srq->modify(limits::qp_wr_max + 1, std::nullopt)), EINVAL);
  ASSERT_TRUE(srq->modify(5, 5));
  EXPECT_TRUE(post(5));
  EXPECT_EQ(srq->query().max_wr, 5U);
  roce::RecvWork wide;
  wide.sges.resize(2);
  EXPECT_EQ(errno_of(srq->post(once(wide))), EINVAL);
  EXPECT_EQ(errno_of(Srq::create(*b.context, b.pd, {.max_wr = 0, .max_sge = 1})), EINVAL);
  EXPECT_EQ(errno_of(Srq::create(*b.context, b.pd, {.max_wr = 1, .max_sge = limits::sge_max + 1})), EINVAL);
}

}  // namespace
}  // namespace hawser::verbs
