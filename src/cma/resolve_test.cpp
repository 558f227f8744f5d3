#include "cma/test_world.hpp"

namespace hawser::cma {
namespace {

using namespace std::chrono_literals;
using enum EventType;
using Types = std::vector<EventType>;

class ResolveTest : public TwoHosts {};

TEST_F(ResolveTest, PublishesAddrResolvedWithItsDevice) {  // [spec 1.5.2, 2.4.2, 4 #1]
  TestId id(a_);
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 7471), 2s)), 0);
  EXPECT_EQ(id->state(), State::addr_query);
  EXPECT_EQ(errno_of(id->resolve_route(2s)), EINVAL) << "without waiting for the event [spec 4 #1]";
  id.react = [](Id& on, const Event& event) {
    EXPECT_EQ(event.type, addr_resolved);
    EXPECT_EQ(on.state(), State::addr_resolved);
    EXPECT_NE(on.route().device, nullptr);
    return 0;
  };
  world_.run();
  EXPECT_EQ(id.types(), Types{addr_resolved});
  EXPECT_EQ(id->route().source.ip, *IpAddress::parse("10.0.0.1"));
  EXPECT_NE(id->route().source.port, 0);
  EXPECT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 7471), 2s)), EINVAL);
}

TEST_F(ResolveTest, SourceOfABoundIdIsIgnored) {  // [spec 1.4.9, 4 #25]
  TestId id(a_);
  ASSERT_EQ(errno_of(id->bind_addr(address("10.0.0.1", 7000))), 0);
  const SocketAddress other = address("192.0.2.1", 9);
  ASSERT_EQ(errno_of(id->resolve_addr(&other, address("10.0.0.2", 7471), 2s)), 0);
  EXPECT_EQ(id->route().destination, address("10.0.0.2", 7471)) << "stored on the bound path too [spec 4 #25]";
  world_.run();
  EXPECT_EQ(id->route().source, address("10.0.0.1", 7000));
}

TEST_F(ResolveTest, SourceOfAFreshIdIsBound) {  // [spec 1.4.10]
  TestId id(a_);
  const SocketAddress wrong = address("192.0.2.1");
  EXPECT_EQ(errno_of(id->resolve_addr(&wrong, address("10.0.0.2", 7471), 2s)), EADDRNOTAVAIL);
  EXPECT_EQ(id->state(), State::idle);
  const SocketAddress source = address("10.0.0.1", 7001);
  ASSERT_EQ(errno_of(id->resolve_addr(&source, address("10.0.0.2", 7471), 2s)), 0);
  EXPECT_EQ(id->route().source, source);
}

TEST_F(ResolveTest, FamilyMismatchAndSynchronousFailureLeaveItBound) {  // [spec 1.4.12, 1.4.13]
  TestId id(a_);
  ASSERT_EQ(errno_of(id->bind_addr(address("0.0.0.0", 7471))), 0);
  EXPECT_EQ(errno_of(id->resolve_addr(nullptr, address("fd00::2", 1), 2s)), EINVAL);
  EXPECT_EQ(id->state(), State::addr_bound);
  a_.network.set_route(*IpAddress::parse("10.0.0.9"), fail(EHOSTUNREACH));
  EXPECT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.9", 1), 2s)), EHOSTUNREACH);
  EXPECT_EQ(id->state(), State::addr_bound);
  world_.pass(5s);
  EXPECT_TRUE(id.seen.empty()) << "no event for a call that failed";
  EXPECT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 2s)), 0);
}

TEST_F(ResolveTest, TimeoutIsAddrErrorAndTheIdMayTryAgain) {  // [spec 1.5.4]
  a_.network.answer_for_unknown_neighbours(false);
  TestId id(a_);
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 2s)), 0);
  world_.pass(2s);
  ASSERT_EQ(id.types(), Types{addr_error});
  EXPECT_EQ(id.seen[0].status, -ETIMEDOUT);
  EXPECT_EQ(id->state(), State::addr_bound);
  EXPECT_TRUE(id->route().source.ip.is_any()) << "the source is what it was";
  a_.network.answer_for_unknown_neighbours(true);
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 2s)), 0);
  world_.run();
  EXPECT_EQ(id.types(), (Types{addr_error, addr_resolved}));
}

TEST_F(ResolveTest, IpoibHasNoInterfaceHere) {  // [spec 1.4.6, 1.5.3]
  TestId id(a_, PortSpace::ipoib, QpType::ud);
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 1s)), 0);
  world_.run();
  ASSERT_EQ(id.types(), Types{addr_error});
  EXPECT_EQ(id.seen[0].status, -EINVAL);
  EXPECT_EQ(id->state(), State::addr_bound);
}

