#include "cm/window.hpp"

#include <gtest/gtest.h>

#include "cm/endpoint.hpp"
#include "cm/test_net.hpp"

namespace hawser::cm {
namespace {

// Requests of one host that were sent and not yet answered, counted on the wire and not in the Manager.
struct Outstanding {
  std::set<std::uint32_t> now;
  std::size_t most = 0;

  void see(const Message& m) {
    if (const Req* req = as<Req>(m)) {
      now.insert(req->local_comm_id.value);
      most = std::max(most, now.size());
    }
  }
  void answered(const Message& m) {
    if (const Rep* rep = as<Rep>(m)) now.erase(rep->remote_comm_id.value);
  }
};

// 1,000 connects to a server that takes one every 50 ms: 50 s of work, although a REQ may wait for 4.6 s only.
TEST(Window, AThousandConnectsNeverHaveMoreThan64Outstanding) {
  TestNet net;
  Host server(net, 1), client(net, 2);
  Outstanding outstanding;
  net.fate = [&](std::size_t, const Message& m) {
    outstanding.see(m);
    outstanding.answered(m);  // 1 ms too early, so the true number is never larger
    return std::vector<rt::Duration>{1ms};
  };
  std::vector<std::unique_ptr<Program>> accepting;
  rt::Time busy_until = net.now();
  const auto listener = *server.manager.listen(server.device, test_service, [&](Connection& c, const Event&) {
    accepting.push_back(std::make_unique<Program>(server));
    Program* program = accepting.back().get();
    program->connection = &c;
    c.set_handler(program->handler());
    busy_until = std::max(busy_until, net.now()) + 50ms;
    net.at(busy_until, [program, number = accepting.size()] {
      RepParam param;
      param.qpn = Qpn(static_cast<std::uint32_t>(0x1000 + number));
      EXPECT_TRUE(program->connection->send_rep(param));
    });
    return 0;
  });
  std::vector<std::unique_ptr<Program>> connecting;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    connecting.push_back(std::make_unique<Program>(client));
    ASSERT_TRUE(connecting.back()->connect(server.gid, Qpn(0x100 + i)));
  }
  EXPECT_EQ(client.sent.size(), 64U);
  EXPECT_EQ(client.manager.counters().window_waits, 1000U - 64);
  net.run();
  EXPECT_EQ(outstanding.most, 64U);
  for (const auto& program : connecting) EXPECT_EQ(program->connection->state(), State::established);
  for (const auto& program : accepting) EXPECT_EQ(program->connection->state(), State::established);
  EXPECT_EQ(client.manager.counters().req_retransmitted, 0U) << "the retry timer starts when the MAD leaves";
  EXPECT_EQ(client.manager.usage().requests, 0U);
  server.manager.unlisten(listener);
  for (const auto& program : connecting) program->destroy();
  for (const auto& program : accepting) program->destroy();
  net.run();
  EXPECT_EQ(client.manager.usage(), Usage{});
  EXPECT_EQ(server.manager.usage(), Usage{});
}

// [spec 4 #61, 5.6.11]: two hosts that connect to each other, with windows of one place.
TEST(Window, RepsDoNotWaitBehindReqs) {
  TestNet net;
  Host left(net, 1, {.window_places = 1}), right(net, 2, {.window_places = 1});
  std::vector<std::unique_ptr<Program>> programs;
  const auto listen = [&](Host& host) {
    return *host.manager.listen(host.device, test_service, [&](Connection& c, const Event& event) {
      programs.push_back(std::make_unique<Program>(host));
      Program& program = *programs.back();
      program.connection = &c;
      c.set_handler(program.handler());
      RepParam param;
      param.qpn = Qpn(static_cast<std::uint32_t>(0x1000 + programs.size()));
      EXPECT_EQ(event.kind, EventKind::req_received);
      return -errno_of(c.send_rep(param));
    });
  };
  const auto l = listen(left), r = listen(right);
  std::vector<std::unique_ptr<Program>> connecting;
  for (std::uint32_t i = 0; i < 20; ++i) {
    Host& host = i % 2 == 0 ? left : right;
    connecting.push_back(std::make_unique<Program>(host));
    ASSERT_TRUE(connecting.back()->connect(i % 2 == 0 ? right.gid : left.gid, Qpn(0x100 + i)));
  }
  const rt::Time start = net.now();
  net.run();
  for (const auto& program : connecting) EXPECT_EQ(program->connection->state(), State::established);
  EXPECT_LT(net.now() - start, 1s) << "no timer had to help";
  left.manager.unlisten(l);
  right.manager.unlisten(r);
  for (const auto& program : connecting) program->destroy();
  for (const auto& program : programs) program->destroy();
}

class WindowUnit : public testing::Test {
 protected:
  Request request(std::uint32_t number, unsigned retries = 0, RequestKind kind = RequestKind::req) {
    Req req;
    req.local_comm_id = CommId(number);
    Request r;
    r.kind = kind;
    r.to.local = host_.gid;
    r.to.remote = Gid::v4(0x0A000009);
    r.mad = encode({}, req);
    r.timeout = 100ms;
    r.retries = retries;
    r.owner = owner_;
    return r;
  }
  std::vector<std::uint32_t> sent() {
    std::vector<std::uint32_t> ids;
    for (const Sent& s : host_.sent) ids.push_back(as<Req>(s.message)->local_comm_id.value);
    return ids;
  }

