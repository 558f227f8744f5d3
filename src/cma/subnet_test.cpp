// Services and paths from a subnet administrator [spec 1.4.18, 1.5.7-1.5.9]: simulated, as RoCE has none.
#include "cma/test_world.hpp"

namespace hawser::cma {
namespace {

using namespace std::chrono_literals;
using enum EventType;
using Types = std::vector<EventType>;
using Services = std::vector<addr::ServiceRecord>;

class SubnetTest : public TwoHosts {
 protected:
  static addr::ServiceRecord service(const char* ip, std::uint16_t port) {
    return {.id = ServiceId(std::uint64_t{0x0106} << 16 | port), .gid = *IpAddress::parse(ip), .pkey = {}, .name = "s"};
  }
  void bind(TestId& id) { ASSERT_EQ(errno_of(id->bind_addr(address("10.0.0.1"))), 0); }
};

TEST_F(SubnetTest, RoceHasNoAdministrator) {
  TestId id(a_);
  EXPECT_EQ(errno_of(id->resolve_service({.name = "s", .id = {}})), EINVAL) << "not bound";
  ASSERT_EQ(errno_of(id->bind_addr(address("0.0.0.0"))), 0);
  EXPECT_EQ(errno_of(id->resolve_service({.name = "s", .id = {}})), EINVAL) << "no device";
  TestId bound(a_);
  bind(bound);
  EXPECT_EQ(errno_of(bound->resolve_service({.name = "s", .id = {}})), EOPNOTSUPP);
  EXPECT_EQ(bound->state(), State::addr_bound);
  EXPECT_EQ(errno_of(bound->resolve_addr(nullptr, address("10.0.0.2", 1), 1s)), 0) << "and all else works";
}

TEST_F(SubnetTest, TheFirstServiceIsTheDefaultDestination) {
  a_.subnet.on_services = [&](const addr::ServiceQuery& query) {
    EXPECT_EQ(query.name, "s");
    return Result<Services>(Services{service("10.0.0.2", 7471), service("10.0.0.9", 1)});
  };
  a_.subnet.on_path = [](const Gid& remote) {
    EXPECT_EQ(remote.text(), "10.0.0.2");
    return Result<addr::PathRecord>({.mtu = Mtu::mtu_512, .sl = 3, .rate = 2, .packet_life_time = 14});
  };
  TestId client(a_), listener(b_);
  listen(listener, address("10.0.0.2", 7471));
  bind(client);
  ASSERT_EQ(errno_of(client->resolve_service({.name = "s", .id = {}})), 0);
  EXPECT_EQ(client->state(), State::addrinfo_query);
  EXPECT_EQ(a_.ledger.records[0]->cma_state, 11);
  EXPECT_EQ(errno_of(client->resolve_service({.name = "s", .id = {}})), EINVAL);
  EXPECT_EQ(errno_of(client->resolve_route(1s)), EINVAL);
  world_.run();
  EXPECT_EQ(client.types(), Types{addrinfo_resolved});
  EXPECT_EQ(client->state(), State::addrinfo_resolved);
  EXPECT_EQ(client->services().size(), 2U);
  EXPECT_EQ(client->route().destination, address("10.0.0.2", 7471));
  ASSERT_EQ(errno_of(client->resolve_route(1s)), 0);
  world_.run();
  ASSERT_EQ(client->state(), State::route_resolved);
  EXPECT_EQ(client->route().path.mtu, Mtu::mtu_512);
  EXPECT_EQ(client->route().path.sl, 3);
  EXPECT_EQ(client->route().path.packet_life_time, 14);
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  EXPECT_EQ(listener.types(), Types{connect_request});
}

TEST_F(SubnetTest, TheProgramMayChooseAnotherAddress) {
  a_.subnet.on_services = [&](const addr::ServiceQuery&) {
    return Result<Services>(Services{service("10.0.0.9", 7471), service("10.0.0.2", 7471)});
  };
  TestId id(a_);
  bind(id);
  ASSERT_EQ(errno_of(id->resolve_service({.name = "s", .id = {}})), 0);
  world_.run();
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 7471), 1s)), 0);
  world_.run();
  EXPECT_EQ(id.types(), (Types{addrinfo_resolved, addr_resolved}));
  EXPECT_EQ(id->route().destination, address("10.0.0.2", 7471));
}

