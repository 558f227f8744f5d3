// The end of an id in every state, by its owner, by a handler, by its device [spec 2.5, 2.7, 3, 4].
#include "cma/test_world.hpp"

namespace hawser::cma {
namespace {

using namespace std::chrono_literals;
using enum EventType;
using Types = std::vector<EventType>;

class TeardownTest : public TwoHosts {
 protected:
  void remove_device(TestHost& host, const char* ip) {
    host.devices.remove(host.devices.find_by_address(*IpAddress::parse(ip))->name());
  }
};

TEST_F(TeardownTest, DestroyDuringAddressResolution) {  // [spec 2.5.2, 2.5.3]
  a_.network.answer_for_unknown_neighbours(false);
  TestId waiting(a_), answered(a_);
  ASSERT_EQ(errno_of(waiting->resolve_addr(nullptr, address("10.0.0.2", 1), 2s)), 0);
  ASSERT_EQ(errno_of(answered->resolve_addr(nullptr, address("10.0.0.1", 1), 2s)), 0);
  waiting.destroy();
  answered.destroy();
  world_.pass(10s);
  EXPECT_TRUE(waiting.seen.empty());
  EXPECT_TRUE(answered.seen.empty()) << "its answer was due already";
}

TEST_F(TeardownTest, DestroyWithTheRouteQueued) {  // [spec 2.5.1, 2.5.3, 3.5 A, 3.5 I8]
  // [spec 3.5]: the work is queued, the id is claimed, no handler may start; the work's reference comes back.
  TestId id(a_);
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 2s)), 0);
  world_.run();
  ASSERT_EQ(errno_of(id->resolve_route(2s)), 0);
  id.destroy();
  world_.run();
  EXPECT_EQ(id.types(), Types{addr_resolved});
}

// A handler's result ≠ 0 ends the id, in each kind of handler.
TEST_F(TeardownTest, HandlersResultEndsTheId) {  // [spec 2.2.2, 2.5.5, 2.5.6, 2.7.1]
  for (const EventType fatal :
       {addr_resolved, route_resolved, connect_response, unreachable, addr_change, device_removal}) {
    SCOPED_TRACE(name(fatal));
    TestHost host(world_, 5, {ethernet(7, "eth0", {"10.0.0.5"})});
    host.network.set_neighbour(7, *IpAddress::parse("10.0.0.2"), addr::Mac{1});
    TestId listener(b_), id(host);
    listen(listener, address("0.0.0.0", 7471));
    listener.react = [](Id& child, const Event& event) {
      const ConnParam param = with_qp(0x200);
      return event.type == connect_request ? -errno_of(child.accept(&param)) : 0;
    };
    id.react = [&](Id& on, const Event& event) {
      if (event.type == fatal) return -1;
      if (event.type == addr_resolved) {
        EXPECT_EQ(errno_of(on.resolve_route(1s)), 0);
      }
      if (event.type == route_resolved) {
        EXPECT_EQ(errno_of(on.connect_locked(with_qp(0x100))), 0);
      }
      return 0;
    };
    ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 7471), 2s)), 0);
    world_.run();
    // Whatever else may happen to it, several at once: only the fatal one is delivered, and nothing after it.
    if (fatal == unreachable || fatal == addr_change || fatal == device_removal) {
      ASSERT_EQ(id.types().back(), connect_response);
      if (fatal == unreachable) host.network.set_neighbour(7, *IpAddress::parse("10.0.0.2"), addr::Mac{9});
      if (fatal == addr_change) host.manager->on_address_change(7);
      if (fatal == device_removal) remove_device(host, "10.0.0.5");
      host.manager->on_address_change(7);
      host.network.set_neighbour(7, *IpAddress::parse("10.0.0.2"), addr::Mac{10});
      world_.run();
    }
    EXPECT_EQ(id.types().back(), fatal);
    EXPECT_EQ(host.manager->live_ids(), 0U);
    EXPECT_EQ(id.id, nullptr);
  }
}

