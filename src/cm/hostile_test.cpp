// Malformed and hostile MADs: nothing of it asserts, leaks or stays.
#include <random>

#include <gtest/gtest.h>

#include "cm/test_script.hpp"

namespace hawser::cm {
namespace {

// A valid MAD for the connection with some of its bits turned.
verbs::Mad mutated(Script& s, std::mt19937_64& random) {
  const std::vector<Body> valid{s.req(),
                                s.rep(),
                                s.rtu(),
                                s.mra(Answered::req),
                                s.mra(Answered::rep),
                                s.dreq(),
                                s.drep(),
                                s.rej(28, Answered::req),
                                s.rej(10, Answered::rep),
                                s.rej_timeout(Script::their_guid),
                                Lap{},
                                Apr{},
                                s.sidr_req(),
                                s.sidr_rep()};
  verbs::Mad mad = encode({.tid = random()}, valid[random() % valid.size()]);
  const auto flips = random() % 4;
  for (unsigned i = 0; i < flips; ++i) {
    // Half of them in the headers, where they matter.
    const std::size_t byte = random() % 2 == 0 ? random() % 80 : random() % mad.size();
    mad[byte] ^= static_cast<std::byte>(1U << random() % 8);
  }
  return mad;
}

TEST(Hostile, MutatedMadsLeaveNothingBehind) {  // [spec 5.8.3]
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const std::vector<std::string> begun_in{"REQ_SENT",  "REP_RCVD",      "REQ_RCVD",      "MRA_REQ_SENT",
                                          "REP_SENT",  "ESTABLISHED_A", "ESTABLISHED_P", "DREQ_SENT",
                                          "DREQ_RCVD", "TIMEWAIT",      "SIDR_REQ_SENT", "SIDR_REQ_RCVD"};
  for (int round = 0; round < 200; ++round) {
    Script s;
    s.bring_to(begun_in[random() % begun_in.size()]);
    std::set<Connection*> born;
    const auto listener = *s.us.manager.listen(s.us.device, test_service, [&](Connection& c, const Event& event) {
      if (event.kind != EventKind::req_received && event.kind != EventKind::sidr_req_received) return 0;
      born.insert(&c);
      return 0;
    });
    for (int i = 0; i < 50; ++i) s.peer_sends(mutated(s, random));
    for (Connection* c : born) s.us.manager.destroy(c);
    s.us.manager.destroy(std::exchange(s.connection, nullptr));
    s.us.manager.unlisten(listener);
    s.net.run();
    ASSERT_EQ(s.us.manager.usage(), Usage{});
    ASSERT_EQ(s.us.ids.in_use(), 0U);
  }
}

TEST(Hostile, NoiseIsCounted) {
  std::mt19937_64 random(1);
  Script s;
  for (int i = 0; i < 1000; ++i) {
    verbs::Mad mad;
    for (std::byte& b : mad) b = static_cast<std::byte>(random());
    mad[0] = std::byte{9};
    s.peer_sends(mad);
  }
  EXPECT_EQ(s.us.manager.counters().malformed, 1000U);
  Rtu rtu;
  rtu.remote_comm_id = CommId(0xDEADBEEF);
  s.peer_sends(rtu);
  EXPECT_EQ(s.us.manager.counters().unmatched, 1U);
  EXPECT_TRUE(s.us.sent.empty()) << "no answer to noise";
}

// [spec 5.5.13, 5.8.2]: a DREQ for nobody gets a DREP, so that its sender need not wait.
TEST(Hostile, ADreqForNobodyIsAnswered) {
  Script s;
  Dreq dreq{.local_comm_id = CommId(1), .remote_comm_id = CommId(2), .remote_qpn = Qpn(3)};
  s.peer_sends(dreq, {.tid = 42});
  ASSERT_EQ(s.us.sent.size(), 1U);
  const Message& answer = s.us.sent[0].message;
  EXPECT_EQ(answer.header.tid, 42U);
  EXPECT_EQ(as<Drep>(answer)->local_comm_id, CommId(2));
  EXPECT_EQ(as<Drep>(answer)->remote_comm_id, CommId(1));
}

}  // namespace
}  // namespace hawser::cm
