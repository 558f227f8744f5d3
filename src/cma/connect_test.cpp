#include <atomic>
#include <thread>

#include "cma/test_world.hpp"

namespace hawser::cma {
namespace {

using namespace std::chrono_literals;
using enum EventType;
using Types = std::vector<EventType>;

class ConnectTest : public TwoHosts {
 protected:
  // Connects `client` to a listener on b that accepts in its handler; ends with both sides established.
  void establish(TestId& listener, TestId& client) {
    listen(listener, address("0.0.0.0", 7471));
    resolve(client, address("10.0.0.2", 7471));
    listener.react = [](Id& id, const Event& event) {
      if (event.type != connect_request) return 0;
      const ConnParam param = with_qp(0x200);
      EXPECT_EQ(errno_of(id.accept(&param)), 0);
      return 0;
    };
    client.react = [](Id& id, const Event& event) {
      if (event.type == connect_response) {
        EXPECT_EQ(errno_of(id.accept(nullptr)), 0);
      }
      return 0;
    };
    ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
    world_.run();
    ASSERT_EQ(client.types(), Types{connect_response});
    ASSERT_EQ(listener.types(), (Types{connect_request, established}));
  }
};

// The event of another thread comes while connect is about to fail; its handler waits, and sees no CONNECT that is
// taken back [spec 3.1 A].
TEST_F(ConnectTest, AFailingConnectIsNeverSeenByAHandler) {
  TestId client(a_);
  resolve(client, address("10.0.0.2", 7471));
  a_.manager->on_address_change(2);  // its work is queued
  std::atomic<bool> dispatching{false};
  std::jthread dispatcher;
  a_.ids.refuse = [&] {
    EXPECT_EQ(client->state(), State::connect);
    dispatcher = std::jthread([&] {
      dispatching = true;
      dispatching.notify_one();
      EXPECT_TRUE(a_.dispatcher.run());
    });
    dispatching.wait(false);
    return ENOMEM;
  };
  EXPECT_EQ(errno_of(client->connect(with_qp(0x100))), ENOMEM);
  a_.ids.refuse = {};
  dispatcher.join();
  ASSERT_EQ(client.types(), Types{addr_change});
  EXPECT_EQ(client.seen[0].state, State::route_resolved);
}

// [spec 1.5.10, 1.5.14, 1.5.32, 1.10.1, 1.10.2, 2.6.3-2.6.5, 5.7.1, 5.7.3]
TEST_F(ConnectTest, ConnectsExchangesParametersAndDisconnects) {
  TestId listener(b_);
  TestId client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  listener.react = [&](Id& id, const Event& event) {
    if (event.type != connect_request) return 0;
    EXPECT_EQ(id.listener(), listener.id);
    EXPECT_EQ(id.context(), &listener);
    EXPECT_EQ(id.route().source, address("10.0.0.2", 7471));
    EXPECT_EQ(id.route().destination.ip, *IpAddress::parse("10.0.0.1"));
    EXPECT_EQ(id.route().destination.port, client->route().source.port);
    const auto answer = bytes("welcome");
    ConnParam param = with_qp(0x200, answer);
    param.responder_resources = 1;
    param.initiator_depth = 2;
    EXPECT_EQ(errno_of(id.accept(&param)), 0);
    return 0;
  };
  const auto hello = bytes("hello");
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100, hello))), 0);
  EXPECT_EQ(client->state(), State::connect);
  world_.run();

  ASSERT_EQ(listener.types(), Types{connect_request});
  const auto& request = listener.seen[0];
  EXPECT_EQ(request.conn.qpn, Qpn(0x100));
  EXPECT_EQ(request.conn.responder_resources, 5) << "the peer's initiator depth [spec 5.7]";
  EXPECT_EQ(request.conn.initiator_depth, 3);
  EXPECT_EQ(request.conn.retry_count, 7);
  EXPECT_EQ(request.private_data.substr(0, 5), "hello");
  EXPECT_EQ(request.private_data.size(), 56U) << "the whole field, zero padded [spec 1.5]";
  EXPECT_EQ(request.state, State::connect) << "born there [spec 2.6]";
  EXPECT_EQ(listener.children.at(0)->listener(), nullptr) << "only during the event";

  ASSERT_EQ(client.types(), Types{connect_response});
  const auto& response = client.seen[0];
  EXPECT_EQ(response.conn.qpn, Qpn(0x200));
  EXPECT_EQ(response.conn.responder_resources, 2);
  EXPECT_EQ(response.conn.initiator_depth, 1);
  EXPECT_EQ(response.private_data.substr(0, 7), "welcome");
  EXPECT_EQ(response.private_data.size(), 196U);

  client->lock_handler();
  EXPECT_EQ(errno_of(client->accept(nullptr)), 0);
  client->unlock_handler();
  world_.run();
  EXPECT_EQ(client.types(), Types{connect_response}) << "the active side is told nothing more by the kernel";
  EXPECT_EQ(listener.types(), (Types{connect_request, established}));

  const auto rtr = client->qp_attributes(cm::QpTarget::rtr);
  const auto rts = listener.children[0]->qp_attributes(cm::QpTarget::rts);
  ASSERT_TRUE(rtr && rts);
  EXPECT_EQ(rtr->destination_qpn, Qpn(0x200));
  EXPECT_EQ(rtr->receive_psn, rts->send_psn) << "what one receives, the other sends";
  EXPECT_EQ(rtr->remote, *IpAddress::parse("10.0.0.2"));

  EXPECT_EQ(errno_of(client->disconnect()), 0);
  world_.run();
  EXPECT_EQ(listener.types().back(), disconnected);
  EXPECT_EQ(listener.children[0]->state(), State::disconnect);
  EXPECT_EQ(errno_of(listener.children[0]->disconnect()), 0);
  world_.run();
  EXPECT_EQ(client.types().back(), disconnected);
  EXPECT_EQ(client.seen.back().status, 0);
  world_.pass(2s);
  EXPECT_EQ(client.types().back(), timewait_exit);
  EXPECT_EQ(listener.types().back(), timewait_exit);
}