  TestNet net_;
  Host host_{net_, 1};
  CounterSet counters_;
  Core core_{net_.dispatcher, host_, host_.ids, {}};
  std::shared_ptr<Endpoint> owner_ =
      std::make_shared<Endpoint>(core_, std::make_unique<CommIdLease>(host_.ids, *host_.ids.allocate()), nullptr);
  std::vector<RequestToken> expired_;
  Window window_{net_.dispatcher, host_, counters_, 2, [this](Endpoint&, RequestToken t) { expired_.push_back(t); }};
};

TEST_F(WindowUnit, WaitingRequestsLeaveInOrderWhenAPlaceIsFree) {
  std::vector<RequestToken> tokens;
  for (std::uint32_t i = 1; i <= 6; ++i) tokens.push_back(window_.submit(request(i)));
  EXPECT_EQ(sent(), (std::vector<std::uint32_t>{1, 2}));
  EXPECT_TRUE(window_.cancel(tokens[3])) << "one that waits";
  EXPECT_TRUE(window_.cancel(tokens[0]));
  EXPECT_EQ(sent(), (std::vector<std::uint32_t>{1, 2, 3}));
  EXPECT_FALSE(window_.cancel(tokens[0]));
  net_.run(100ms);  // 2 and 3 expire, 5 and 6 follow
  EXPECT_EQ(expired_, (std::vector{tokens[1], tokens[2]}));
  EXPECT_EQ(sent(), (std::vector<std::uint32_t>{1, 2, 3, 5, 6}));
  net_.run();
  EXPECT_EQ(expired_.size(), 4U);
  EXPECT_EQ(window_.size(), 0U);
  EXPECT_TRUE(net_.is_quiet());
}

TEST_F(WindowUnit, EachDestinationServiceAndKindHasItsOwnPlaces) {  // [spec 5.6.11]
  for (std::uint32_t i = 1; i <= 3; ++i) static_cast<void>(window_.submit(request(i)));
  Request other = request(4);
  other.to.remote = Gid::v4(0x0A00000A);
  static_cast<void>(window_.submit(other));
  EXPECT_EQ(sent(), (std::vector<std::uint32_t>{1, 2, 4}));
  static_cast<void>(window_.submit(request(5, 0, RequestKind::rep)));
  static_cast<void>(window_.submit(request(6, 0, RequestKind::rep)));
  static_cast<void>(window_.submit(request(7, 0, RequestKind::rep)));
  static_cast<void>(window_.submit(request(8, 0, RequestKind::dreq)));
  Request another_service = request(9);
  another_service.service = ServiceId(2);
  static_cast<void>(window_.submit(another_service));
  EXPECT_EQ(sent(), (std::vector<std::uint32_t>{1, 2, 4, 5, 6, 8, 9}));
}

// [spec 5.6.11]
TEST_F(WindowUnit, ARequestGivesItsPlaceBackWhenItsFirstWaitIsOver) {
  for (std::uint32_t i = 1; i <= 3; ++i) static_cast<void>(window_.submit(request(i, 1)));
  net_.run(99ms);
  EXPECT_EQ(sent(), (std::vector<std::uint32_t>{1, 2}));
  net_.run(21ms);
  EXPECT_EQ(sent(), (std::vector<std::uint32_t>{1, 2, 3, 1, 2})) << "who has waited goes before who has had its chance";
  EXPECT_EQ(host_.sent[4].time - host_.sent[0].time, 110ms) << "and no more leave at a time than there are places";
  net_.run();
  EXPECT_EQ(expired_.size(), 3U);
  EXPECT_EQ(counters_.read().req_retransmitted, 3U);
}

TEST_F(WindowUnit, ASilentLaneWidens) {  // [spec 5.6.11]
  const auto reached = [&] {
    const auto all = sent();
    return std::set(all.begin(), all.end()).size();
  };
  for (std::uint32_t i = 1; i <= 20; ++i) static_cast<void>(window_.submit(request(i, 15)));
  EXPECT_EQ(reached(), 2U);
  net_.run(190ms);
  EXPECT_EQ(reached(), 2U + 4U);
  net_.run(100ms);
  EXPECT_EQ(reached(), 2U + 4U + 8U);
}

TEST_F(WindowUnit, AnAnswerNarrowsALane) {  // [spec 5.6.11]
  for (const bool answered : {false, true}) {
    const RequestToken first = window_.submit(request(1, 15));
    for (std::uint32_t i = 2; i <= 4; ++i) static_cast<void>(window_.submit(request(i, 0)));
    net_.run(150ms);  // two have waited in vain; 3 and 4 wait in the places of 1 and 2
    EXPECT_TRUE(answered ? window_.answered(first) : window_.cancel(first));
    host_.sent.clear();
    for (std::uint32_t i = 5; i <= 9; ++i) static_cast<void>(window_.submit(request(i, 0)));
    net_.run(20ms);
    EXPECT_EQ(sent(), (answered ? std::vector<std::uint32_t>{} : std::vector<std::uint32_t>{5, 6}));
    net_.run();
    EXPECT_EQ(window_.size(), 0U);
  }
}

TEST_F(WindowUnit, AnMraFreesThePlaceButKeepsTheTimer) {
  const RequestToken first = window_.submit(request(1, 1));
  static_cast<void>(window_.submit(request(2)));
  const RequestToken third = window_.submit(request(3));
  EXPECT_FALSE(window_.extend(third, 1s)) << "it has not left yet: nobody can have answered it";
  EXPECT_TRUE(window_.extend(first, 1s));
  EXPECT_EQ(sent(), (std::vector<std::uint32_t>{1, 2, 3}));
  net_.run(1s);
  EXPECT_EQ(sent(), (std::vector<std::uint32_t>{1, 2, 3, 1}));
  net_.run();
  EXPECT_EQ(window_.size(), 0U);
}

TEST_F(WindowUnit, AStoppedPeerIsWaitedForWithoutLosingARetry) {  // [spec 5.6.13]
  bool is_stopped = true;
  std::vector<CommId> asked;
  window_.set_peer_stopped([&](const verbs::MadAddress& to, CommId peer) {
    EXPECT_EQ(to.remote, Gid::v4(0x0A000009));
    asked.push_back(peer);
    return is_stopped;
  });
  Request rep = request(1, 1, RequestKind::rep);
  rep.peer = CommId(0x77);
  static_cast<void>(window_.submit(rep));
  static_cast<void>(window_.submit(request(2)));  // of a peer that nobody knows yet
  net_.run(1s);
  EXPECT_EQ(asked, std::vector(10, CommId(0x77)));
  EXPECT_EQ(sent(), (std::vector<std::uint32_t>{1, 2})) << "it will find the first copy";
  EXPECT_EQ(expired_.size(), 1U) << "the other";
  is_stopped = false;
  net_.run(100ms);
  EXPECT_EQ(sent(), (std::vector<std::uint32_t>{1, 2, 1})) << "the retry was not spent";
  net_.run();
  EXPECT_EQ(expired_.size(), 2U);
  EXPECT_EQ(window_.size(), 0U);
}

TEST_F(WindowUnit, ATransmissionThatCannotLeaveIsALoss) {  // [spec 5.6.14]
  host_.broken = true;
  static_cast<void>(window_.submit(request(1, 2)));
  static_cast<void>(window_.submit(request(2, 0)));
  net_.run(150ms);  // the first one's retransmission is lost as well
  host_.broken = false;
  EXPECT_EQ(expired_.size(), 1U) << "the second, by its timer";
  net_.run();
  EXPECT_EQ(sent(), std::vector<std::uint32_t>{1});
  EXPECT_EQ(expired_.size(), 2U);
}

}  // namespace
}  // namespace hawser::cm
