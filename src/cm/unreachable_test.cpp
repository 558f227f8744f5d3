// A host without an RDMA stack says so by ICMP: whoever wants to know is told at once.
#include <gtest/gtest.h>

#include "cm/test_script.hpp"

namespace hawser::cm {
namespace {

using Events = std::vector<EventKind>;

struct Reported : Script {
  void reported(const verbs::Mad& mad, const Gid& at) {
    us.manager.on_unreachable(at, mad);
    static_cast<void>(net.dispatcher.run());
  }
  void remember_error() {
    on_event = [this](const Event& event) {
      error = event.error;
      return 0;
    };
  }
  int error = 0;
};

TEST(Unreachable, EndsARequestAtOnce) {  // [spec 5.6.12]
  for (const std::string state : {"REQ_SENT", "SIDR_REQ_SENT"}) {
    SCOPED_TRACE(state);
    Reported s;
    s.bring_to(state);
    s.remember_error();
    s.reported(s.us.sent.back().mad, s.peer);
    EXPECT_EQ(s.events, Events{state == "REQ_SENT" ? EventKind::req_error : EventKind::sidr_req_error});
    EXPECT_EQ(s.error, ECONNREFUSED);
    EXPECT_EQ(s.connection->state(), State::idle);
    s.reported(s.us.sent.back().mad, s.peer);  // of a second copy
    EXPECT_EQ(s.events.size(), 1U);
    s.net.run();
    EXPECT_EQ(s.events.size(), 1U) << "nothing is repeated";
  }
}

TEST(Unreachable, SilenceIsATimeout) {
  Reported s;
  s.bring_to("REQ_SENT");
  s.remember_error();
  s.net.run();
  EXPECT_EQ(s.error, ETIMEDOUT);
}

TEST(Unreachable, WhatIsNotMeantForARequestUnderWayIsIgnored) {  // [spec 5.6.12]
  Reported s;
  s.bring_to("REQ_SENT");
  const verbs::Mad req = s.us.sent.back().mad;
  s.reported(req, Gid::v4(0x0A000063));  // another host
  s.reported({}, s.peer);                // no MAD
  s.reported(encode({}, s.dreq()), s.peer);
  EXPECT_TRUE(s.events.empty());
  s.peer_sends(s.rep());
  s.reported(req, s.peer);  // of an early copy: the host has come up since
  EXPECT_EQ(s.events, Events{EventKind::rep_received});
  EXPECT_EQ(s.connection->state(), State::rep_rcvd);
}

// Each transmission goes the reporting way, and those of others do not.
TEST(Unreachable, IsAskedForPerRequest) {  // [spec 1.14.6, 5.6.12]
  struct Sender final : MadSender {
    void send(const verbs::MadAddress&, const verbs::Mad&) override { ++plain; }
    void send_reporting(const verbs::MadAddress&, const verbs::Mad&) override { ++reporting; }
    int plain = 0, reporting = 0;
  };
  TestNet net;
  Host host(net, 1);
  Sender sender;
  TestIds ids(1);
  Manager manager(net.dispatcher, sender, ids);
  Connection* const connection = *manager.create([](Connection&, const Event&) { return 0; });
  SidrReqParam param;
  param.path = host.path_to(Gid::v4(0x0A000002));
  param.max_cm_retries = 2;
  param.report_unreachable = true;
  ASSERT_TRUE(connection->send_sidr_req(param));
  net.run();
  EXPECT_EQ(sender.reporting, 3);
  EXPECT_EQ(sender.plain, 0);
  param.report_unreachable = false;
  ASSERT_TRUE(connection->send_sidr_req(param));
  net.run();
  EXPECT_EQ(sender.plain, 3);
  manager.destroy(connection);
}

}  // namespace
}  // namespace hawser::cm