TEST_F(ConnectTest, WorksOverLoopbackAndOwnAddressesAndIpv6) {  // [spec 1.6.5, 1.6.7, 1.11.3, 4 #23]
  struct Case {
    const char* listen;
    const char* connect;
    const char* device;
  };
  for (const Case& c :
       {Case{"127.0.0.1", "127.0.0.1", "lo"}, Case{"::1", "::1", "lo"}, Case{"0.0.0.0", "127.0.0.1", "lo"},
        Case{"0.0.0.0", "10.0.0.1", "eth0"}, Case{"10.0.0.1", "10.0.0.1", "eth0"}, Case{"::", "fd00::1", "eth0"},
        Case{"::", "10.0.0.1", "eth0"}, Case{"127.0.0.9", "127.0.0.9", "lo"}, Case{"0.0.0.0", "0.0.0.0", "lo"},
        Case{"::", "::", "lo"}}) {
    SCOPED_TRACE(std::string(c.connect) + " to a listener on " + c.listen);
    TestId listener(a_);
    TestId client(a_);
    listen(listener, address(c.listen, 7471));
    resolve(client, address(c.connect, 7471));
    EXPECT_EQ(client->route().device->interface_name(), c.device);
    ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
    world_.run();
    ASSERT_EQ(listener.types(), Types{connect_request});
    const Route child = listener.children[0]->route();
    EXPECT_EQ(child.destination, client->route().source);
    EXPECT_EQ(child.source, client->route().destination);
    EXPECT_EQ(child.device, client->route().device);
  }
}

// The response timeout of the active side counts for the passive side's REP too.
TEST_F(ConnectTest, ResponseTimeoutAndRetriesAreTheIdsOwn) {  // [spec 1.14.5]
  TestId listener(b_);
  TestId client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  listener.react = [](Id& id, const Event& event) {
    const ConnParam param = with_qp(0x200);
    return event.type == connect_request ? -errno_of(id.accept(&param)) : 0;
  };
  ASSERT_TRUE(client->set_response_timeout(12));  // 16 ms
  ASSERT_TRUE(client->set_retries(2));
  world_.lose = [](const SentMad& mad) { return mad.attribute() == 0x13; };  // REP
  ASSERT_TRUE(client->connect(with_qp(0x100)));
  world_.pass(3 * 16ms);
  EXPECT_EQ(std::ranges::count(world_.sent, 0x13U), 3);
  EXPECT_EQ(listener.types(), (Types{connect_request, unreachable}));
  world_.pass(3 * (512ms + 16ms));
  EXPECT_EQ(std::ranges::count(world_.sent, 0x10U), 3);
  ASSERT_EQ(client.types(), Types{unreachable});
  EXPECT_EQ(client.seen[0].status, -ETIMEDOUT);
}

