#include "fabric/sim_network.hpp"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fabric/faults.hpp"

namespace hawser::fabric {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

const IpAddress alice = IpAddress::v4(0x0A000001);
const IpAddress bob = IpAddress::v4(0x0A000002);
const IpAddress nobody = IpAddress::v4(0x0A000063);

class SimNetworkTest : public testing::Test {
 protected:
  static void send(Fabric& fabric, int number, IpAddress destination = bob) {
    const std::byte payload[2] = {static_cast<std::byte>(number), std::byte{0xEE}};
    const OutDatagram out{
        .source = alice, .destination = destination, .traffic_class = 9, .hop_limit = 33, .payload = payload};
    EXPECT_EQ(fabric.send({&out, 1}), 1U);
  }
  static std::vector<int> receive(Fabric& fabric) {
    std::vector<int> numbers;
    InDatagram in[3];
    while (const std::size_t count = fabric.receive(in)) {
      for (std::size_t i = 0; i < count; ++i) numbers.push_back(std::to_integer<int>(in[i].payload[0]));
    }
    return numbers;
  }
  // Lets time pass until nothing is in flight; what `fabric` got, in order of arrival.
  static std::vector<int> drain(rt::World& world, SimNetwork& network, Fabric& fabric) {
    std::vector<int> numbers;
    while (network.next_arrival() != rt::time_never) {
      world.advance_to(std::max(world.now(), network.next_arrival()));
      const auto got = receive(fabric);
      numbers.insert(numbers.end(), got.begin(), got.end());
    }
    return numbers;
  }
  // The order in which 100 datagrams arrive over a link that reorders.
  static std::vector<int> order_by_seed(std::uint64_t seed) {
    const auto world = rt::World::simulated(seed);
    SimNetwork network(*world, {.delay_min = 10us, .delay_max = 50us});
    const auto a = network.attach({alice});
    const auto b = network.attach({bob});
    for (int i = 0; i < 100; ++i) send(*a, i);
    return drain(*world, network, *b);
  }

