#include "verbs/device.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hawser::verbs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

InterfaceSnapshot ethernet(std::uint32_t index, std::string name, std::vector<IpAddress> addresses) {
  return {.index = index,
          .name = std::move(name),
          .mac = {2, 0, 0, 0, 0, static_cast<std::uint8_t>(index)},
          .mtu_bytes = 1500,
          .up = true,
          .loopback = false,
          .addresses = std::move(addresses)};
}

InterfaceSnapshot loopback() {
  return {.index = 1,
          .name = "lo",
          .mac = {},
          .mtu_bytes = 65536,
          .up = true,
          .loopback = true,
          .addresses = {ip("127.0.0.1"), ip("::1")}};
}

TEST(RoceMtu, IsTheLargestThatFitsAfterTheHeaders) {  // [spec 1.7.4]
  EXPECT_EQ(roce_mtu(351), std::nullopt);
  EXPECT_EQ(roce_mtu(352), Mtu::mtu_256);
  EXPECT_EQ(roce_mtu(1119), Mtu::mtu_512);
  EXPECT_EQ(roce_mtu(1120), Mtu::mtu_1024);
  EXPECT_EQ(roce_mtu(1500), Mtu::mtu_1024);
  EXPECT_EQ(roce_mtu(4191), Mtu::mtu_2048);
  EXPECT_EQ(roce_mtu(4200), Mtu::mtu_4096);
  EXPECT_EQ(roce_mtu(9000), Mtu::mtu_4096);
  EXPECT_EQ(roce_mtu(65536), Mtu::mtu_4096);
}

TEST(Device, GuidDependsOnHostNameAndMacAndCarriesThePrefix) {
  const auto guid_of = [](std::uint64_t host, const InterfaceSnapshot& interface) {
    DeviceTable table(host);
    table.apply({interface});
    return table.list().at(0)->guid();
  };
  const InterfaceSnapshot eth = ethernet(2, "eth0", {});
  const Guid guid = guid_of(7, eth);
  EXPECT_EQ(guid.value >> 40, 0x024857U);
  EXPECT_EQ(guid, guid_of(7, eth));
  EXPECT_NE(guid, guid_of(8, eth));
  InterfaceSnapshot other_mac = eth;
  other_mac.mac[5] = 9;
  EXPECT_NE(guid, guid_of(7, other_mac));
  EXPECT_NE(guid, guid_of(7, ethernet(2, "eth1", {})));
}

TEST(Device, GidIndicesAreStableAndFreedOnesAreUsedAgain) {
  DeviceTable table(1);
  table.apply({ethernet(2, "eth0", {ip("10.0.0.1"), ip("10.0.0.2"), ip("fe80::2")})});
  const DevicePtr device = table.find("hw_eth0");
  EXPECT_EQ(device->gid_index(ip("10.0.0.2")), 1U);

  table.apply({ethernet(2, "eth0", {ip("fe80::2"), ip("10.0.0.2")})});  // the first went, the order changed
  EXPECT_EQ(device->gid(0), std::nullopt);
  EXPECT_EQ(device->gid_index(ip("10.0.0.2")), 1U);
  EXPECT_EQ(device->gid_index(ip("fe80::2")), 2U);

  table.apply({ethernet(2, "eth0", {ip("fe80::2"), ip("10.0.0.2"), ip("10.0.0.9"), ip("10.0.0.8")})});
  EXPECT_THAT(device->gids(), ElementsAre(GidEntry{0, ip("10.0.0.9")}, GidEntry{1, ip("10.0.0.2")},
                                          GidEntry{2, ip("fe80::2")}, GidEntry{3, ip("10.0.0.8")}));
}