TEST_F(SubnetTest, NoServiceIsAnErrorAndTheIdIsBoundAgain) {
  std::optional<Result<Services>> answer;
  a_.subnet.on_services = [&](const addr::ServiceQuery&) { return answer; };
  TestId id(a_);
  bind(id);
  for (const int error : {ETIMEDOUT, ECOMM, ENODATA}) {
    if (error == ECOMM) answer = fail(ECOMM);
    if (error == ENODATA) answer = Services{};
    id.seen.clear();
    ASSERT_EQ(errno_of(id->resolve_service({.name = "s", .id = {}})), 0);
    world_.pass(4s);
    ASSERT_EQ(id.types(), Types{addrinfo_error});
    EXPECT_EQ(id.seen[0].status, -error);
    EXPECT_EQ(id->state(), State::addr_bound);
  }
}

TEST_F(SubnetTest, RouteErrorLeavesTheStateItCameFrom) {
  std::optional<Result<addr::PathRecord>> answer;
  a_.subnet.on_services = [](const addr::ServiceQuery&) { return Result<Services>({service("10.0.0.2", 7471)}); };
  a_.subnet.on_path = [&](const Gid&) { return answer; };
  TestId by_service(a_), by_address(a_);
  bind(by_service);
  ASSERT_EQ(errno_of(by_service->resolve_service({.name = "s", .id = {}})), 0);
  ASSERT_EQ(errno_of(by_address->resolve_addr(nullptr, address("10.0.0.2", 7471), 1s)), 0);
  world_.run();
  for (const int error : {ETIMEDOUT, EHOSTUNREACH}) {
    if (error == EHOSTUNREACH) answer = fail(error);
    for (TestId* id : {&by_service, &by_address}) {
      id->seen.clear();
      ASSERT_EQ(errno_of((*id)->resolve_route(2s)), 0);
      EXPECT_EQ((*id)->state(), State::route_query);
    }
    world_.pass(3s);
    EXPECT_EQ(by_service->state(), State::addrinfo_resolved);
    EXPECT_EQ(by_address->state(), State::addr_resolved);
    for (TestId* id : {&by_service, &by_address}) {
      ASSERT_EQ(id->types(), Types{route_error});
      EXPECT_EQ(id->seen[0].status, -error);
    }
  }
}

// resolve_route() is one of the calls that a handler may make [spec 2.2.4], of ADDR_RESOLVED and to try again too.
TEST_F(SubnetTest, AHandlerMayAskForARoute) {
  int questions = 0;
  a_.subnet.on_path = [&](const Gid&) {
    return ++questions == 1 ? Result<addr::PathRecord>(fail(EHOSTUNREACH)) : addr::PathRecord{};
  };
  TestId id(a_);
  id.react = [](Id& on, const Event& event) {
    const bool asks = event.type == addr_resolved || event.type == route_error;
    return asks ? -errno_of(on.resolve_route(1s)) : 0;
  };
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 7471), 1s)), 0);
  world_.pass(1s);
  const Types expected{addr_resolved, route_error, route_resolved};
  EXPECT_EQ(id.types(), expected);
}

TEST_F(SubnetTest, AnIdMayEndWhileItsRouteIsAskedFor) {
  a_.subnet.on_path = [](const Gid&) { return Result<addr::PathRecord>(addr::PathRecord{}); };
  a_.subnet.delay = 100ms;
  TestId destroyed(a_), removed(a_);
  for (TestId* id : {&destroyed, &removed}) {
    ASSERT_EQ(errno_of((*id)->resolve_addr(nullptr, address("10.0.0.2", 7471), 1s)), 0);
  }
  world_.run();
  for (TestId* id : {&destroyed, &removed}) ASSERT_EQ(errno_of((*id)->resolve_route(1s)), 0);
  destroyed.destroy();
  a_.network.set_interfaces({loopback()});
  world_.pass(2s);
  EXPECT_EQ(destroyed.types(), Types{addr_resolved});
  const Types expected{addr_resolved, device_removal};
  EXPECT_EQ(removed.types(), expected);
}

TEST_F(SubnetTest, AnIdMayEndWhileItsQuestionIsOut) {
  a_.subnet.on_services = [](const addr::ServiceQuery&) { return std::optional<Result<Services>>(); };
  TestId destroyed(a_), removed(a_), by_handler(a_);
  for (TestId* id : {&destroyed, &removed, &by_handler}) {
    bind(*id);
    ASSERT_EQ(errno_of((*id)->resolve_service({.name = "s", .id = {}})), 0);
  }
  by_handler.react = [](Id&, const Event&) { return 1; };
  destroyed.destroy();
  a_.network.set_interfaces({loopback()});
  world_.pass(5s);
  EXPECT_TRUE(destroyed.seen.empty());
  EXPECT_EQ(removed.types(), Types{device_removal}) << "and no ADDRINFO_ERROR";
  EXPECT_EQ(by_handler.types(), Types{device_removal});
  EXPECT_EQ(by_handler.id, nullptr);
}

}  // namespace
}  // namespace hawser::cma
