// join_multicast, leave_multicast [spec 1.4.31-1.4.33, 1.13.1-1.13.5, 1.5.26, 1.12.11].
#include "cma/test_world.hpp"

namespace hawser::cma {
namespace {

using namespace std::chrono_literals;
using enum EventType;
using Types = std::vector<EventType>;
using Members = std::set<std::pair<IpAddress, std::uint32_t>>;

const IpAddress group = *IpAddress::parse("239.1.1.1");

class MulticastTest : public TwoHosts {
 protected:
  struct Joined {
    EventType type{};
    int status{};
    UdTarget target;
    void* context{};
  };
  // An id that may join, and writes down what it is told of groups.
  struct Member : TestId {
    explicit Member(TestHost& on) : TestId(on, PortSpace::udp, QpType::ud) {
      react = [this](Id&, const Event& event) {
        told.push_back({event.type, event.status, event.ud.target, event.membership_context});
        return result;
      };
    }
    std::vector<Joined> told;
    int result = 0;
  };
  static void bind(Member& id) { ASSERT_EQ(errno_of(id->bind_addr(address("10.0.0.1", 7471))), 0); }
  static MembershipHandle join(Member& id, JoinAs as = JoinAs::full_member, void* context = nullptr) {
    const auto joined = id->join_multicast(address("239.1.1.1"), as, context);
    EXPECT_EQ(errno_of(joined), 0);
    return joined.value_or(0);
  }
  static int refused(TestId& id, const SocketAddress& to) {
    return errno_of(id->join_multicast(to, JoinAs::full_member, nullptr));
  }
};

TEST_F(MulticastTest, AMemberIsToldHowToSend) {
  Member id(a_);
  bind(id);
  ASSERT_EQ(errno_of(id->set_service_type(0x20)), 0);
  int mine = 0;
  join(id, JoinAs::full_member, &mine);
  EXPECT_EQ(a_.igmp.members, (Members{{group, 2}})) << "IGMP on the interface";
  EXPECT_TRUE(id.told.empty()) << "the event comes from the dispatcher";
  world_.run();
  ASSERT_EQ(id.types(), Types{multicast_join});
  EXPECT_EQ(id.told[0].status, 0);
  EXPECT_EQ(id.told[0].context, &mine);
  const UdTarget& target = id.told[0].target;
  EXPECT_EQ(target.remote, group) << "the mapped address [spec 1.13.1]";
  EXPECT_EQ(target.local, *IpAddress::parse("10.0.0.1"));
  EXPECT_EQ(target.interface, 2U);
  EXPECT_EQ(target.qpn, Qpn(0xFFFFFF));
  EXPECT_EQ(target.qkey, QKey(0x01234567));
  EXPECT_EQ(target.hop_limit, 64);
  EXPECT_EQ(target.traffic_class, 0x20);
  EXPECT_EQ(id->state(), State::addr_bound);
  id.destroy();
  EXPECT_TRUE(a_.igmp.members.empty());
}

TEST_F(MulticastTest, ASendOnlyMemberIsNoMemberOnTheNetwork) {
  Member id(a_);
  bind(id);
  join(id, JoinAs::send_only);
  world_.run();
  EXPECT_EQ(id.types(), Types{multicast_join});
  EXPECT_TRUE(a_.igmp.members.empty());
}

TEST_F(MulticastTest, WhoMayNotJoin) {  // [spec 4 #22]
  Member idle(a_), wildcard(a_), id(a_);
  TestId rc(a_);
  EXPECT_EQ(refused(idle, address("239.1.1.1")), EINVAL);
  ASSERT_EQ(errno_of(wildcard->bind_addr(address("0.0.0.0"))), 0);
  EXPECT_EQ(refused(wildcard, address("239.1.1.1")), EINVAL) << "no device";
  ASSERT_EQ(errno_of(rc->bind_addr(address("10.0.0.1"))), 0);
  EXPECT_EQ(refused(rc, address("239.1.1.1")), EINVAL) << "[spec 4 #22]";
  bind(id);
  EXPECT_EQ(refused(id, address("0.0.0.0")), EINVAL);
  EXPECT_EQ(refused(id, address("::")), EINVAL);
  EXPECT_EQ(refused(id, address("ff0e::1")), EOPNOTSUPP) << "IPv6 groups as in the kernel";
  EXPECT_EQ(refused(id, address("10.0.0.2")), ENODEV) << "no group";
  a_.igmp.refuse = ENOBUFS;
  EXPECT_EQ(refused(id, address("239.1.1.1")), ENODEV) << "IGMP failed";
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 1s)), 0);
  EXPECT_EQ(refused(id, address("239.1.1.1")), EINVAL) << "ADDR_QUERY";
  world_.run();
  EXPECT_EQ(id.types(), Types{addr_resolved}) << "and nothing else";
  EXPECT_EQ(errno_of(id->leave_multicast(1)), EADDRNOTAVAIL);
}