TEST_F(TeardownTest, AddressErrorHandlerEndsTheId) {
  a_.network.answer_for_unknown_neighbours(false);
  TestId id(a_);
  id.react = [](Id&, const Event&) { return -1; };
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 1s)), 0);
  world_.pass(5s);
  EXPECT_EQ(id.types(), Types{addr_error});
  EXPECT_EQ(a_.manager->live_ids(), 0U);
}

TEST_F(TeardownTest, RemovalInEachStateIsToldOnceAndEndsTheOperation) {  // [spec 1.5.29, 2.5.3, 2.7.1-2.7.3, 7 I20]
  struct Stage {
    const char* what;
    std::function<void(TestId&)> reach;
  };
  const std::vector<Stage> stages{
      {"bound", [](TestId& id) { ASSERT_EQ(errno_of(id->bind_addr(address("10.0.0.5", 7000))), 0); }},
      {"listening",
       [](TestId& id) {
         ASSERT_EQ(errno_of(id->bind_addr(address("10.0.0.5", 7000))), 0);
         ASSERT_EQ(errno_of(id->listen(1)), 0);
       }},
      {"resolving its address",
       [](TestId& id) {
         id.host.network.answer_for_unknown_neighbours(false);
         const SocketAddress source = address("10.0.0.5");
         ASSERT_EQ(errno_of(id->resolve_addr(&source, address("10.0.0.2", 1), 2s)), 0);
       }},
      {"resolving its route",
       [this](TestId& id) {
         ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 2s)), 0);
         world_.run();
         id.seen.clear();
         id.host.devices.remove(id->route().device->name());  // before the route's work in the queue
         ASSERT_EQ(errno_of(id->resolve_route(2s)), 0);
       }},
      {"connecting", [this](TestId& id) {
         resolve(id, address("10.0.0.9", 1));
         ASSERT_EQ(errno_of(id->connect(with_qp(0x100))), 0);
       }}};
  for (const Stage& stage : stages) {
    SCOPED_TRACE(stage.what);
    TestHost host(world_, 5, {ethernet(7, "eth0", {"10.0.0.5"})});
    TestId id(host);
    stage.reach(id);
    if (!host.devices.list().empty()) remove_device(host, "10.0.0.5");
    world_.run();
    EXPECT_EQ(id.types(), Types{device_removal});
    EXPECT_EQ(id->state(), State::device_removal);
    world_.pass(200s);
    EXPECT_EQ(id.types(), Types{device_removal}) << "nothing more [spec 2.7]";
    EXPECT_EQ(errno_of(id->resolve_route(1s)), EINVAL);
    EXPECT_EQ(errno_of(id->bind_addr(address("10.0.0.5"))), EINVAL);
    EXPECT_EQ(host.connections.usage().listeners, 0U) << "the operation was cancelled by the claimer [spec 2.5]";
    EXPECT_EQ(host.ledger.records.front()->cma_state, 9);
    id.destroy();
  }
}

TEST_F(TeardownTest, WildcardListenerOutlivesADevice) {  // [spec 1.9.5]
  TestHost host(world_, 5, {ethernet(7, "eth0", {"10.0.0.5"}), ethernet(8, "eth1", {"10.0.0.6"})});
  TestId listener(host), client(a_);
  listen(listener, address("0.0.0.0", 7471));
  remove_device(host, "10.0.0.5");
  world_.run();
  EXPECT_TRUE(listener.seen.empty());
  EXPECT_EQ(listener->state(), State::listen);
  EXPECT_EQ(host.connections.usage().listeners, 1U);
  addr::Route back;
  back.source = *IpAddress::parse("10.0.0.6");
  back.interface = 8;
  host.network.set_route(*IpAddress::parse("10.0.0.1"), back);
  resolve(client, address("10.0.0.6", 7471));
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  EXPECT_EQ(listener.types(), Types{connect_request});
}

