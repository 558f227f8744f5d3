#include "verbs/multicast.hpp"

#include <gtest/gtest.h>

#include "fabric/sim_network.hpp"
#include "verbs/test_host.hpp"

namespace hawser::verbs {
namespace {

class MulticastGroupsTest : public testing::Test {
 protected:
  // Whether a datagram to the group arrives at `host`.
  bool hears(TestHost& host) {
    const std::byte payload[] = {std::byte{1}, std::byte{2}};
    const fabric::OutDatagram out{.source = *Gid::parse("10.0.0.2"), .destination = group, .payload = payload};
    other.fabric->send({&out, 1});
    world->advance_to(std::max(
        world->now(), host.fabric->next_arrival() == rt::time_never ? world->now() : host.fabric->next_arrival()));
    fabric::InDatagram in[2];
    const std::size_t count = host.fabric->receive(in);
    EXPECT_LE(count, 1U);
    return count == 1;
  }

  const Gid group = *Gid::parse("239.1.1.1");
  std::unique_ptr<rt::World> world = rt::World::simulated(1);
  fabric::SimNetwork network{*world};
  TestHost one{*world, network, "10.0.0.1"}, other{*world, network, "10.0.0.2"};
  MulticastGroups& groups = one.path.multicast_groups();
  DevicePtr device = one.devices.list().front();
};

TEST_F(MulticastGroupsTest, TheProcessIsAMemberFromTheFirstJoinToTheLastLeave) {
  EXPECT_FALSE(hears(one));
  ASSERT_TRUE(groups.join(device, group));
  ASSERT_TRUE(groups.join(device, group));
  EXPECT_EQ(groups.joins(device, group), 2U);
  EXPECT_TRUE(hears(one));
  ASSERT_TRUE(groups.leave(device, group));
  EXPECT_TRUE(hears(one));
  ASSERT_TRUE(groups.leave(device, group));
  EXPECT_FALSE(hears(one));
  EXPECT_EQ(errno_of(groups.leave(device, group)), EADDRNOTAVAIL);
}

TEST_F(MulticastGroupsTest, AFailedJoinLeavesNothingBehind) {
  EXPECT_EQ(errno_of(groups.join(device, *Gid::parse("10.0.0.9"))), EINVAL);
  ASSERT_TRUE(one.fabric->join_group(group, device->interface_index()));  // so that the next one fails
  EXPECT_EQ(errno_of(groups.join(device, group)), EADDRINUSE);
  EXPECT_EQ(groups.joins(device, group), 0U);
}

TEST_F(MulticastGroupsTest, ADeviceThatIsGoneCanBeLeft) {
  ASSERT_TRUE(groups.join(device, group));
  one.devices.apply({});
  EXPECT_TRUE(groups.leave(device, group));
  EXPECT_EQ(groups.joins(device, group), 0U);
}

}  // namespace
}  // namespace hawser::verbs