TEST_F(ConnectTest, LoopbackListenersAreReachableThroughLoopbackOnly) {  // [spec 1.9.7]
  TestId listener(a_);
  TestId client(a_);
  listen(listener, address("127.0.0.1", 7471));
  resolve(client, address("10.0.0.1", 7471));
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  EXPECT_TRUE(listener.seen.empty());
  ASSERT_EQ(client.types(), Types{rejected});
  EXPECT_EQ(client.seen[0].status, 8);
}

TEST_F(ConnectTest, NobodyListens) {  // [spec 1.2.2, 1.5.31, 5.6.9, 7 I22]
  TestId client(a_);
  resolve(client, address("10.0.0.2", 7471));
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  ASSERT_EQ(client.types(), Types{rejected});
  EXPECT_EQ(client.seen[0].status, 8) << "invalid service id [spec 7 I22]";
  EXPECT_EQ(client->state(), State::connect) << "rejected ids stay there [spec 1.2]";
  EXPECT_EQ(errno_of(client->connect(with_qp(0x100))), EINVAL) << "[spec 1.5]";
}

TEST_F(ConnectTest, ListenerOnAnotherAddressOfTheSameService) {  // [spec 1.9.4, 5.6.9]
  b_.network.set_interfaces({ethernet(3, "eth0", {"10.0.0.2", "10.0.0.3"})});
  TestId listener(b_);
  TestId client(a_);
  listen(listener, address("10.0.0.3", 7471));
  resolve(client, address("10.0.0.2", 7471));
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  ASSERT_EQ(client.types(), Types{rejected});
  EXPECT_EQ(client.seen[0].status, 28) << "the service is known, the address is not [spec 5.6]";
}

TEST_F(ConnectTest, SharedServiceGoesByAddress) {  // [spec 1.9.1, 1.9.4]
  b_.network.set_interfaces({ethernet(3, "eth0", {"10.0.0.2", "10.0.0.3"})});
  TestId first(b_), second(b_), client(a_);
  listen(first, address("10.0.0.3", 7471));
  listen(second, address("10.0.0.2", 7471));
  resolve(client, address("10.0.0.2", 7471));
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  EXPECT_TRUE(first.seen.empty());
  EXPECT_EQ(second.types(), Types{connect_request});
  first.destroy();  // the sharer's end leaves the other listening
  TestId again(a_);
  resolve(again, address("10.0.0.2", 7471));
  ASSERT_EQ(errno_of(again->connect(with_qp(0x101))), 0);
  world_.run();
  EXPECT_EQ(second.seen.size(), 2U);
}

TEST_F(ConnectTest, RefusedByTheHandler) {  // [spec 1.9.6, 2.6.6, 7 I22]
  TestId listener(b_);
  TestId client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  listener.react = [](Id&, const Event&) { return -EPERM; };
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  ASSERT_EQ(client.types(), Types{rejected});
  EXPECT_EQ(client.seen[0].status, 28);
  EXPECT_EQ(b_.manager->live_ids(), 1U) << "the refused child is gone";
}

TEST_F(ConnectTest, FullBacklogIsSilenceAndTheRequestComesAgain) {  // [spec 1.9.6, 2.6.7, 7 I22]
  TestId listener(b_);
  TestId client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  int asked = 0;
  listener.react = [&](Id&, const Event&) { return ++asked == 1 ? -ENOMEM : 0; };
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  EXPECT_EQ(asked, 1);
  EXPECT_TRUE(client.seen.empty()) << "no REJ, no MRA [spec 1.9]";
  EXPECT_EQ(world_.sent, std::vector<unsigned>{0x10});
  world_.pass(5s);
  EXPECT_EQ(asked, 2);
  EXPECT_TRUE(client.seen.empty());
}

TEST_F(ConnectTest, DuplicateRequestIsAnsweredByTheDeferredMra) {  // [spec 2.6.7, 5.6.2]
  TestId listener(b_);
  TestId client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.pass(5s);  // nobody accepts; one retransmission
  EXPECT_EQ(listener.types(), Types{connect_request}) << "a duplicate is no second request";
  EXPECT_EQ(world_.sent, (std::vector<unsigned>{0x10, 0x10, 0x11}));
}

