// UD ids: connect is a SIDR_REQ, accept and reject are its answers [spec 1.4, 1.5, 1.10, 1.11].
#include "cma/test_world.hpp"

namespace hawser::cma {
namespace {

using namespace std::chrono_literals;
using enum EventType;
using Types = std::vector<EventType>;

constexpr unsigned sidr_req = 0x17, sidr_rep = 0x18;

ConnParam carrying(std::span<const std::byte> private_data) {
  ConnParam param;
  param.private_data = private_data;
  return param;
}

struct UdId : TestId {
  explicit UdId(TestHost& on, PortSpace space = PortSpace::udp) : TestId(on, space, QpType::ud) {}
};

class DatagramTest : public TwoHosts {
 protected:
  UdId listener_{b_}, client_{a_};

  void connect(std::span<const std::byte> private_data = {}) {
    listen(listener_, address("0.0.0.0", 7174));
    resolve(client_, address("10.0.0.2", 7174));
    ASSERT_EQ(errno_of(client_->connect(carrying(private_data))), 0);
    EXPECT_EQ(client_->state(), State::connect);
    world_.run();
  }
  void accept_in_handler(const ConnParam& param) {
    listener_.react = [param](Id& id, const Event& event) {
      if (event.type == connect_request) {
        EXPECT_EQ(errno_of(id.accept(&param)), 0);
      }
      return 0;
    };
  }
};

TEST_F(DatagramTest, ResolvesTheQpBehindAService) {  // [spec 1.10.3, 1.12.11, 1.5.32]
  listener_.react = [&](Id& id, const Event& event) {
    EXPECT_EQ(event.type, connect_request);
    EXPECT_EQ(id.qp_type(), QpType::ud);
    EXPECT_EQ(id.listener(), listener_.id);
    EXPECT_EQ(id.route().source, address("10.0.0.2", 7174));
    EXPECT_EQ(id.route().destination, client_->route().source);
    EXPECT_FALSE(id.route().has_path) << "the message describes none";
    EXPECT_EQ(id.route().destination_gid, *IpAddress::parse("10.0.0.1"));
    const auto answer = bytes("welcome");
    ConnParam param;
    param.private_data = answer;
    param.qpn = Qpn(0x42);
    EXPECT_EQ(errno_of(id.accept(&param)), 0);
    return 0;
  };
  ASSERT_EQ(errno_of(client_->set_service_type(0x20)), 0);
  connect(bytes("hello"));

  ASSERT_EQ(listener_.types(), Types{connect_request}) << "the passive side hears nothing more";
  EXPECT_EQ(listener_.seen[0].private_data.substr(0, 5), "hello");
  EXPECT_EQ(listener_.seen[0].private_data.size(), 180U) << "[spec 1.11]";
  EXPECT_EQ(listener_.seen[0].state, State::connect) << "born there";

  ASSERT_EQ(client_.types(), Types{established}) << "[spec 1.5.24]";
  const auto& up = client_.seen[0];
  EXPECT_EQ(up.status, 0);
  EXPECT_EQ(up.private_data.substr(0, 7), "welcome");
  EXPECT_EQ(up.private_data.size(), 136U) << "[spec 1.5]";
  EXPECT_EQ(up.ud.qpn, Qpn(0x42));
  EXPECT_EQ(up.ud.qkey, qkey_default) << "[spec 1.10]";
  EXPECT_EQ(up.ud.remote, *IpAddress::parse("10.0.0.2"));
  EXPECT_EQ(up.ud.local, *IpAddress::parse("10.0.0.1"));
  EXPECT_EQ(up.ud.traffic_class, 0x20);
  EXPECT_EQ(client_->state(), State::connect);
  EXPECT_EQ(world_.sent, (std::vector{sidr_req, sidr_rep}));
  // Over: there is no connection to end.
  EXPECT_EQ(errno_of(client_->disconnect()), 0);
  EXPECT_EQ(errno_of(listener_.children.at(0)->disconnect()), 0);
  EXPECT_EQ(errno_of(client_->connect({})), EINVAL) << "once";
  world_.pass(100s);
  EXPECT_EQ(client_.seen.size() + listener_.seen.size(), 2U);
}

TEST_F(DatagramTest, WorksOverLoopbackAndIpv6) {
  for (const char* to : {"127.0.0.1", "::1", "fd00::1"}) {
    SCOPED_TRACE(to);
    UdId listener(a_);
    UdId client(a_);
    listen(listener, address("::", 7175));
    resolve(client, address(to, 7175));
    listener.react = [](Id& id, const Event&) { return -errno_of(id.accept(nullptr)); };
    ASSERT_EQ(errno_of(client->connect({})), 0);
    world_.run();
    ASSERT_EQ(client.types(), Types{established});
    EXPECT_EQ(client.seen[0].ud.remote, *IpAddress::parse(to));
    EXPECT_EQ(listener.children.at(0)->route().destination, client->route().source);
  }
}

TEST_F(DatagramTest, PrivateDataLengths) {  // [spec 1.4.20, 1.4.28]
  listen(listener_, address("0.0.0.0", 7174));
  resolve(client_, address("10.0.0.2", 7174));
  const std::vector<std::byte> big(256);
  const auto all = std::span(big);
  EXPECT_EQ(errno_of(client_->connect(carrying(all.first(181)))), EINVAL);
  EXPECT_EQ(client_->state(), State::route_resolved) << "it may try again";
  std::vector<int> errors;
  listener_.react = [&](Id& id, const Event&) {
    ConnParam param;
    param.private_data = all.first(137);
    errors.push_back(errno_of(id.accept(&param)));
    return 0;
  };
  ASSERT_EQ(errno_of(client_->connect(carrying(all.first(180)))), 0);
  world_.run();
  EXPECT_EQ(errors, std::vector{EINVAL});
  ASSERT_EQ(client_.types(), Types{unreachable}) << "[spec 1.5.22]: an accept that fails refuses [spec 1.4]";
  EXPECT_EQ(client_.seen[0].status, 2);
}

TEST_F(DatagramTest, ARejectionIsUnreachableWithTheStatus) {  // [spec 1.5.22, 1.10.5]
  listener_.react = [](Id& id, const Event&) {
    EXPECT_EQ(errno_of(id.reject(28, std::vector<std::byte>(137))), EINVAL);
    EXPECT_EQ(errno_of(id.reject(28, bytes("no"))), 0);
    EXPECT_EQ(errno_of(id.reject(28, {})), EINVAL) << "answered already";
    EXPECT_EQ(errno_of(id.accept(nullptr)), EINVAL);
    return 0;
  };
  connect();
  ASSERT_EQ(client_.types(), Types{unreachable});
  EXPECT_EQ(client_.seen[0].status, static_cast<int>(cm::SidrStatus::reject));
  EXPECT_EQ(client_.seen[0].private_data.substr(0, 2), "no");
  EXPECT_EQ(client_.seen[0].private_data.size(), 136U);
}

TEST_F(DatagramTest, NobodyListens) {
  resolve(client_, address("10.0.0.2", 7174));
  ASSERT_EQ(errno_of(client_->connect({})), 0);
  world_.run();
  ASSERT_EQ(client_.types(), Types{unreachable});
  EXPECT_EQ(client_.seen[0].status, static_cast<int>(cm::SidrStatus::unsupported));
}

TEST_F(DatagramTest, NobodyAnswers) {  // [spec 1.5.21]
  world_.lose = [](const SentMad&) { return true; };
  resolve(client_, address("10.0.0.2", 7174));
  ASSERT_EQ(errno_of(client_->connect({})), 0);
  world_.pass(65s);
  EXPECT_TRUE(client_.seen.empty());
  world_.pass(1s);
  ASSERT_EQ(client_.types(), Types{unreachable});
  EXPECT_EQ(client_.seen[0].status, -ETIMEDOUT) << "[spec 1.5.21]";
  EXPECT_EQ(world_.sent.size(), 16U) << "[spec 1.12.3]";
}

// Hawser's own options: they count for each request that is sent afterwards.
TEST_F(DatagramTest, ResponseTimeoutAndRetriesAreTheIdsOwn) {  // [spec 1.14.5]
  EXPECT_EQ(errno_of(client_->set_response_timeout(32)), EINVAL);
  EXPECT_EQ(errno_of(client_->set_retries(16)), EINVAL);
  ASSERT_TRUE(client_->set_response_timeout(12));  // 16 ms
  ASSERT_TRUE(client_->set_retries(2));
  world_.lose = [](const SentMad&) { return true; };
  resolve(client_, address("10.0.0.2", 7174));
  ASSERT_EQ(errno_of(client_->connect({})), 0);
  world_.pass(47ms);
  EXPECT_TRUE(client_.seen.empty());
  world_.pass(1ms);
  ASSERT_EQ(client_.types(), Types{unreachable});
  EXPECT_EQ(client_.seen[0].status, -ETIMEDOUT);
  EXPECT_EQ(world_.sent.size(), 3U);
}

TEST_F(DatagramTest, AHostThatSaysItHasNoStackIsUnreachableAtOnce) {  // [spec 1.14.6]
  ASSERT_TRUE(client_->set_report_unreachable(true));
  verbs::Mad question{};
  world_.lose = [&](const SentMad& sent) { return question = sent.mad, true; };
  resolve(client_, address("10.0.0.2", 7174));
  ASSERT_EQ(errno_of(client_->connect({})), 0);
  world_.run();
  a_.connections.on_unreachable(*IpAddress::parse("10.0.0.2"), question);
  world_.run();
  ASSERT_EQ(client_.types(), Types{unreachable});
  EXPECT_EQ(client_.seen[0].status, -ECONNREFUSED);
}

TEST_F(DatagramTest, AHandlerThatRefusesEndsTheChild) {
  listener_.react = [](Id&, const Event&) { return -ENOMEM; };
  connect();
  ASSERT_EQ(client_.types(), Types{unreachable});
  EXPECT_EQ(client_.seen[0].status, static_cast<int>(cm::SidrStatus::reject));
  EXPECT_EQ(b_.manager->live_ids(), 1U);
}

TEST_F(DatagramTest, AnIdThatEndsUnansweredRejects) {
  connect();
  ASSERT_EQ(listener_.children.size(), 1U);
  b_.manager->destroy_id(std::exchange(listener_.children, {}).at(0));
  world_.run();
  ASSERT_EQ(client_.types(), Types{unreachable});
}

// [spec 1.10, 1.5.23]: the QP of the id was made with the default key, the other side wants another.
TEST_F(DatagramTest, AQKeyThatOurQpDoesNotHaveIsAnAddressError) {
  EXPECT_EQ(client_->qp_attributes(cm::QpTarget::init).error().value(), EINVAL) << "no device yet";
  ConnParam param;
  param.qpn = Qpn(0x42);
  param.qkey = QKey(0x11112222);
  accept_in_handler(param);
  listen(listener_, address("0.0.0.0", 7174));
  resolve(client_, address("10.0.0.2", 7174));
  const auto init = client_->qp_attributes(cm::QpTarget::init);
  ASSERT_TRUE(init);
  EXPECT_EQ(init->qkey, qkey_default);
  ASSERT_EQ(errno_of(client_->connect({})), 0);
  world_.run();
  ASSERT_EQ(client_.types(), Types{addr_error}) << "[spec 1.5.23]";
  EXPECT_EQ(client_.seen[0].status, -EINVAL);
  EXPECT_EQ(client_->state(), State::connect);
}

TEST_F(DatagramTest, AnIdWithoutAQKeyTakesTheOtherSides) {
  ConnParam param;
  param.qkey = QKey(0x11112222);
  accept_in_handler(param);
  connect();
  ASSERT_EQ(client_.types(), Types{established});
  EXPECT_EQ(client_.seen[0].ud.qkey, QKey(0x11112222));
  EXPECT_EQ(client_->qp_attributes(cm::QpTarget::init)->qkey, QKey(0x11112222));
  EXPECT_EQ(listener_.children.at(0)->qp_attributes(cm::QpTarget::init)->qkey, QKey(0x11112222));
}

// [spec 1.9, 1.5.11]: the QP type must be the listener's.
TEST_F(DatagramTest, AListenerForConnectionsRefusesDatagramsAndTheOtherWayRound) {
  TestId connections(b_, PortSpace::ib, QpType::rc);
  listen(connections, address("10.0.0.2", 7174));
  UdId asks(a_, PortSpace::ib);
  resolve(asks, address("10.0.0.2", 7174));
  ASSERT_EQ(errno_of(asks->connect({})), 0);
  world_.run();
  ASSERT_EQ(asks.types(), Types{unreachable});
  EXPECT_EQ(asks.seen[0].status, static_cast<int>(cm::SidrStatus::reject));

  UdId datagrams(b_, PortSpace::ib);
  listen(datagrams, address("10.0.0.2", 7176));
  TestId connects(a_, PortSpace::ib, QpType::rc);
  resolve(connects, address("10.0.0.2", 7176));
  ASSERT_EQ(errno_of(connects->connect(with_qp(0x100))), 0);
  world_.run();
  ASSERT_EQ(connects.types(), Types{rejected});
  EXPECT_EQ(connects.seen[0].status, 28);
}

TEST_F(DatagramTest, AListenerOfAnyTypeTakesBoth) {
  TestId any(b_, PortSpace::ib, QpType::none);
  listen(any, address("10.0.0.2", 7174));
  UdId asks(a_, PortSpace::ib);
  resolve(asks, address("10.0.0.2", 7174));
  ASSERT_EQ(errno_of(asks->connect({})), 0);
  TestId connects(a_, PortSpace::ib, QpType::rc);
  resolve(connects, address("10.0.0.2", 7174));
  ASSERT_EQ(errno_of(connects->connect(with_qp(0x100))), 0);
  world_.run();
  ASSERT_EQ(any.types(), (Types{connect_request, connect_request}));
  EXPECT_EQ(any.children[0]->qp_type(), QpType::ud);
  EXPECT_EQ(any.children[1]->qp_type(), QpType::rc);
}

TEST_F(DatagramTest, ADeviceThatGoesEndsBothSides) {
  connect();
  b_.network.set_interfaces({});
  world_.run();
  EXPECT_EQ(listener_.types(), (Types{connect_request, device_removal}));
  EXPECT_EQ(listener_.children.at(0)->state(), State::device_removal);
}

}  // namespace
}  // namespace hawser::cma
