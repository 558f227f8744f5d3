#include "cma/contract.hpp"

#include "cma/test_world.hpp"

namespace hawser::cma {
namespace {

using namespace std::chrono_literals;
using Kind = ContractReport::Kind;

class ContractTest : public TwoHosts {
 protected:
  ContractTest() {
    b_.manager->contract().watch([this](const ContractReport& report) { reports_.push_back(report); });
    a_.manager->contract().watch([this](const ContractReport& report) { reports_.push_back(report); });
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
    EXPECT_NE(reports_[0].text().find("disconnect called at"), std::string::npos);
  }
  Entered third(state, Entry::listen, &here);
  EXPECT_EQ(reports_.size(), 1U) << "one after the other is fine";
  third.leave();
  Entered fourth(state, Entry::listen, &here);
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
  EXPECT_NE(reports_[0].second_site, nullptr);
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

}  // namespace
}  // namespace hawser::cma