TEST_F(ConnectTest, RejectCarriesReasonAndPrivateData) {  // [spec 1.4.28, 1.5.16, 1.5.32]
  TestId listener(b_);
  TestId client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  listener.react = [](Id& id, const Event&) {
    EXPECT_EQ(errno_of(id.reject(28, std::vector<std::byte>(149))), EINVAL);
    EXPECT_EQ(errno_of(id.reject(28, bytes("no"))), 0);
    EXPECT_EQ(errno_of(id.reject(28, {})), EINVAL) << "once";
    return 0;
  };
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  ASSERT_EQ(client.types(), Types{rejected});
  EXPECT_EQ(client.seen[0].status, 28);
  EXPECT_EQ(client.seen[0].private_data.size(), 148U);
  EXPECT_EQ(client.seen[0].private_data.substr(0, 2), "no");
}

TEST_F(ConnectTest, UnreachableWhenNobodyAnswers) {  // [spec 1.5.13, 1.12.2]
  TestId client(a_);
  resolve(client, address("10.0.0.9", 7471));
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.pass(100s);
  ASSERT_EQ(client.types(), Types{unreachable});
  EXPECT_EQ(client.seen[0].status, -ETIMEDOUT);
  EXPECT_EQ(client->state(), State::connect);
  EXPECT_EQ(world_.sent.size(), 16U) << "[spec 1.12]";
}

TEST_F(ConnectTest, UnreachableOnThePassiveSideWhenTheRtuNeverComes) {
  TestId listener(b_);
  TestId client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  listener.react = [](Id& id, const Event& event) {
    const ConnParam param = with_qp(0x200);
    if (event.type == connect_request) {
      EXPECT_EQ(errno_of(id.accept(&param)), 0);
    }
    return 0;
  };
  world_.lose = [first = true](const SentMad&) mutable { return !std::exchange(first, false); };
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.pass(100s);
  EXPECT_EQ(listener.types(), (Types{connect_request, unreachable}));
  EXPECT_EQ(listener.seen[1].status, -ETIMEDOUT);
}

TEST_F(ConnectTest, DisconnectWithoutAnswer) {  // [spec 1.5.19]
  TestId listener(b_);
  TestId client(a_);
  establish(listener, client);
  world_.lose = [](const SentMad&) { return true; };
  EXPECT_EQ(errno_of(client->disconnect()), 0);
  world_.pass(100s);
  EXPECT_EQ(client.types(), (Types{connect_response, disconnected, timewait_exit}));
  EXPECT_EQ(client.seen[1].status, -ETIMEDOUT);
}

TEST_F(ConnectTest, DisconnectedOnceAndNothingAfterItButTimewait) {  // [spec 1.5.18, 1.5.20, 1.5.30]
  TestId listener(b_);
  TestId client(a_);
  establish(listener, client);
  EXPECT_EQ(errno_of(client->disconnect()), 0);
  EXPECT_EQ(errno_of(listener.children[0]->disconnect()), 0);  // both at once
  world_.run();
  EXPECT_EQ(errno_of(client->disconnect()), 0);  // answers the peer's DREQ: a second DREP is no second event
  EXPECT_EQ(errno_of(listener.children[0]->disconnect()), 0);
  world_.pass(100s);
  EXPECT_EQ(client.types(), (Types{connect_response, disconnected, timewait_exit}));
  EXPECT_EQ(listener.types(), (Types{connect_request, established, disconnected, timewait_exit}));
  EXPECT_EQ(errno_of(client->disconnect()), 0) << "0 even when neither DREQ nor DREP fits [spec 1.4]";
}

TEST_F(ConnectTest, LostRtuEndsInDisconnectedWithoutEstablished) {
  TestId listener(b_);
  TestId client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  listener.react = [](Id& id, const Event& event) {
    const ConnParam param = with_qp(0x200);
    if (event.type == connect_request) {
      EXPECT_EQ(errno_of(id.accept(&param)), 0);
    }
    return 0;
  };
  client.react = [](Id& id, const Event& event) {
    if (event.type == connect_response) {
      EXPECT_EQ(errno_of(id.accept(nullptr)), 0);
    }
    return 0;
  };
  world_.lose = [](const SentMad& mad) { return mad.attribute() == 0x14; };
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  EXPECT_EQ(errno_of(client->disconnect()), 0);
  world_.run();
  EXPECT_EQ(listener.types(), (Types{connect_request, disconnected}));
}

