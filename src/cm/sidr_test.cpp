// Service id resolution between two managers, and against a peer played by hand [spec 5.4, 5.5, 5.6].
#include <gtest/gtest.h>

#include "cm/test_script.hpp"

namespace hawser::cm {
namespace {

using Events = std::vector<EventKind>;

constexpr QKey qkey{0x01234567};

struct Pair {
  TestNet net;
  Host server{net, 1}, client{net, 2};
  Program passive{server}, active{client};
  std::shared_ptr<Manager::Listener> listener;
  SidrRepParam reply{.status = SidrStatus::success, .qpn = Qpn(0x42), .qkey = qkey};
  Event::SidrRep answer;

  Pair() {
    passive.on_event = [this](const Event& event) {
      if (event.kind != EventKind::sidr_req_received) return 0;
      return -errno_of(passive.connection->send_sidr_rep(reply));
    };
    active.on_event = [this](const Event& event) {
      if (event.kind == EventKind::sidr_rep_received) answer = event.sidr_rep;
      return 0;
    };
  }
  ~Pair() {
    active.destroy();
    passive.destroy();
    if (listener) server.manager.unlisten(listener);
  }
  void listen() { listener = *server.manager.listen(server.device, test_service, passive.handler()); }
  Status ask(std::span<const std::byte> private_data = {}) {
    if (active.connection == nullptr) active.connection = *client.manager.create(active.handler());
    SidrReqParam param;
    param.path = client.path_to(server.gid);
    param.service_id = test_service;
    param.private_data = private_data;
    return active.connection->send_sidr_req(param);
  }
};

TEST(Sidr, AQuestionAndItsAnswer) {  // [spec 5.5.22-5.5.24]
  Pair pair;
  pair.listen();
  const std::array question{std::byte{7}, std::byte{8}};
  const std::array answer{std::byte{9}};
  pair.reply.private_data = answer;
  pair.reply.ece = {0xABCDEF, 0x55};
  std::vector<std::byte> asked, told;
  Event::SidrReq request;
  const auto plain = pair.passive.on_event;
  pair.passive.on_event = [&](const Event& event) {
    asked.assign(event.private_data.begin(), event.private_data.end());
    request = event.sidr_req;
    return plain(event);
  };
  const auto quiet = pair.active.on_event;
  pair.active.on_event = [&](const Event& event) {
    told.assign(event.private_data.begin(), event.private_data.end());
    return quiet(event);
  };
  ASSERT_TRUE(pair.ask(question));
  pair.net.run();
  EXPECT_EQ(pair.passive.events, Events{EventKind::sidr_req_received});
  EXPECT_EQ(pair.active.events, Events{EventKind::sidr_rep_received});
  ASSERT_EQ(asked.size(), 216U) << "the whole field [spec 1.5]";
  EXPECT_EQ(asked[1], std::byte{8});
  ASSERT_EQ(told.size(), 136U);
  EXPECT_EQ(told[0], std::byte{9});
  EXPECT_EQ(request.path.local, pair.server.gid);
  EXPECT_EQ(request.path.remote, pair.client.gid);
  EXPECT_EQ(request.path.device, pair.server.device);
  EXPECT_EQ(request.service_id, test_service);
  EXPECT_EQ(pair.answer.status, SidrStatus::success);
  EXPECT_EQ(pair.answer.qpn, Qpn(0x42));
  EXPECT_EQ(pair.answer.qkey, qkey);
  EXPECT_EQ(pair.answer.ece, (Ece{0xABCDEF, 0x55}));
  EXPECT_EQ(pair.active.connection->state(), State::idle);
  EXPECT_EQ(pair.passive.connection->state(), State::idle);
  const Message& sent = pair.client.sent.at(0).message;
  EXPECT_EQ(sent.header.tid, pair.server.sent.at(0).message.header.tid) << "[spec 5.2]";
  EXPECT_EQ(sent.header.tid & 0xFFFFFFFF, pair.active.connection->local_id().value);
}

TEST(Sidr, NobodyListens) {  // [spec 5.5.22, 5.4.10]
  Pair pair;
  ASSERT_TRUE(pair.ask());
  pair.net.run();
  EXPECT_EQ(pair.active.events, Events{EventKind::sidr_rep_received});
  EXPECT_EQ(pair.answer.status, SidrStatus::unsupported);
  EXPECT_EQ(pair.server.manager.usage(), Usage{});
  // Somebody does, later: the same id may ask again.
  pair.listen();
  ASSERT_TRUE(pair.ask());
  pair.net.run();
  EXPECT_EQ(pair.answer.status, SidrStatus::success);
}

TEST(Sidr, NobodyAnswersForSixteenTransmissions) {  // [spec 1.12.3, 5.5.19]
  Pair pair;
  pair.net.fate = [](std::size_t, const Message&) { return std::vector<rt::Duration>{}; };
  ASSERT_TRUE(pair.ask());
  pair.net.run();
  EXPECT_EQ(pair.client.sent.size(), 16U) << "[spec 1.12.3]";
  EXPECT_EQ(pair.client.sent[1].time - pair.client.sent[0].time, 4096ms);
  EXPECT_EQ(pair.client.sent[1].mad, pair.client.sent[0].mad);
  EXPECT_EQ(pair.net.now() - pair.client.sent[0].time, 16 * 4096ms);
  EXPECT_EQ(pair.active.events, Events{EventKind::sidr_req_error}) << "[spec 5.5.19]";
  EXPECT_EQ(pair.client.manager.counters().sidr_req_retransmitted, 15U);
}

TEST(Sidr, AHandlerThatFailsRejects) {
  for (const int result : {-ECONNREFUSED, -ENOMEM}) {
    Pair pair;
    pair.listen();
    pair.passive.on_event = [result](const Event&) { return result; };
    ASSERT_TRUE(pair.ask());
    pair.net.run();
    EXPECT_EQ(pair.answer.status, SidrStatus::reject);
    EXPECT_EQ(pair.server.manager.usage().connections, 0U);
  }
}

// A repeated request neither makes a second id nor goes unanswered.
TEST(Sidr, ARepeatedRequestGetsTheSameAnswer) {
  Pair pair;
  pair.listen();
  pair.net.fate = [](std::size_t, const Message& m) {
    static thread_local int lost = 0;
    const bool lose = as<SidrRep>(m) != nullptr && lost++ < 3;
    return lose ? std::vector<rt::Duration>{} : std::vector<rt::Duration>{1ms};
  };
  ASSERT_TRUE(pair.ask());
  pair.net.run();
  EXPECT_EQ(pair.passive.events, Events{EventKind::sidr_req_received});
  EXPECT_EQ(pair.active.events, Events{EventKind::sidr_rep_received});
  ASSERT_EQ(pair.server.sent.size(), 4U);
  EXPECT_EQ(pair.server.sent[3].mad, pair.server.sent[0].mad);
  EXPECT_EQ(pair.server.manager.counters().duplicates, 3U);
}

TEST(Sidr, TheAnswerOutlivesItsIdButNotForEver) {
  Script s;
  s.bring_to("SIDR_REQ_RCVD");
  ASSERT_TRUE(s.connection->send_sidr_rep({.status = SidrStatus::success}));
  s.us.manager.destroy(std::exchange(s.connection, nullptr));
  EXPECT_EQ(s.us.manager.usage(), Usage{});
  s.peer_sends(s.sidr_req());
  EXPECT_EQ(s.sent(), "SIDR_REP0 SIDR_REP0");
  s.peer_sends(s.sidr_req(), {.tid = 1});
  EXPECT_EQ(s.sent(), "SIDR_REP1") << "another request of that id: nobody listens any more";
  s.net.world->advance_to(s.net.now() + 66s);
  s.peer_sends(s.sidr_req());
  EXPECT_EQ(s.sent(), "SIDR_REP1");
}

// [spec 4 #64]: what the kernel may confuse on RoCE.
TEST(Sidr, EqualRequestIdsOfDifferentHostsAreDifferentRequests) {
  TestNet net;
  Host server(net, 1);
  std::vector<Connection*> asked;
  const auto listener = *server.manager.listen(server.device, test_service, [&](Connection& c, const Event&) {
    asked.push_back(&c);
    return 0;
  });
  Script s;  // for its messages
  for (const std::uint32_t host : {2U, 3U}) {
    verbs::MadAddress from;
    from.local = server.gid;
    from.remote = Gid::v4(0x0A000000 + host);
    for (int copy = 0; copy < 2; ++copy) server.receive(from, encode({.tid = 1}, s.sidr_req()));
  }
  static_cast<void>(net.dispatcher.run());
  ASSERT_EQ(asked.size(), 2U);
  EXPECT_EQ(server.manager.usage().sidr_requests, 2U);
  for (Connection* c : asked) {
    ASSERT_TRUE(c->send_sidr_rep({.status = SidrStatus::success}));
    server.manager.destroy(c);
  }
  ASSERT_EQ(server.sent.size(), 2U);
  EXPECT_NE(server.sent[0].to.remote, server.sent[1].to.remote);
  server.manager.unlisten(listener);
}

TEST(Sidr, AForeignPartitionHearsNothing) {
  Script s;
  SidrReq req = s.sidr_req();
  req.pkey = PKey(0x1234);
  s.receive_request(req);
  EXPECT_TRUE(s.events.empty());
  EXPECT_EQ(s.sent(), "-");
}

// No id left: the peer's next transmission gets another chance.
TEST(Sidr, WithoutIdsTheRequestIsNotForgottenAsAnswered) {
  Script s;
  s.us.ids.limit = 0;
  s.receive_request(s.sidr_req());
  EXPECT_EQ(s.sent(), "-");
  s.us.ids.limit = 10;
  s.receive_request(s.sidr_req());
  EXPECT_EQ(s.events, Events{EventKind::sidr_req_received});
}

// [spec 1.9]: two that share the service; the first is not meant.
TEST(Sidr, ListenersAreAskedOneAfterTheOther) {
  Pair pair;
  const auto first = *pair.server.manager.listen(pair.server.device, test_service,
                                                 [](Connection&, const Event&) { return -EADDRNOTAVAIL; });
  pair.listen();
  ASSERT_TRUE(pair.ask());
  pair.net.run();
  EXPECT_EQ(pair.answer.status, SidrStatus::success);
  pair.server.manager.unlisten(first);
}

// A request that is being answered by hand while its id ends.
TEST(Sidr, ALateAnswerOfTheProgram) {
  Pair pair;
  pair.listen();
  pair.passive.on_event = [](const Event&) { return 0; };
  ASSERT_TRUE(pair.ask());
  pair.net.run(10s);
  EXPECT_EQ(pair.passive.events.size(), 1U) << "repetitions wait with it";
  ASSERT_TRUE(pair.passive.connection->send_sidr_rep(pair.reply));
  EXPECT_EQ(errno_of(pair.passive.connection->send_sidr_rep(pair.reply)), EINVAL);
  pair.net.run();
  EXPECT_EQ(pair.active.events, Events{EventKind::sidr_rep_received});
}

// [spec 1.12, 4 #61]: SIDR_REQs wait for their place among the requests that open something.
TEST(Sidr, RequestsAreWindowed) {
  TestNet net;
  Host server(net, 1), client(net, 2, Limits{.window_places = 2});
  net.fate = [](std::size_t, const Message&) { return std::vector<rt::Duration>{}; };
  std::vector<Connection*> asking;
  for (int i = 0; i < 5; ++i) {
    asking.push_back(*client.manager.create([](Connection&, const Event&) { return 0; }));
    SidrReqParam param;
    param.path = client.path_to(server.gid);
    ASSERT_TRUE(asking.back()->send_sidr_req(param));
  }
  EXPECT_EQ(client.sent.size(), 2U);
  EXPECT_EQ(client.manager.counters().window_waits, 3U);
  for (Connection* c : asking) client.manager.destroy(c);
  EXPECT_EQ(client.manager.usage(), Usage{});
}

}  // namespace
}  // namespace hawser::cm