TEST_F(ResolveTest, NoDeviceForTheSourceIsAddrError) {  // [spec 1.5.3, 1.7.7]
  TestId id(a_);
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 2s)), 0);
  a_.devices.remove(a_.devices.find_by_address(*IpAddress::parse("10.0.0.1"))->name());
  world_.run();
  ASSERT_EQ(id.types(), Types{addr_error});
  EXPECT_EQ(id.seen[0].status, -ENODEV);
  EXPECT_EQ(id->state(), State::addr_bound);
}

TEST_F(ResolveTest, ReissueWhileTheFirstRequestIsOnItsWayOut) {
  // [spec 4 #11]: fail, and ask again from the handler's thread before the first request has ended; then destroy.
  a_.network.answer_for_unknown_neighbours(false);
  auto id = std::make_unique<TestId>(a_);
  ASSERT_EQ(errno_of((*id)->resolve_addr(nullptr, address("10.0.0.2", 1), 1s)), 0);
  world_.pass(1s);
  ASSERT_EQ(errno_of((*id)->resolve_addr(nullptr, address("10.0.0.2", 1), 1s)), 0);
  id->destroy();
  world_.pass(10s);
  EXPECT_EQ(id->types(), Types{addr_error}) << "nothing runs for a destroyed id";
}

// Two interfaces of one MAC, as a VLAN has with what it stands on.
class LinkLocalTest : public ResolveTest {
 protected:
  void SetUp() override {
    a_.network.set_interfaces(
        {loopback(), ethernet(2, "eth0", {"10.0.0.1", "fe80::1", "fe80::5"}), ethernet(4, "eth0.10", {"fe80::1"})});
  }
};

TEST_F(LinkLocalTest, ADestinationOfOursIsAttachedToItsInterface) {  // [spec 1.7.2]
  for (const std::uint32_t scope : {2U, 4U}) {
    TestId id(a_);
    resolve(id, address("fe80::1", 7471, scope));
    EXPECT_EQ(id->route().device->interface_index(), scope);
    EXPECT_EQ(id->route().source.ip, *IpAddress::parse("fe80::1"));
    EXPECT_EQ(id->route().source.scope_id, scope);
    EXPECT_EQ(id->route().path.interface, scope);
  }
}

TEST_F(LinkLocalTest, AnAddressOfAnotherInterfaceIsSomebodyElses) {  // [spec 1.7.2]
  a_.network.answer_for_unknown_neighbours(false);
  a_.network.set_neighbour(4, *IpAddress::parse("fe80::5"), addr::Mac{2, 0, 0, 0, 0, 9});
  TestId id(a_);
  resolve(id, address("fe80::5", 7471, 4));
  EXPECT_EQ(id->route().source, address("fe80::1", id->route().source.port, 4));
  EXPECT_EQ(id->route().device->name(), "hw_eth0.10");
}

TEST_F(LinkLocalTest, ABoundSourceStaysOnItsLink) {
  TestId id(a_);
  ASSERT_EQ(errno_of(id->bind_addr(address("fe80::1", 7000, 4))), 0);
  resolve(id, address("fe80::5", 7471, 2));
  EXPECT_EQ(id->route().source, address("fe80::1", 7000, 4));
  EXPECT_EQ(id->route().path.interface, 4U);
}

TEST_F(ResolveTest, RouteHasWhatRoceNeeds) {  // [spec 1.6.6, 1.7.3, 1.7.5, 1.14.1]
  TestId id(a_);
  EXPECT_EQ(errno_of(id->set_service_type(0x68)), 0);
  SocketAddress to = address("fd00::2", 7471);
  to.flow_info = 0xFF12345;
  resolve(id, to);
  const Route route = id->route();
  ASSERT_TRUE(route.has_path);
  EXPECT_EQ(route.path.mtu, Mtu::mtu_1024) << "1500 - 96";
  EXPECT_EQ(route.path.traffic_class, 0x68);
  EXPECT_EQ(route.path.flow_label, 0x12345U);
  EXPECT_EQ(route.path.packet_life_time, 16);
  EXPECT_EQ(route.path.hop_limit, 64);
  EXPECT_EQ(route.source_gid, *IpAddress::parse("fd00::1"));
  EXPECT_EQ(route.destination_gid, *IpAddress::parse("fd00::2"));
  EXPECT_EQ(route.path.pkey, pkey_default);
}

TEST_F(ResolveTest, AckTimeoutGivesTheLifetimeUnlessInfinite) {  // [spec 1.7.5, 1.14.2, 4 #16]
  TestId some(a_), infinite(a_);
  EXPECT_EQ(errno_of(some->set_ack_timeout(12)), 0);
  resolve(some, address("10.0.0.2", 1));
  EXPECT_EQ(some->route().path.packet_life_time, 11);
  EXPECT_EQ(errno_of(infinite->set_ack_timeout(0)), 0);
  resolve(infinite, address("10.0.0.2", 1));
  EXPECT_EQ(infinite->route().path.packet_life_time, 16) << "[spec 4 #16]";
  const Route route = infinite->route();
  EXPECT_EQ(route.path.flow_label, (route.source.port * 31U + 1) & 0xFFFFF);
}

