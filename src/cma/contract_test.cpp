#include "cma/contract.hpp"

#include <gmock/gmock.h>

#include "cma/test_world.hpp"

namespace hawser::cma {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Kind = ContractReport::Kind;

class ContractTest : public TwoHosts {
 protected:
  ContractTest() {
    for (TestHost* host : {&a_, &b_}) {
      host->manager->contract().watch([this](const ContractReport& report) { reports_.push_back(report); }, true);
    }
  }
  std::vector<ContractReport> reports_;
};

TEST_F(ContractTest, TwoEntriesAtOnceAreReportedWithBothCallSites) {  // [spec 2.2.1]
  Contract contract;
  contract.watch([this](const ContractReport& report) { reports_.push_back(report); });
  ContractState state(contract);
  const int here = 0, there = 0;
  {
    Entered first(state, Entry::connect, &here);
    EXPECT_TRUE(reports_.empty());
    Entered second(state, Entry::disconnect, &there);
    ASSERT_EQ(reports_.size(), 1U);
    EXPECT_EQ(reports_[0].kind, Kind::parallel_entries);
    EXPECT_EQ(reports_[0].first, Entry::connect);
    EXPECT_EQ(reports_[0].first_site, &here);
    EXPECT_EQ(reports_[0].second, Entry::disconnect);
    EXPECT_EQ(reports_[0].second_site, &there);
    EXPECT_THAT(reports_[0].text(), HasSubstr("contract: disconnect called at "));
    EXPECT_THAT(reports_[0].text(), HasSubstr(" while connect called at "));
  }
  Entered third(state, Entry::listen, &here);
  EXPECT_EQ(reports_.size(), 1U) << "one after the other is fine";
  third.leave();
  Entered fourth(state, Entry::listen, &here);
  EXPECT_EQ(reports_.size(), 1U);
}

// The owner may end an id at any time, also while its handler calls what handlers may call (scenarios
// ucm-pair.*.destroy).
TEST_F(ContractTest, WhatAHandlerCallsIsNoEntryBesideTheOwners) {  // [spec 2.2.3]
  Contract contract;
  contract.watch([this](const ContractReport& report) { reports_.push_back(report); });
  ContractState state(contract);
  Entered owner(state, Entry::destroy_id, nullptr);
  state.handler_begins(EventType::disconnected, {});
  Entered handler(state, Entry::disconnect, nullptr);
  EXPECT_TRUE(reports_.empty());
  state.handler_ends();
  Entered stranger(state, Entry::disconnect, nullptr);
  EXPECT_EQ(reports_.size(), 1U);
}

TEST_F(ContractTest, ConnectFromAHandlerIsRefusedAndReported) {  // [spec 2.2.4, 3.1 C]
  TestId id(a_);
  id.react = [](Id& on, const Event& event) {
    if (event.type == EventType::addr_resolved) {
      EXPECT_EQ(errno_of(on.resolve_route(1s)), 0);
    }
    if (event.type == EventType::route_resolved) {
      EXPECT_EQ(errno_of(on.connect(with_qp(1))), EDEADLK);
    }
    return 0;
  };
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 1s)), 0);
  world_.run();
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_EQ(reports_[0].kind, Kind::forbidden_in_handler);
  EXPECT_EQ(reports_[0].second, Entry::connect);
  EXPECT_EQ(reports_[0].told, EventType::route_resolved);
  EXPECT_THAT(reports_[0].text(), HasSubstr("connect called at cma_test("));
  EXPECT_THAT(reports_[0].text(), HasSubstr("TestId::"));
  EXPECT_THAT(reports_[0].text(), HasSubstr("told RDMA_CM_EVENT_ROUTE_RESOLVED: it would wait for itself"));
  EXPECT_EQ(errno_of(id->connect(with_qp(1))), 0) << "outside it is fine";
}