TEST(DeviceTable, TellsWhatChangedInOrder) {
  DeviceTable table(1);
  std::vector<std::pair<std::string, DeviceChange>> told;
  const auto token = table.add_observer([&](const DevicePtr& device, DeviceChange change) {
    told.emplace_back(device->name(), change);
    EXPECT_EQ(device->gone(), change == DeviceChange::removed);
  });
  const auto eth = ethernet(2, "eth0", {ip("10.0.0.1")});

  table.apply({loopback(), eth});
  EXPECT_THAT(told, ElementsAre(std::pair("hw_lo", DeviceChange::added), std::pair("hw_eth0", DeviceChange::added)));
  told.clear();
  table.apply({loopback(), eth});
  EXPECT_THAT(told, IsEmpty());

  auto down = eth;
  down.up = false;
  down.addresses.clear();
  table.apply({loopback(), down});
  EXPECT_THAT(told, ElementsAre(std::pair("hw_eth0", DeviceChange::port_error),
                                std::pair("hw_eth0", DeviceChange::gid_change)));
  EXPECT_EQ(table.find("hw_eth0")->port_state(), PortState::down);
  told.clear();
  auto jumbo = eth;
  jumbo.mtu_bytes = 9000;
  table.apply({loopback(), jumbo});
  EXPECT_THAT(told, ElementsAre(std::pair("hw_eth0", DeviceChange::lid_mtu_change),
                                std::pair("hw_eth0", DeviceChange::gid_change),
                                std::pair("hw_eth0", DeviceChange::port_active)));
  EXPECT_EQ(table.find("hw_eth0")->active_mtu(), Mtu::mtu_4096);
  told.clear();
  auto failed_over = jumbo;
  failed_over.mac[5] ^= 1;
  table.apply({loopback(), failed_over});
  EXPECT_THAT(told, ElementsAre(std::pair("hw_eth0", DeviceChange::mac_change)));
  told.clear();
  table.apply({loopback()});
  EXPECT_THAT(told, ElementsAre(std::pair("hw_eth0", DeviceChange::removed)));
  table.remove_observer(token);
}

TEST(DeviceTable, ARemovedDeviceStaysUsableAndANewInterfaceIsANewDevice) {
  DeviceTable table(1);
  table.apply({ethernet(2, "eth0", {ip("10.0.0.1")})});
  const DevicePtr old = table.find("hw_eth0");
  table.apply({ethernet(5, "eth0", {ip("10.0.0.1")})});
  EXPECT_TRUE(old->gone());
  EXPECT_EQ(old->port_state(), PortState::down);
  EXPECT_EQ(old->gid(0), ip("10.0.0.1"));
  ASSERT_NE(table.find("hw_eth0"), nullptr);
  EXPECT_NE(table.find("hw_eth0"), old);
}

TEST(DeviceTable, RemovalOnPurposeHoldsWhileTheInterfaceStays) {
  DeviceTable table(1);
  const auto eth = ethernet(2, "eth0", {});
  table.apply({eth});
  EXPECT_FALSE(table.remove("hw_eth1"));
  EXPECT_TRUE(table.remove("hw_eth0"));
  table.apply({eth});
  EXPECT_THAT(table.list(), IsEmpty());
  table.apply({});
  table.apply({eth});
  EXPECT_NE(table.find("hw_eth0"), nullptr);
}

TEST(DeviceTable, FindsTheOwnerOfAnAddress) {  // [spec 1.7.2]
  DeviceTable table(1);
  table.apply({loopback(), ethernet(2, "eth0", {ip("10.0.0.1"), ip("fe80::1")}),
               ethernet(3, "eth1", {ip("10.0.1.1"), ip("fe80::1")})});
  EXPECT_EQ(table.find_by_address(ip("10.0.1.1"))->name(), "hw_eth1");
  EXPECT_EQ(table.find_by_address(ip("10.0.1.1"), 1)->name(), "hw_eth1");  // own addresses arrive on lo
  EXPECT_EQ(table.find_by_address(ip("fe80::1"), 3)->name(), "hw_eth1");
  EXPECT_EQ(table.find_by_address(ip("fe80::1"), 2)->name(), "hw_eth0");
  EXPECT_EQ(table.find_by_address(ip("fe80::1"), 9), nullptr);
  EXPECT_EQ(table.find_by_address(ip("::1"))->name(), "hw_lo");
  EXPECT_EQ(table.find_by_address(ip("127.1.2.3"))->name(), "hw_lo");
  EXPECT_EQ(table.find_by_address(ip("10.9.9.9")), nullptr);
}

TEST(DeviceTable, AnObserverMayChangeTheTableAndRemoveItself) {
  DeviceTable table(1);
  std::vector<DeviceChange> told;
  std::uint64_t token = 0;
  token = table.add_observer([&](const DevicePtr& device, DeviceChange change) {
    told.push_back(change);
    if (change == DeviceChange::added) {
      table.remove(device->name());
    } else {
      table.remove_observer(token);
    }
  });
  table.apply({ethernet(2, "eth0", {})});
  table.apply({ethernet(3, "eth1", {})});
  EXPECT_THAT(told, ElementsAre(DeviceChange::added, DeviceChange::removed));
}

}  // namespace
}  // namespace hawser::verbs