TEST_F(MulticastTest, AfterResolvingAGroupAddressTheIdMayJoinIt) {
  addr::Route out;
  out.source = *IpAddress::parse("10.0.0.1");
  out.interface = 2;
  a_.network.set_route(group, out);
  Member id(a_);
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("239.1.1.1", 7471), 1s)), 0);
  world_.run();
  ASSERT_EQ(id->state(), State::addr_resolved) << "no neighbour is asked for a group's MAC";
  join(id);
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 1s)), EINVAL);
  world_.run();
  EXPECT_EQ(id.types(), (Types{addr_resolved, multicast_join}));
}

TEST_F(MulticastTest, EventsAreToldWhateverTheStateBecameMeanwhile) {  // [spec 3.4 B]
  Member id(a_);
  bind(id);
  join(id);
  ASSERT_EQ(errno_of(id->resolve_addr(nullptr, address("10.0.0.2", 1), 1s)), 0);
  world_.run();
  EXPECT_EQ(id.told.size(), 2U);
  EXPECT_EQ(std::ranges::count(id.types(), multicast_join), 1) << "[spec 3.4 I6]";
}

TEST_F(MulticastTest, AMembershipIsLeftByItsHandle) {
  Member id(a_);
  bind(id);
  int first = 1, second = 2;
  const auto one = join(id, JoinAs::full_member, &first);
  const auto two = join(id, JoinAs::full_member, &second);
  EXPECT_NE(one, two);
  EXPECT_EQ(errno_of(id->leave_multicast(two)), 0);
  EXPECT_EQ(errno_of(id->leave_multicast(two)), EADDRNOTAVAIL) << "once";
  EXPECT_EQ(a_.igmp.members.size(), 1U) << "the first one is still there [spec 4 #45]";
  world_.run();
  ASSERT_EQ(id.told.size(), 1U);
  EXPECT_EQ(id.told[0].context, &first) << "and its event comes, not that of the one which was left";
  EXPECT_EQ(errno_of(id->leave_multicast(one)), 0);
  EXPECT_TRUE(a_.igmp.members.empty());
}

TEST_F(MulticastTest, EveryEndLeavesEveryGroupOnce) {  // [spec 3.7 I11, 4 #21, #31]
  for (const bool told : {false, true}) {
    Member destroyed(a_), by_handler(a_), removed(a_);
    for (Member* id : {&destroyed, &by_handler, &removed}) {
      ASSERT_EQ(errno_of((*id)->bind_addr(address("10.0.0.1"))), 0);
      for (int i = 0; i < 3; ++i) join(*id);
      join(*id, JoinAs::send_only);
    }
    by_handler.result = 1;
    destroyed.destroy();
    if (told) world_.run();
    a_.network.set_interfaces({loopback()});
    world_.run();
    removed.destroy();
    EXPECT_TRUE(a_.igmp.members.empty());
    EXPECT_EQ(by_handler.id, nullptr);
    EXPECT_EQ(by_handler.told.size(), 1U) << "nothing after the handler's end";
    a_.network.set_interfaces({loopback(), ethernet(2, "eth0", {"10.0.0.1", "fd00::1"})});
    world_.run();
  }
}

TEST_F(MulticastTest, ADestroyedIdTellsNothing) {  // [spec 3.8 A]
  Member id(a_);
  bind(id);
  join(id);
  id.destroy();
  world_.run();
  EXPECT_TRUE(id.seen.empty()) << "[spec 3.8 I12]";
}

TEST_F(MulticastTest, AnAddressThatHasGoneIsAnErrorOfTheMembership) {
  Member id(a_);
  bind(id);
  a_.network.set_interfaces({loopback(), ethernet(2, "eth0", {"fd00::1"})});
  world_.run();
  const auto membership = join(id);
  world_.run();
  ASSERT_EQ(id.types(), Types{multicast_error});
  EXPECT_EQ(id.told[0].status, -EINVAL);
  EXPECT_EQ(errno_of(id->leave_multicast(membership)), 0) << "it is a membership all the same";
}

TEST_F(MulticastTest, LeavingFromAHandlerIsReported) {
  std::vector<ContractReport> reports;
  a_.manager->contract().watch([&](const ContractReport& report) { reports.push_back(report); });
  Member id(a_);
  bind(id);
  const auto membership = join(id);
  id.react = [&](Id& self, const Event&) {
    EXPECT_EQ(errno_of(self.leave_multicast(membership)), EDEADLK);
    return 0;
  };
  world_.run();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].kind, ContractReport::Kind::forbidden_in_handler);
  EXPECT_EQ(reports[0].second, Entry::leave_multicast);
  EXPECT_EQ(a_.igmp.members.size(), 1U);
}

}  // namespace
}  // namespace hawser::cma