TEST_F(ContractTest, DestroyingItselfOrItsListenerFromAHandler) {  // [spec 2.2.4]
  TestId listener(b_), client(a_);
  listen(listener, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  listener.react = [&](Id& child, const Event& event) {
    if (event.type != EventType::connect_request) return 0;
    b_.manager->destroy_id(&child);
    b_.manager->destroy_id(listener.id);
    return 0;
  };
  ASSERT_EQ(errno_of(client->connect(with_qp(1))), 0);
  world_.run();
  ASSERT_EQ(reports_.size(), 2U);
  EXPECT_EQ(reports_[0].second, Entry::destroy_id);
  EXPECT_EQ(reports_[1].second, Entry::destroy_id);
  EXPECT_EQ(listener->state(), State::listen) << "refused";
}

TEST_F(ContractTest, WhatIsAllowedInAHandlerIsNotAccused) {  // [spec 2.2.4]
  TestId listener(b_), client(a_);
  listen(listener, address("0.0.0.0", 7471));
  listener.react = [](Id& child, const Event& event) {
    const ConnParam param = with_qp(0x200);
    if (event.type == EventType::connect_request) {
      EXPECT_EQ(errno_of(child.accept(&param)), 0);
    }
    if (event.type == EventType::disconnected) {
      EXPECT_EQ(errno_of(child.disconnect()), 0);
    }
    return 0;
  };
  client.react = [](Id& on, const Event& event) {
    if (event.type == EventType::addr_resolved) {
      EXPECT_EQ(errno_of(on.resolve_route(1s)), 0);
    }
    if (event.type == EventType::route_resolved) {
      EXPECT_EQ(errno_of(on.connect_locked(with_qp(0x100))), 0);
    }
    if (event.type == EventType::connect_response) {
      EXPECT_EQ(errno_of(on.accept(nullptr)), 0);
      EXPECT_EQ(errno_of(on.disconnect()), 0);
    }
    return 0;
  };
  ASSERT_EQ(errno_of(client->resolve_addr(nullptr, address("10.0.0.2", 7471), 1s)), 0);
  world_.run();
  EXPECT_EQ(client.types().back(), EventType::disconnected);
  EXPECT_TRUE(reports_.empty());
}

int refuse_everything(Id&, const Event&) { return -1; }

// The handler ends the id, and its owner goes on as if nothing had happened [spec 2.2.2].
TEST_F(ContractTest, CallsAfterTheHandlerReturnedNonZero) {
  Id* const id = a_.manager->create_id(PortSpace::tcp, QpType::rc, refuse_everything, nullptr);
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 1s)), 0);
  world_.run();
  EXPECT_EQ(a_.manager->live_ids(), 0U);
  ASSERT_TRUE(reports_.empty());

  EXPECT_EQ(errno_of(id->resolve_route(1s)), EINVAL);
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_EQ(reports_[0].kind, Kind::after_the_end);
  EXPECT_EQ(reports_[0].told, EventType::addr_resolved);
  EXPECT_EQ(reports_[0].handler.function, reinterpret_cast<const void*>(&refuse_everything));
  EXPECT_THAT(reports_[0].text(), HasSubstr("resolve_route called at cma_test("));
  EXPECT_THAT(reports_[0].text(), HasSubstr("on an id that has ended: the handler cma_test("));
  EXPECT_THAT(reports_[0].text(), HasSubstr("told RDMA_CM_EVENT_ADDR_RESOLVED, returned non-zero"));

  const SocketAddress to = address("10.0.0.2", 1);
  EXPECT_EQ(errno_of(id->bind_addr(address("10.0.0.1", 0))), EINVAL);
  EXPECT_EQ(errno_of(id->resolve_addr(nullptr, to, 1s)), EINVAL);
  EXPECT_EQ(errno_of(id->connect(with_qp(1))), EINVAL);
  EXPECT_EQ(errno_of(id->listen(1)), EINVAL);
  EXPECT_EQ(errno_of(id->disconnect()), EINVAL);
  EXPECT_EQ(errno_of(id->reject(28, {})), EINVAL);
  EXPECT_EQ(errno_of(id->notify_established()), EINVAL);
  EXPECT_EQ(errno_of(id->join_multicast(address("239.1.1.1", 0), JoinAs::full_member, nullptr)), EINVAL);
  EXPECT_EQ(errno_of(id->leave_multicast(1)), EADDRNOTAVAIL);
  a_.manager->destroy_id(id);
  EXPECT_EQ(reports_.size(), 11U) << "each of them";
}

TEST_F(ContractTest, AKeptIdHoldsNoDevice) {
  const std::weak_ptr<const verbs::Device> device = a_.devices.list().back();
  TestId id(a_);
  resolve(id, address("10.0.0.2", 1));
  ASSERT_EQ(id->route().path.device, device.lock());
  const auto uses = device.use_count();
  id.destroy();
  EXPECT_LT(device.use_count(), uses - 1) << "neither as its device nor by its path";
}

TEST_F(ContractTest, CallsAfterDestroy) {  // [spec 2.2.2]
  const auto captured = std::make_shared<int>();
  Id* const id =
      a_.manager->create_id(PortSpace::tcp, QpType::rc, [captured](Id&, const Event&) { return 0; }, nullptr);
  a_.manager->destroy_id(id);
  EXPECT_EQ(captured.use_count(), 1) << "what the handler holds goes with the id";
  EXPECT_EQ(a_.ledger.live, 0);
  a_.manager->destroy_id(id);
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_EQ(reports_[0].first, Entry::destroy_id);
  EXPECT_THAT(reports_[0].text(), HasSubstr("on an id that has ended: destroy_id called at cma_test("));
}

// The other thread came first, and is still inside.
TEST_F(ContractTest, TheHandlerReturnsNonZeroWhileACallIsUnderWay) {  // [spec 2.2.2]
  Contract contract;
  contract.watch([this](const ContractReport& report) { reports_.push_back(report); }, true);
  ContractState state(contract);
  const int here = 0;
  {
    Entered call(state, Entry::listen, &here);
    state.handler_begins(EventType::device_removal, {});
    state.handler_ends();
    state.ended_by_handler();
    ASSERT_EQ(reports_.size(), 1U);
    EXPECT_EQ(reports_[0].kind, Kind::after_the_end);
    EXPECT_EQ(reports_[0].second, Entry::listen);
    EXPECT_EQ(reports_[0].second_site, &here);
    EXPECT_EQ(reports_[0].told, EventType::device_removal);
  }
  const Entered next(state, Entry::listen, &here);
  EXPECT_TRUE(next.too_late());
  EXPECT_EQ(reports_.size(), 2U);
}

TEST_F(ContractTest, OnlySoManyEndedIdsAreKept) {
  for (std::size_t i = 0; i < 2 * ended_ids_kept; ++i) {
    a_.manager->destroy_id(a_.manager->create_id(PortSpace::tcp, QpType::rc, refuse_everything, nullptr));
  }
  EXPECT_TRUE(reports_.empty());
}

TEST(CallSite, IsThatOfTheOutermostCall) {
  const int program = 0, ours = 0;
  EXPECT_EQ(call_site(&ours), &ours);
  {
    const CalledFrom outer(&program);
    const CalledFrom inner(&ours);
    EXPECT_EQ(call_site(&ours), &program);
  }
  EXPECT_EQ(call_site(&ours), &ours);
}

}  // namespace
}  // namespace hawser::cma
