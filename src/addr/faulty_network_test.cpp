#include "addr/faulty_network.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "addr/sim_network_view.hpp"

namespace hawser::addr {
namespace {

using testing::ElementsAre;

const IpAddress own_address = IpAddress::v4(0x0A000001), other_own_address = IpAddress::v4(0x0A000009),
                peer_address = IpAddress::v4(0x0A000002);

struct FaultyNetwork : testing::Test {
  FaultyNetwork() {
    auto network = std::make_unique<SimNetworkView>();
    sim = network.get();
    verbs::InterfaceSnapshot eth0{.index = 2,
                                  .name = "eth0",
                                  .mac = {0x02, 1, 2, 3, 4, 5},
                                  .mtu_bytes = 1500,
                                  .up = true,
                                  .loopback = false,
                                  .addresses = {own_address, other_own_address}};
    verbs::InterfaceSnapshot eth1 = eth0;
    eth1.index = 3;
    eth1.name = "eth1";
    eth1.addresses = {IpAddress::v4(0x0A010001)};
    sim->set_interfaces({eth0, eth1});
    below = std::move(network);
    view = std::make_unique<FaultyNetworkView>(*below);
    view->set_observer({[this] { ++interface_changes; },
                        [this](const NeighbourChange& change) {
                          if (change.interface == 2) neighbour_changes.push_back(change.mac);
                        }});
  }
  void set(NetworkFaultKind kind, std::string interface, IpAddress address = {}) {
    view->set(1, {kind, std::move(interface), address});
  }

  SimNetworkView* sim = nullptr;
  std::unique_ptr<NetworkView> below;
  std::unique_ptr<FaultyNetworkView> view;
  int interface_changes = 0;
  std::vector<std::optional<Mac>> neighbour_changes;
};

TEST_F(FaultyNetwork, WithoutAFaultItIsTheOther) {
  EXPECT_EQ(view->interfaces(), sim->interfaces());
  EXPECT_EQ(view->route(peer_address, {}, 0)->interface, 2U);
  EXPECT_EQ(view->neighbour(2, peer_address), sim->neighbour(2, peer_address));
  sim->set_neighbour(2, peer_address, Mac{0x02, 9});
  EXPECT_THAT(neighbour_changes, ElementsAre(Mac{0x02, 9}));
}

TEST_F(FaultyNetwork, RemovedInterfaceHasNoRoutes) {
  set(NetworkFaultKind::remove_interface, "eth0");
  EXPECT_EQ(interface_changes, 1);
  ASSERT_EQ(view->interfaces().size(), 1U);
  EXPECT_EQ(view->interfaces()[0].name, "eth1");
  EXPECT_EQ(errno_of(view->route(peer_address, {}, 0)), ENETUNREACH);
  EXPECT_GT(view->effects()[1], 0U);
  EXPECT_TRUE(view->clear(1));
  EXPECT_EQ(interface_changes, 2);
  EXPECT_EQ(view->interfaces().size(), 2U);
  EXPECT_TRUE(view->route(peer_address, {}, 0));
  EXPECT_FALSE(view->clear(1));
}

TEST_F(FaultyNetwork, RemovedAddressIsNobodys) {
  set(NetworkFaultKind::remove_address, "", own_address);
  EXPECT_EQ(interface_changes, 1);
  EXPECT_THAT(view->interfaces()[0].addresses, ElementsAre(other_own_address));
  EXPECT_EQ(errno_of(view->route(peer_address, own_address, 0)), EADDRNOTAVAIL);
  EXPECT_EQ(errno_of(view->route(own_address, {}, 0)), EHOSTUNREACH);
  EXPECT_EQ(view->route(peer_address, {}, 0)->source, other_own_address) << "the next of the interface's addresses";
}

TEST_F(FaultyNetwork, LinkDown) {
  set(NetworkFaultKind::link_down, "eth0");
  EXPECT_FALSE(view->interfaces()[0].up);
  EXPECT_TRUE(view->interfaces()[1].up);
}

TEST_F(FaultyNetwork, OtherMac) {
  set(NetworkFaultKind::change_mac, "eth0");
  EXPECT_NE(view->interfaces()[0].mac, sim->interfaces()[0].mac);
  EXPECT_EQ(view->interfaces()[0].mac, view->interfaces()[0].mac);
  EXPECT_EQ(view->interfaces()[0].mac[0] & 3, 2) << "unicast, locally administered";
}

TEST_F(FaultyNetwork, MovedNeighbourIsToldAndStaysMoved) {
  const Mac before = *view->neighbour(2, peer_address);
  set(NetworkFaultKind::move_neighbour, "", peer_address);
  ASSERT_EQ(neighbour_changes.size(), 1U);
  EXPECT_NE(neighbour_changes[0], before);
  EXPECT_EQ(view->neighbour(2, peer_address), *neighbour_changes[0]);
  sim->set_neighbour(2, peer_address, before);  // as the kernel tells again and again
  EXPECT_EQ(neighbour_changes.at(1), neighbour_changes[0]);
  view->clear(1);
  EXPECT_EQ(neighbour_changes.at(2), before);
}

TEST_F(FaultyNetwork, SilentNeighbour) {
  set(NetworkFaultKind::silence_neighbour, "", peer_address);
  EXPECT_EQ(errno_of(view->neighbour(2, peer_address)), ENODATA);
  EXPECT_TRUE(view->neighbour(2, IpAddress::v4(0x0A000003)));
  sim->set_neighbour(2, peer_address, Mac{0x02, 9});
  EXPECT_THAT(neighbour_changes, ElementsAre(std::nullopt));
}

}  // namespace
}  // namespace hawser::addr