TEST_F(TeardownTest, NobodyListensOnADeviceThatHasGone) {  // [spec 1.7.7, 1.9.3]
  TestId listener(b_);
  ASSERT_EQ(errno_of(listener->bind_addr(address("10.0.0.2", 7471))), 0);
  remove_device(b_, "10.0.0.2");  // nobody has been told yet
  EXPECT_EQ(errno_of(listener->listen(1)), ENODEV);
  EXPECT_EQ(b_.connections.usage().listeners, 0U);
  world_.run();
  EXPECT_EQ(listener.types(), Types{device_removal});
}

TEST_F(TeardownTest, DestroyDuringTheRemovalPass) {
  // One id's removal handler ends another id of the same device.
  TestHost host(world_, 5, {ethernet(7, "eth0", {"10.0.0.5"})});
  TestId first(host), second(host);
  ASSERT_EQ(errno_of(first->bind_addr(address("10.0.0.5", 7000))), 0);
  ASSERT_EQ(errno_of(second->bind_addr(address("10.0.0.5", 7001))), 0);
  remove_device(host, "10.0.0.5");
  second.destroy();  // the pass is queued, not run
  world_.run();
  EXPECT_EQ(first.types(), Types{device_removal});
  EXPECT_TRUE(second.seen.empty());
}

TEST_F(TeardownTest, RefusedChildIsDestroyedWithoutTheListener) {  // [spec 2.6.6]
  TestId listener(b_), client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  listener.react = [](Id& child, const Event& event) {
    if (event.type != connect_request) return 0;
    child.set_handler([](Id&, const Event&) { return 0; }, nullptr);
    return -EPERM;
  };
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  EXPECT_EQ(client.types(), Types{rejected});
  EXPECT_EQ(listener->state(), State::listen);
  EXPECT_EQ(b_.connections.usage().connections, 0U);
}

TEST_F(TeardownTest, ChildKeepsItsOwnHandlerAndContext) {
  TestId listener(b_), client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  Types of_child;
  int context = 0;
  listener.react = [&](Id& child, const Event&) {
    child.set_handler(
        [&](Id& id, const Event& event) {
          EXPECT_EQ(id.context(), &context);
          of_child.push_back(event.type);
          return 0;
        },
        &context);
    const ConnParam param = with_qp(0x200);
    EXPECT_EQ(errno_of(child.accept(&param)), 0);
    return 0;
  };
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  client->lock_handler();
  EXPECT_EQ(errno_of(client->accept(nullptr)), 0);
  client->unlock_handler();
  world_.run();
  EXPECT_EQ(listener.types(), Types{connect_request});
  EXPECT_EQ(of_child, Types{established});
}

TEST_F(TeardownTest, ListenerThatWentWhileTheRequestWasOnItsWay) {  // [spec 1.5.11, 2.6.2]
  TestId listener(b_), client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  listener.destroy();
  world_.run();
  EXPECT_EQ(client.types(), Types{rejected});
  EXPECT_EQ(client.seen[0].status, 8);
}

TEST_F(TeardownTest, LedgerSaysWhatTheIdDoes) {
  TestId id(a_);
  const cm::LedgerRecord& record = *a_.ledger.records.back();
  EXPECT_EQ(record.in_use, 1);
  EXPECT_EQ(record.port_space, 0x0106);
  EXPECT_EQ(record.qp_type, 2);
  resolve(id, address("10.0.0.2", 7471));
  EXPECT_EQ(record.cma_state, 4);
  EXPECT_EQ(record.destination_port, 7471);
  EXPECT_EQ(record.source_port, id->route().source.port);
  EXPECT_EQ(record.device_interface, 2U);
  id->set_qp(Qpn(0x77), false);
  EXPECT_EQ(record.local_qpn, 0x77U);
  ASSERT_EQ(errno_of(id->connect(with_qp(0x77))), 0);
  EXPECT_EQ(record.cma_state, 5);
  EXPECT_EQ(record.cm_state, static_cast<std::uint8_t>(cm::State::req_sent)) << "cm writes its part";
  id.destroy();
  EXPECT_EQ(record.in_use, 0);
}

}  // namespace
}  // namespace hawser::cma