  std::unique_ptr<rt::World> world_ = rt::World::simulated(1);
};

TEST_F(SimNetworkTest, DeliversAfterTheDelayAndNotBefore) {
  SimNetwork network(*world_, {.delay_min = 10us, .delay_max = 10us});
  const auto a = network.attach({alice});
  const auto b = network.attach({bob});
  const rt::Time start = world_->now();
  send(*a, 1);
  EXPECT_EQ(network.next_arrival(), start + 10us);
  EXPECT_EQ(b->next_arrival(), start + 10us);
  EXPECT_EQ(a->next_arrival(), rt::time_never) << "nothing is for this end";
  EXPECT_FALSE(network.has_arrivals());
  EXPECT_THAT(receive(*b), ElementsAre());
  world_->advance_to(start + 10us - 1ns);
  EXPECT_THAT(receive(*b), ElementsAre());
  world_->advance_to(start + 10us);
  EXPECT_TRUE(network.has_arrivals());
  EXPECT_THAT(receive(*b), ElementsAre(1));
  EXPECT_FALSE(network.has_arrivals());
  EXPECT_EQ(network.next_arrival(), rt::time_never);
}

TEST_F(SimNetworkTest, TheReceiverSeesWhoSentWhatToWhom) {
  SimNetwork network(*world_);
  const auto a = network.attach({alice});
  const auto b = network.attach({bob});
  send(*a, 5);
  world_->advance_to(network.next_arrival());
  InDatagram in;
  ASSERT_EQ(b->receive({&in, 1}), 1U);
  EXPECT_EQ(in.source, alice);
  EXPECT_EQ(in.destination, bob);
  EXPECT_EQ(in.source_port, roce_v2_port);
  EXPECT_EQ(in.traffic_class, 9);
  EXPECT_EQ(in.hop_limit, 33);
  ASSERT_EQ(in.payload.size(), 2U);
  EXPECT_EQ(in.payload[1], std::byte{0xEE});
  EXPECT_EQ(a->counters().sent, 1U);
  EXPECT_EQ(b->counters().received, 1U);
}

TEST_F(SimNetworkTest, AFixedDelayKeepsTheOrder) {
  SimNetwork network(*world_);
  const auto a = network.attach({alice});
  const auto b = network.attach({bob});
  for (int i = 0; i < 5; ++i) send(*a, i);
  EXPECT_THAT(drain(*world_, network, *b), ElementsAre(0, 1, 2, 3, 4));
}

TEST_F(SimNetworkTest, ASpreadOfDelaysReordersAndLosesNothing) {
  auto order = order_by_seed(3);
  EXPECT_FALSE(std::ranges::is_sorted(order));
  std::ranges::sort(order);
  ASSERT_EQ(order.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST_F(SimNetworkTest, TheSeedDecidesTheOrder) {
  EXPECT_EQ(order_by_seed(11), order_by_seed(11));
  EXPECT_NE(order_by_seed(11), order_by_seed(12));
}

TEST_F(SimNetworkTest, NobodyAtTheAddressOrNobodyAnyMoreIsALoss) {
  SimNetwork network(*world_);
  const auto a = network.attach({alice});
  auto b = network.attach({bob});
  send(*a, 1, nobody);
  EXPECT_EQ(network.lost(), 1U);
  EXPECT_EQ(network.next_arrival(), rt::time_never);
  send(*a, 2);
  b.reset();
  EXPECT_EQ(network.lost(), 2U);
  EXPECT_EQ(network.next_arrival(), rt::time_never);
  b = network.attach({bob});
  EXPECT_THAT(drain(*world_, network, *b), ElementsAre()) << "the address has a new owner";
}

TEST_F(SimNetworkTest, AnEndMayHaveManyAddressesAndSendToItself) {
  SimNetwork network(*world_);
  const auto both = network.attach({alice, bob});
  send(*both, 1, alice);
  send(*both, 2, bob);
  EXPECT_THAT(drain(*world_, network, *both), ElementsAre(1, 2));
}

TEST_F(SimNetworkTest, TellsWhenSomethingWasPutInFlightWithNoLockHeld) {
  SimNetwork network(*world_);
  int notified = 0;
  network.set_notify([&] { notified += network.next_arrival() == rt::time_never ? 100 : 1; });
  const auto a = network.attach({alice});
  const auto b = network.attach({bob});
  send(*a, 1);
  EXPECT_EQ(notified, 1);
  send(*a, 1, nobody);
  EXPECT_EQ(notified, 1);
}

TEST_F(SimNetworkTest, AGroupIsHeardByItsMembersTheSenderIncluded) {
  const IpAddress group = IpAddress::v4(0xEF010101);
  SimNetwork network(*world_);
  const auto a = network.attach({alice});
  const auto b = network.attach({bob});
  send(*a, 1, group);
  EXPECT_EQ(network.lost(), 1U);
  ASSERT_TRUE(a->join_group(group, 4));
  ASSERT_TRUE(b->join_group(group, 7));
  EXPECT_EQ(errno_of(b->join_group(group, 7)), EADDRINUSE);
  EXPECT_EQ(errno_of(b->join_group(bob, 7)), EINVAL);
  send(*a, 2, group);
  world_->advance_to(network.next_arrival());
  EXPECT_THAT(receive(*a), ElementsAre(2));
  InDatagram in[2];
  ASSERT_EQ(b->receive(in), 1U);
  EXPECT_EQ(in[0].destination, group);
  EXPECT_EQ(in[0].interface, 7U);
  ASSERT_TRUE(b->leave_group(group, 7));
  EXPECT_EQ(errno_of(b->leave_group(group, 7)), EADDRNOTAVAIL);
  send(*a, 3, group);
  world_->advance_to(network.next_arrival());
  EXPECT_THAT(receive(*a), ElementsAre(3));
  EXPECT_THAT(receive(*b), ElementsAre());
}

TEST_F(SimNetworkTest, TooLargeADatagramIsRefusedAndCounted) {
  SimNetwork network(*world_);
  const auto a = network.attach({alice});
  const std::vector<std::byte> large(datagram_bytes_max + 1);
  const OutDatagram out{.source = alice, .destination = alice, .payload = large};
  EXPECT_EQ(a->send({&out, 1}), 0U);
  EXPECT_EQ(a->counters().send_failed, 1U);
  EXPECT_EQ(a->counters().sent, 0U);
}

TEST_F(SimNetworkTest, FaultsComposeWithIt) {
  SimNetwork network(*world_);
  FaultyFabric a(network.attach({alice}), {.duplication = 1, .lose_nth = 1});
  const auto b = network.attach({bob});
  for (int i = 0; i < 3; ++i) send(a, i);
  EXPECT_THAT(drain(*world_, network, *b), ElementsAre(0, 0, 2, 2));
  EXPECT_EQ(a.counters().fault_dropped, 1U);
}

}  // namespace
}  // namespace hawser::fabric