TEST_F(ConnectTest, NotifyEstablishedInsteadOfTheRtu) {  // [spec 1.4.30, 1.5.15]
  TestId listener(b_);
  TestId client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  EXPECT_EQ(errno_of(client->notify_established()), EINVAL) << "no lower id yet";
  listener.react = [](Id& id, const Event& event) {
    const ConnParam param = with_qp(0x200);
    if (event.type == connect_request) {
      EXPECT_EQ(errno_of(id.accept(&param)), 0);
    }
    return 0;
  };
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  EXPECT_EQ(errno_of(listener.children.at(0)->notify_established()), 0);
  world_.run();
  EXPECT_EQ(listener.types(), (Types{connect_request, established}));
  EXPECT_EQ(errno_of(listener.children.at(0)->notify_established()), EISCONN);
}

TEST_F(ConnectTest, PrivateDataThatDoesNotFitChangesNothing) {  // [spec 1.4.20, 4 #19]
  TestId client(a_);
  resolve(client, address("10.0.0.2", 7471));
  const std::vector<std::byte> large(57);
  EXPECT_EQ(errno_of(client->connect(with_qp(0x100, large))), EINVAL) << "56 beside our header [spec 1.4, 4 #19]";
  EXPECT_EQ(client->state(), State::route_resolved);
  EXPECT_EQ(errno_of(client->disconnect()), EINVAL) << "no lower id is left behind";
  EXPECT_EQ(errno_of(client->connect(with_qp(0x100, std::span(large).first(56)))), 0);
}

TEST_F(ConnectTest, AHostThatCannotSendGetsItsTerminalEventsAllTheSame) {  // [spec 5.6.14]
  TestId listener(b_);
  TestId client(a_), late(a_);
  establish(listener, client);
  resolve(late, address("10.0.0.2", 7471));
  a_.cut_off = true;
  EXPECT_EQ(errno_of(client->disconnect()), 0);
  EXPECT_EQ(errno_of(late->connect(with_qp(0x101))), 0);
  world_.pass(200s);
  EXPECT_EQ(client.types(), (Types{connect_response, disconnected, timewait_exit}));
  EXPECT_EQ(client.seen[1].status, -ETIMEDOUT);
  EXPECT_EQ(late.types(), Types{unreachable});
}

TEST_F(ConnectTest, AcceptThatFailsRejects) {  // [spec 1.4.27]
  TestId listener(b_);
  TestId client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  listener.react = [](Id& id, const Event& event) {
    if (event.type != connect_request) return 0;
    const std::vector<std::byte> large(197);
    const ConnParam param = with_qp(0x200, large);
    EXPECT_EQ(errno_of(id.accept(&param)), EINVAL) << "the original error [spec 1.4]";
    EXPECT_EQ(id.state(), State::connect);
    return 0;
  };
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  ASSERT_EQ(client.types(), Types{rejected});
  EXPECT_EQ(client.seen[0].status, 28);
}

TEST_F(ConnectTest, ConnectFromTheHandlerOfRouteResolved) {  // [spec 1.4.22, 3.1 C, 4 #6]
  TestId listener(b_);
  TestId client(a_);
  listen(listener, address("0.0.0.0", 7471));
  client.react = [](Id& id, const Event& event) {
    if (event.type == addr_resolved) {
      EXPECT_EQ(errno_of(id.resolve_route(2s)), 0);
    }
    if (event.type == route_resolved) {
      EXPECT_EQ(errno_of(id.connect_locked(with_qp(0x100))), 0);
    }
    return 0;
  };
  ASSERT_EQ(errno_of(client->resolve_addr(nullptr, address("10.0.0.2", 7471), 2s)), 0);
  world_.run();
  EXPECT_EQ(listener.types(), Types{connect_request}) << "[spec 4 #6]";
}

TEST_F(ConnectTest, DestroyInEveryStageTellsThePeer) {  // [spec 2.5.7]
  TestId listener(b_);
  {
    TestId client(a_);
    establish(listener, client);
  }
  world_.run();
  EXPECT_EQ(listener.types().back(), disconnected) << "an established connection ends with a DREQ";
  {
    TestId client(a_);
    resolve(client, address("10.0.0.2", 7471));
    listener.react = nullptr;
    ASSERT_EQ(errno_of(client->connect(with_qp(0x101))), 0);
    world_.run();
  }
  world_.run();
  EXPECT_EQ(listener.types().back(), rejected) << "a request that is given up ends with a REJ";
  EXPECT_EQ(listener.seen.back().status, 4);
}

}  // namespace
}  // namespace hawser::cma