TEST_F(ResolveTest, ResolveRouteErrors) {  // [spec 1.4.14-1.4.16, 1.7.4]
  TestId id(a_);
  EXPECT_EQ(errno_of(id->resolve_route(0s)), EINVAL) << "before the state";
  EXPECT_EQ(errno_of(id->resolve_route(1s)), EINVAL);
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 2s)), 0);
  world_.run();
  auto small = ethernet(2, "eth0", {"10.0.0.1"});
  small.mtu_bytes = 351;
  a_.network.set_interfaces({loopback(), small});
  EXPECT_EQ(errno_of(id->resolve_route(1s)), EINVAL) << "no IB MTU fits [spec 1.4]";
  EXPECT_EQ(id->state(), State::addr_resolved);
  small.mtu_bytes = 4200;
  a_.network.set_interfaces({loopback(), small});
  EXPECT_EQ(errno_of(id->resolve_route(1s)), 0);
  EXPECT_EQ(id->route().path.mtu, Mtu::mtu_4096);
  EXPECT_EQ(errno_of(id->resolve_route(1s)), EINVAL);
}

TEST_F(ResolveTest, PathInsteadOfResolving) {  // [spec 1.4.17]
  TestId id(a_);
  cm::Path path;
  EXPECT_EQ(errno_of(id->set_path(path)), EINVAL);
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 2s)), 0);
  world_.run();
  path.local = *IpAddress::parse("10.0.0.1");
  path.remote = *IpAddress::parse("10.0.0.2");
  path.sl = 3;
  EXPECT_EQ(errno_of(id->set_path(path)), 0);
  world_.run();
  EXPECT_EQ(id->state(), State::route_resolved);
  EXPECT_EQ(id.types(), Types{addr_resolved}) << "no event from cma";
  EXPECT_EQ(id->route().path.sl, 3);
  EXPECT_NE(id->route().path.device, nullptr);
}

TEST_F(ResolveTest, NeighbourWithAnotherMacIsUnreachable) {  // [spec 1.5.28]
  const IpAddress peer = *IpAddress::parse("10.0.0.2");
  a_.network.set_neighbour(2, peer, addr::Mac{2, 2, 2, 2, 2, 2});
  TestId id(a_), unresolved(a_);
  resolve(id, address("10.0.0.2", 7471));
  ASSERT_EQ(errno_of(unresolved->resolve_addr(nullptr, address("10.0.0.2", 7471), 2s)), 0);
  world_.run();
  a_.network.set_neighbour(2, peer, addr::Mac{2, 2, 2, 2, 2, 2});
  a_.network.set_neighbour(2, peer, std::nullopt);
  a_.network.set_neighbour(5, peer, addr::Mac{9});
  world_.run();
  EXPECT_TRUE(id.seen.empty()) << "same MAC, gone, or another interface: nothing";
  a_.network.set_neighbour(2, peer, addr::Mac{9});
  a_.network.set_neighbour(2, peer, addr::Mac{8});  // twice before the handler's turn [spec 4 #26, #27]
  world_.run();
  ASSERT_EQ(id.types(), Types{unreachable});
  EXPECT_EQ(id.seen[0].status, -ETIMEDOUT);
  EXPECT_EQ(id->state(), State::route_resolved) << "in any state, and it stays there";
  EXPECT_EQ(unresolved.types(), Types{addr_resolved}) << "only ids that resolved their route";
}

TEST_F(ResolveTest, NeighbourChangeAfterTheDestroyIsNobodysEvent) {  // [spec 3.5 A, 3.5 I9, 7 I17, 7 I19]
  const IpAddress peer = *IpAddress::parse("10.0.0.2");
  a_.network.set_neighbour(2, peer, addr::Mac{2});
  TestId id(a_);
  resolve(id, address("10.0.0.2", 7471));
  a_.network.set_neighbour(2, peer, addr::Mac{9});
  a_.network.set_neighbour(2, peer, addr::Mac{8});
  id.destroy();  // with the work queued: the reference comes back, nothing hangs [spec 4 #27]
  world_.run();
  a_.network.set_neighbour(2, peer, addr::Mac{7});  // no entry with a stale key stays behind [spec 4 #24]
  world_.run();
  EXPECT_TRUE(id.seen.empty());
}

TEST_F(ResolveTest, AddressChangeOfTheInterface) {  // [spec 1.5.27]
  TestId id(a_), elsewhere(a_);
  resolve(id, address("10.0.0.2", 7471));
  ASSERT_EQ(errno_of(elsewhere->bind_addr(address("127.0.0.1", 7471))), 0);
  a_.manager->on_address_change(2);
  world_.run();
  EXPECT_EQ(id.types(), Types{addr_change});
  EXPECT_TRUE(elsewhere.seen.empty());
}

}  // namespace
}  // namespace hawser::cma
