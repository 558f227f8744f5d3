// Over the Stack of libibverbs' tests.
#include "abi/rdmacm/opened_devices.hpp"

#include <gtest/gtest.h>

#include "stack/stack.hpp"

namespace hawser::abi::rdmacm {
namespace {

verbs::InterfaceSnapshot ethernet(std::uint32_t index) {
  return {.index = index,
          .name = "eth" + std::to_string(index),
          .mac = {2, 0, 0, 0, 0, 9},
          .mtu_bytes = 1500,
          .up = true,
          .loopback = false,
          .addresses = {*IpAddress::parse("10.0.9.1")}};
}

class OpenedDevicesTest : public testing::Test {
 protected:
  // The interfaces of the Stack, and one of ours.
  void apply(bool with_ours) {
    std::vector<verbs::InterfaceSnapshot> interfaces;
    for (const verbs::DevicePtr& device : table_.list()) {
      if (device->interface_index() == ours_.index) continue;
      verbs::InterfaceSnapshot other = ethernet(device->interface_index());
      other.name = device->interface_name();
      other.addresses = {*device->gid(0)};
      interfaces.push_back(other);
    }
    if (with_ours) interfaces.push_back(ours_);
    table_.apply(interfaces);
  }
  OpenedDevicesTest() { apply(true); }
  ~OpenedDevicesTest() override { apply(false); }

  const verbs::InterfaceSnapshot ours_ = ethernet(9);
  verbs::DeviceTable& table_ = (*stack::process_stack())->devices();
  OpenedDevices opened_;
};

TEST_F(OpenedDevicesTest, OneContextForADevice) {
  const auto device = table_.find("hw_eth9");
  const auto first = opened_.open(device);
  ASSERT_TRUE(first);
  EXPECT_EQ(*opened_.open(device), *first);
  EXPECT_EQ((*first)->device, device);
}

TEST_F(OpenedDevicesTest, NoneForADeviceThatHasGoneThoughItsNameIsThereAgain) {
  const auto gone = table_.find("hw_eth9");
  apply(false);
  EXPECT_EQ(errno_of(opened_.open(gone)), ENODEV);
  apply(true);
  EXPECT_EQ(errno_of(opened_.open(gone)), ENODEV);
  const auto successor = opened_.open(table_.find("hw_eth9"));
  ASSERT_TRUE(successor);
  EXPECT_NE((*successor)->device, gone);
}

}  // namespace
}  // namespace hawser::abi::rdmacm
