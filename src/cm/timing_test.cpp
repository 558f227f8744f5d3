// The timers, in milliseconds, as [spec 1.12] lists them.
#include "cm/timing.hpp"

#include <gtest/gtest.h>

#include "cm/test_script.hpp"

namespace hawser::cm {
namespace {

TEST(Timing, ValuesOfTheSpecification) {  // [spec 1.12.5]
  EXPECT_EQ(cm_time(20), 4096ms);
  EXPECT_EQ(cm_time(24), 65536ms);
  EXPECT_EQ(cm_time(17), 512ms);
  EXPECT_EQ(cm_time(8), 1ms);
  EXPECT_EQ(cm_time(0), 1ms) << "1 << max(t-8, 0)";
  EXPECT_EQ(cm_time(31), 8388608ms);
  EXPECT_EQ(req_time(16, 20), 4608ms);
  EXPECT_EQ(mra_time(24, 17), 66048ms);
}

TEST(Timing, AckTimeoutCombinesLifeTimeAndAckDelay) {  // [spec 1.12.7]
  EXPECT_EQ(combine_ack_timeout(15, 16), 17);
  EXPECT_EQ(combine_ack_timeout(16, 16), 18) << "a = 17 ≥ 16, delay ≥ a−1: one more";
  EXPECT_EQ(combine_ack_timeout(0, 16), 17);
  EXPECT_EQ(combine_ack_timeout(18, 16), 19) << "a = 17 < 18, a ≥ delay−1: one more";
  EXPECT_EQ(combine_ack_timeout(20, 16), 20);
  EXPECT_EQ(combine_ack_timeout(31, 31), 31);
  EXPECT_EQ(combine_ack_timeout(31, 30), 31);
}

// When we sent, in ms after the first.
std::vector<std::int64_t> times(const Script& s, std::size_t from = 0) {
  std::vector<std::int64_t> out;
  for (std::size_t i = from; i < s.us.sent.size(); ++i) {
    out.push_back(
        std::chrono::duration_cast<std::chrono::milliseconds>(s.us.sent[i].time - s.us.sent[from].time).count());
  }
  return out;
}
std::vector<std::int64_t> every(std::int64_t ms, int count) {
  std::vector<std::int64_t> out;
  for (int i = 0; i < count; ++i) out.push_back(i * ms);
  return out;
}
std::int64_t elapsed_ms(const Script& s, rt::Time since) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(s.net.now() - since).count();
}

TEST(Timing, AReqIsSentSixteenTimesWithTheSameBytes) {  // [spec 1.12.2, 5.6.7]
  Script s;
  s.create();
  const rt::Time start = s.net.now();
  ASSERT_TRUE(s.send_req(15));
  s.net.run();
  EXPECT_EQ(times(s), every(4608, 16));
  EXPECT_EQ(elapsed_ms(s, start), 73728) << "≈ 73.7 s to UNREACHABLE";
  for (const Sent& sent : s.us.sent) EXPECT_EQ(sent.mad, s.us.sent[0].mad);
  EXPECT_EQ(s.events, std::vector{EventKind::req_error});
  EXPECT_EQ(s.us.manager.counters().req_retransmitted, 15U);
}

TEST(Timing, ARepFollowsTheReqsWishes) {  // [spec 1.12.4]
  Script s;
  Req req = s.req(3);
  req.local_cm_response_timeout = 16;  // rxe-peer: "a REP after 0.28 s with response timeout 16"
  const auto listener = *s.us.manager.listen(nullptr, test_service, s.handler());
  s.peer_sends(req);
  s.us.manager.unlisten(listener);
  ASSERT_TRUE(s.send_rep());
  s.net.run();
  EXPECT_EQ(times(s), every(256, 4));
  EXPECT_EQ(s.events, (std::vector{EventKind::req_received, EventKind::rep_error}));
  EXPECT_EQ(s.us.manager.counters().rep_retransmitted, 3U);
}

TEST(Timing, ADreqWaitsAsLongAsTheReqDid) {  // [spec 1.12.4]
  Script s;
  s.create();
  ASSERT_TRUE(s.send_req(2));
  s.peer_sends(s.rep());
  ASSERT_TRUE(s.connection->send_rtu({}));
  const std::size_t first = s.us.sent.size();
  ASSERT_TRUE(s.connection->send_dreq({}));
  s.net.run();
  EXPECT_EQ(times(s, first), every(4608, 3));
  EXPECT_EQ(s.us.manager.counters().dreq_retransmitted, 2U);
  EXPECT_EQ(s.events, (std::vector{EventKind::rep_received, EventKind::dreq_error, EventKind::timewait_exit}));
}

TEST(Timing, AnMraExtendsTheWait) {  // [spec 5.5.9]
  Script s;
  s.create();
  ASSERT_TRUE(s.send_req(1));
  s.net.run(1s);
  s.peer_sends(s.mra(Answered::req, 24));
  s.net.run();
  EXPECT_EQ(times(s), (std::vector<std::int64_t>{0, 1000 + 66048})) << "2^(24−8) + 2^(17−8) ms from the MRA on";
}

TEST(Timing, TimewaitIsTheAckTimeout) {  // [spec 1.12.8, 5.6.1, 5.6.6]
  Script s;
  s.bring_to("TIMEWAIT");
  const rt::Time start = s.net.now();
  const CommId id = s.connection->local_id();
  s.us.manager.destroy(std::exchange(s.connection, nullptr));
  s.net.run(511ms);
  EXPECT_TRUE(s.us.ids.is_in_use(id)) << "the id is not given away before its time is over, connection or not";
  s.net.run();
  EXPECT_EQ(elapsed_ms(s, start), 512);
  EXPECT_EQ(s.us.ids.in_use(), 0U);
  EXPECT_EQ(s.events, std::vector<EventKind>{}) << "nobody is left to be told";
}

TEST(Timing, TimewaitEndsOnPurpose) {
  Script s;
  s.bring_to("TIMEWAIT");
  s.events.clear();
  const rt::Time start = s.net.now();
  EXPECT_EQ(s.us.manager.end_timewait(), 1U);
  s.net.run();
  EXPECT_EQ(elapsed_ms(s, start), 0);
  EXPECT_EQ(s.events, std::vector{EventKind::timewait_exit});
  EXPECT_EQ(s.us.manager.end_timewait(), 0U);
}

TEST(Timing, TimewaitOfTheActiveSideHearsTheTargetAckDelay) {  // [spec 1.12.8]
  Script s;
  s.create();
  ASSERT_TRUE(s.send_req());
  Rep rep = s.rep();
  rep.target_ack_delay = 20;
  s.peer_sends(rep);
  ASSERT_TRUE(s.connection->send_rtu({}));
  ASSERT_TRUE(s.connection->send_dreq({}));
  s.peer_sends(s.drep());
  const rt::Time start = s.net.now();
  s.net.run();
  EXPECT_EQ(elapsed_ms(s, start), 4096) << "2^(20−8)";
}

}  // namespace
}  // namespace hawser::cm
