// Numbers that others see: of states, events and services; and what a REQ says when the program says nothing.
#include <set>

#include "cma/test_situations.hpp"

namespace hawser::cma::walk {
namespace {

TEST(Numbers, OfStatesAndEvents) {  // [spec 1.2.1, 1.3.1]
  const std::vector<std::string> states{
      "IDLE",       "ADDR_QUERY", "ADDR_RESOLVED",  "ROUTE_QUERY", "ROUTE_RESOLVED", "CONNECT",          "DISCONNECT",
      "ADDR_BOUND", "LISTEN",     "DEVICE_REMOVAL", "DESTROYING",  "ADDRINFO_QUERY", "ADDRINFO_RESOLVED"};
  for (std::size_t i = 0; i < states.size(); ++i) EXPECT_EQ(name(static_cast<State>(i)), states[i]);
  const std::vector<std::string> events{"ADDR_RESOLVED",     "ADDR_ERROR",       "ROUTE_RESOLVED", "ROUTE_ERROR",
                                        "CONNECT_REQUEST",   "CONNECT_RESPONSE", "CONNECT_ERROR",  "UNREACHABLE",
                                        "REJECTED",          "ESTABLISHED",      "DISCONNECTED",   "DEVICE_REMOVAL",
                                        "MULTICAST_JOIN",    "MULTICAST_ERROR",  "ADDR_CHANGE",    "TIMEWAIT_EXIT",
                                        "ADDRINFO_RESOLVED", "ADDRINFO_ERROR",   "USER",           "INTERNAL"};
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(name(static_cast<EventType>(i)), "RDMA_CM_EVENT_" + events[i]);
  }
}

cm::Req req_of(Subject& s, const ConnParam& param) {
  s.route();
  s.must(s->connect(param));
  s.world.run();
  return std::get<cm::Req>(s.sent.at(0));
}

TEST(Numbers, OfARequest) {  // [spec 1.7.1, 1.8.1, 1.12.1, 1.12.9, 1.14.4]
  Subject s;
  ConnParam param = with_qp(Subject::our_qpn.value);
  param.retry_count = 9;
  param.rnr_retry_count = 200;
  param.ece = {0x123456, 0x789ABCDE};
  const cm::Req req = req_of(s, param);
  EXPECT_EQ(req.service_id, ServiceId(0x0000000001061D2F)) << "TCP, port 7471";
  EXPECT_EQ(req.local_cm_response_timeout, 20);
  EXPECT_EQ(req.remote_cm_response_timeout, 20);
  EXPECT_EQ(req.max_cm_retries, 15);
  EXPECT_EQ(req.retry_count, 7) << "more than 7 is 7";
  EXPECT_EQ(req.rnr_retry_count, 7);
  EXPECT_EQ(req.vendor_id, 0x123456U);
  EXPECT_EQ(req.primary.local_gid.bytes,
            (std::array<std::uint8_t, 16>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1}));
}

TEST(Numbers, StartingPsnsAreRandom) {  // [spec 1.1.2]
  std::set<std::uint32_t> seen;
  Subject s;
  for (int i = 0; i < 8; ++i) {
    TestId id(s.host);
    ASSERT_EQ(errno_of(id->resolve_addr(nullptr, s.theirs, 2s)), 0);
    s.world.run();
    ASSERT_EQ(errno_of(id->resolve_route(2s)), 0);
    s.world.run();
    s.sent.clear();
    ASSERT_EQ(errno_of(id->connect(with_qp(0x300U + static_cast<unsigned>(i)))), 0);
    s.world.run();
    seen.insert(std::get<cm::Req>(s.sent.at(0)).starting_psn.value);
  }
  EXPECT_EQ(seen.size(), 8U);
}

TEST(Numbers, EceOfAPeerIsToldWithItsEvent) {  // [spec 1.14.4]
  Subject s;
  s.connect();
  cm::Rep rep = s.rep();
  rep.set_vendor_id(0xABCDEF);
  cm::Ece told;
  s.program.react = [&](Id&, const Event& event) { return told = event.ece, 0; };
  s.hears(rep);
  EXPECT_EQ(told.vendor_id, 0xABCDEFU);
}

TEST(Numbers, TheMrasServiceTimeout) {  // [spec 1.12.6, 2.6.7]
  Subject s;
  s.be_asked();
  s.hears(s.req());  // again: the program has not answered yet
  ASSERT_EQ(s.sent.size(), 1U);
  EXPECT_EQ(std::get<cm::Mra>(s.sent[0]).service_timeout, 24);
}

TEST(Numbers, TheRnrTimerIsTheOptionOrZero) {  // [spec 1.12.10, 1.14.3]
  Subject s;
  s.establish();
  EXPECT_EQ(s->qp_attributes(cm::QpTarget::rtr)->min_rnr_timer, 0);
  s.must(s->set_min_rnr_timer(11));
  EXPECT_EQ(s->qp_attributes(cm::QpTarget::rtr)->min_rnr_timer, 11);
}

TEST(Numbers, TheAckTimeoutOptionIsTheQueuePairs) {  // [spec 1.14.2]
  Subject s;
  s.establish();
  s.must(s->set_ack_timeout(9));
  EXPECT_EQ(s->qp_attributes(cm::QpTarget::rts)->timeout, 9);
}

TEST(Numbers, BindV6OnlyOfTheNamespaceIsTheDefault) {  // [spec 1.8.7]
  Subject s;
  s.host.network.set_bind_v6_only(true);
  TestId six(s.host), four(s.host), both(s.host);
  ASSERT_EQ(errno_of(six->bind_addr(address("::", 7001))), 0);
  EXPECT_EQ(errno_of(four->bind_addr(address("0.0.0.0", 7001))), 0) << "apart";
  s.must(both->set_af_only(false));
  EXPECT_EQ(errno_of(both->bind_addr(address("::", 7001))), EADDRNOTAVAIL) << "the option wins";
}

}  // namespace
}  // namespace hawser::cma::walk
