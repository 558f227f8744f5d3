// bind_addr, listen, and options: states and errnos of [spec 1.4].
#include "cma/test_world.hpp"

namespace hawser::cma {
namespace {

using namespace std::chrono_literals;
using enum EventType;
using Types = std::vector<EventType>;

class BindTest : public TwoHosts {};

TEST_F(BindTest, ErrorsLeaveTheIdIdleAndHoldingNothing) {  // [spec 1.4.3-1.4.5, 1.4.7, 1.4.8, 4 #13]
  TestId id(a_);
  SocketAddress ib;
  ib.family = Family::ib;
  EXPECT_EQ(errno_of(id->bind_addr(ib)), EAFNOSUPPORT);
  EXPECT_EQ(errno_of(id->bind_addr({})), EAFNOSUPPORT);
  EXPECT_EQ(errno_of(id->bind_addr(address("fe80::1"))), EINVAL) << "link-local without scope";
  EXPECT_EQ(errno_of(id->bind_addr(address("fe80::1", 0, 77))), ENODEV) << "no such interface";
  EXPECT_EQ(errno_of(id->bind_addr(address("fe80::1", 0, 2))), EADDRNOTAVAIL);
  EXPECT_EQ(errno_of(id->bind_addr(address("192.0.2.1"))), EADDRNOTAVAIL);
  EXPECT_EQ(errno_of(id->bind_addr(address("10.0.0.1", 80))), EACCES);
  EXPECT_EQ(id->state(), State::idle);
  EXPECT_EQ(id->route().device, nullptr) << "released with the error [spec 4 #9]";
  EXPECT_EQ(id->route().source, SocketAddress{});
  EXPECT_EQ(a_.ports.size(), 0U);
  EXPECT_EQ(errno_of(id->bind_addr(address("10.0.0.1", 7471))), 0) << "and it works after all";
}

TEST_F(BindTest, NoDeviceForTheAddress) {  // [spec 1.4.5]
  // The interface exists, its device was taken away (`hawser fault remove`).
  a_.devices.remove(a_.devices.find_by_address(*IpAddress::parse("10.0.0.1"))->name());
  TestId id(a_);
  EXPECT_EQ(errno_of(id->bind_addr(address("10.0.0.1", 7471))), ENODEV);
  EXPECT_EQ(id->state(), State::idle);
}

TEST_F(BindTest, SpecificAddressTakesItsDevice) {  // [spec 1.1.1, 1.4.2, 1.7.2]
  TestId id(a_);
  ASSERT_EQ(errno_of(id->bind_addr(address("10.0.0.1"))), 0);
  EXPECT_EQ(id->state(), State::addr_bound);
  EXPECT_EQ(id->route().device->interface_name(), "eth0");
  EXPECT_EQ(id->route().port_number, 1);
  EXPECT_NE(id->route().source.port, 0) << "an ephemeral port";
  EXPECT_EQ(errno_of(id->bind_addr(address("10.0.0.1"))), EINVAL) << "once";
  EXPECT_EQ(a_.ledger.records.back()->cma_state, 7);
  EXPECT_EQ(a_.ledger.records.back()->source_port, id->route().source.port);
  EXPECT_EQ(a_.ledger.records.back()->device_interface, 2U);
  TestId any(a_);
  ASSERT_EQ(errno_of(any->bind_addr(address("0.0.0.0", 7471))), 0);
  EXPECT_EQ(any->route().device, nullptr);
}

TEST_F(BindTest, ConflictsBetweenIds) {  // [spec 1.8.4, 1.8.11]
  TestId first(a_), second(a_);
  ASSERT_EQ(errno_of(first->bind_addr(address("10.0.0.1", 7471))), 0);
  EXPECT_EQ(errno_of(second->bind_addr(address("10.0.0.1", 7471))), EADDRINUSE);
  EXPECT_EQ(errno_of(second->bind_addr(address("0.0.0.0", 7471))), EADDRNOTAVAIL);
  first.destroy();
  EXPECT_EQ(errno_of(second->bind_addr(address("0.0.0.0", 7471))), 0);
}

TEST_F(BindTest, OtherPortSpacesBind) {  // [spec 1.4.6, 1.8.10]
  TestId udp(a_, PortSpace::udp, QpType::ud), ipoib(a_, PortSpace::ipoib, QpType::ud), ib(a_, PortSpace::ib);
  EXPECT_EQ(errno_of(udp->bind_addr(address("10.0.0.1", 7471))), 0);
  EXPECT_EQ(errno_of(ib->bind_addr(address("10.0.0.1", 7471))), 0);
  EXPECT_EQ(errno_of(ipoib->bind_addr(address("10.0.0.1", 7471))), EINVAL) << "no InfiniBand interface";
  EXPECT_EQ(errno_of(ipoib->bind_addr(address("0.0.0.0", 7471))), 0);
}

TEST_F(BindTest, ListenBindsByItself) {  // [spec 1.4.24]
  TestId id(a_);
  ASSERT_EQ(errno_of(id->listen(1)), 0);
  EXPECT_EQ(id->state(), State::listen);
  EXPECT_EQ(id->route().source.family, Family::inet);
  EXPECT_NE(id->route().source.port, 0);
}

TEST_F(BindTest, CallsOnAListenerFailAndTouchNothing) {  // [spec 3.2 I3, 3.3 B, 4 #10, 7 I16]
  for (const char* on : {"::", "::1", "10.0.0.1"}) {
    SCOPED_TRACE(on);
    TestId id(a_);
    listen(id, address(on, 7471));
    const Route before = id->route();
    EXPECT_EQ(errno_of(id->listen(1)), EINVAL);
    EXPECT_EQ(errno_of(id->bind_addr(address("10.0.0.1", 9))), EINVAL);
    const SocketAddress source = address("10.0.0.1");
    EXPECT_EQ(errno_of(id->resolve_addr(&source, address("10.0.0.2", 1), 1s)), EINVAL);
    EXPECT_EQ(errno_of(id->resolve_route(1s)), EINVAL);
    EXPECT_EQ(errno_of(id->connect(with_qp(1))), EINVAL);
    EXPECT_EQ(errno_of(id->set_reuse_address(true)), EINVAL) << "[spec 3.3]";
    EXPECT_EQ(errno_of(id->set_reuse_address(false)), EINVAL);
    EXPECT_EQ(errno_of(id->set_af_only(true)), EINVAL);
    EXPECT_EQ(id->route().source, before.source) << "[spec 4 #10]";
    EXPECT_EQ(id->route().destination, before.destination);
    EXPECT_EQ(id->state(), State::listen);
    id.destroy();
    EXPECT_EQ(a_.connections.usage().listeners, 0U) << "nothing stays behind";
  }
}

TEST_F(BindTest, ListenRefusedByThePortUndoesEverything) {  // [spec 1.4.25, 1.8.8, 1.9.3, 3.3 I4, 4 #8]
  TestId first(a_), second(a_);
  EXPECT_EQ(errno_of(first->set_reuse_address(true)), 0);
  EXPECT_EQ(errno_of(second->set_reuse_address(true)), 0);
  ASSERT_EQ(errno_of(first->bind_addr(address("0.0.0.0", 7471))), 0);
  ASSERT_EQ(errno_of(second->bind_addr(address("0.0.0.0", 7471))), 0);
  EXPECT_EQ(errno_of(first->listen(1)), EADDRNOTAVAIL);
  EXPECT_EQ(first->state(), State::addr_bound);
  EXPECT_EQ(a_.connections.usage().listeners, 0U) << "children of all devices are gone [spec 4 #8]";
  EXPECT_TRUE(first.seen.empty());
  second.destroy();
  EXPECT_EQ(errno_of(first->listen(1)), 0);
  TestId third(a_);
  EXPECT_EQ(errno_of(third->set_reuse_address(true)), 0);
  EXPECT_EQ(errno_of(third->bind_addr(address("0.0.0.0", 7471))), EADDRNOTAVAIL) << "LISTEN implies no reuse";
}

TEST_F(BindTest, ReuseSurvivesAListenThatIsRefused) {  // [spec 1.4.25]; the kernel forgets the flag
  TestId first(a_), second(a_), third(a_);
  for (TestId* id : {&first, &second, &third}) EXPECT_EQ(errno_of((*id)->set_reuse_address(true)), 0);
  ASSERT_EQ(errno_of(first->bind_addr(address("0.0.0.0", 7471))), 0);
  ASSERT_EQ(errno_of(second->bind_addr(address("0.0.0.0", 7471))), 0);
  EXPECT_EQ(errno_of(first->listen(1)), EADDRNOTAVAIL);
  EXPECT_EQ(errno_of(third->bind_addr(address("0.0.0.0", 7471))), 0);
}

TEST_F(BindTest, ReuseMayBeSetLateButNotTakenBack) {  // [spec 1.4.34]
  TestId first(a_), second(a_);
  ASSERT_EQ(errno_of(first->bind_addr(address("10.0.0.1", 7471))), 0);
  EXPECT_EQ(errno_of(first->set_reuse_address(false)), EINVAL) << "only 1 beyond IDLE [spec 1.4]";
  EXPECT_EQ(errno_of(first->set_reuse_address(true)), 0);
  EXPECT_EQ(errno_of(second->set_reuse_address(true)), 0);
  EXPECT_EQ(errno_of(second->bind_addr(address("10.0.0.1", 7471))), 0);
}

TEST_F(BindTest, AfOnlyDecidesWhoAnswersForIpv4) {  // [spec 1.9.4]
  TestId six(b_), four(b_), client(a_);
  EXPECT_EQ(errno_of(six->set_af_only(true)), 0);
  listen(six, address("::", 7471));
  listen(four, address("0.0.0.0", 7471));
  resolve(client, address("10.0.0.2", 7471));
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  EXPECT_TRUE(six.seen.empty());
  EXPECT_EQ(four.types(), Types{connect_request});
}

TEST_F(BindTest, AfOnlyCountsWhenItIsSetAfterTheBind) {  // [spec 1.4.35, 1.8.4]
  TestId six(b_), four(b_), client(a_);
  ASSERT_EQ(errno_of(six->bind_addr(address("::", 7471))), 0);
  EXPECT_EQ(errno_of(four->bind_addr(address("0.0.0.0", 7471))), EADDRNOTAVAIL);
  EXPECT_EQ(errno_of(six->set_af_only(true)), 0);
  ASSERT_EQ(errno_of(four->bind_addr(address("0.0.0.0", 7471))), 0);
  EXPECT_EQ(errno_of(six->listen(1)), 0);
  EXPECT_EQ(errno_of(four->listen(1)), 0);
  resolve(client, address("10.0.0.2", 7471));
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  EXPECT_TRUE(six.seen.empty());
  EXPECT_EQ(four.types(), Types{connect_request});
}

TEST_F(BindTest, OptionsThatNeedAQpType) {  // [spec 1.4.37, 1.4.38]
  TestId rc(a_), ud(a_, PortSpace::udp, QpType::ud);
  EXPECT_EQ(errno_of(rc->set_ack_timeout(14)), 0);
  EXPECT_EQ(errno_of(ud->set_ack_timeout(14)), EINVAL);
  EXPECT_EQ(errno_of(rc->set_min_rnr_timer(31)), 0);
  EXPECT_EQ(errno_of(rc->set_min_rnr_timer(32)), EINVAL);
  EXPECT_EQ(errno_of(ud->set_min_rnr_timer(1)), EINVAL);
  EXPECT_EQ(errno_of(ud->set_service_type(4)), 0);
}

TEST_F(BindTest, NewDevicesExtendWildcardListenersOnly) {  // [spec 1.9.2]
  TestId wildcard(b_), specific(b_), client(a_);
  listen(wildcard, address("0.0.0.0", 7471));
  listen(specific, address("10.0.0.2", 7472));
  EXPECT_EQ(b_.connections.usage().listeners, 2U);
  b_.network.set_interfaces({ethernet(3, "eth0", {"10.0.0.2"}), ethernet(4, "eth1", {"10.1.0.2"})});
  world_.run();
  EXPECT_EQ(b_.connections.usage().listeners, 3U);
  EXPECT_EQ(errno_of(client->set_service_type(0x20)), 0);
  resolve(client, address("10.1.0.2", 7471));
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  // Over the route back through eth1, which a request from a real network would have.
  addr::Route back;
  back.source = *IpAddress::parse("10.1.0.2");
  back.interface = 4;
  b_.network.set_route(*IpAddress::parse("10.0.0.1"), back);
  world_.run();
  EXPECT_EQ(wildcard.types(), Types{connect_request});
}

TEST_F(BindTest, RequestsWhoseAnswerWouldGoElsewhereAreRefused) {  // [spec 1.7.6, 4 #23]
  TestId listener(b_), client(a_);
  listen(listener, address("0.0.0.0", 7471));
  addr::Route elsewhere;
  elsewhere.source = *IpAddress::parse("10.0.0.2");
  elsewhere.interface = 99;
  b_.network.set_route(*IpAddress::parse("10.0.0.1"), elsewhere);
  resolve(client, address("10.0.0.2", 7471));
  ASSERT_EQ(errno_of(client->connect(with_qp(0x100))), 0);
  world_.run();
  EXPECT_TRUE(listener.seen.empty());
  ASSERT_EQ(client.types(), Types{rejected});
  EXPECT_EQ(client.seen[0].status, 28) << "[spec 1.7]";
}

}  // namespace
}  // namespace hawser::cma
