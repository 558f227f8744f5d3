#include "agent/port_registry.hpp"

#include <gtest/gtest.h>

#include "cma/port_table.hpp"

namespace hawser::agent {
namespace {

class PortRegistryTest : public testing::Test {
 protected:
  cma::PortRequest request(const char* address, std::uint32_t scope = 0) {
    cma::PortRequest request;
    request.source.ip = *IpAddress::parse(address);
    request.source.family = request.source.ip.is_v4() ? Family::inet : Family::inet6;
    request.source.port = 7471;
    request.source.scope_id = scope;
    return request;
  }
  void listen(std::uint32_t slot, const cma::PortRequest& request) {
    ASSERT_TRUE(registry_.bind(slot, 1, request));
    ASSERT_TRUE(registry_.listen(slot, 1));
  }
  std::optional<std::uint32_t> listener(const char* address, std::uint32_t interface) {
    return registry_.listener(ServiceId(0x01060000U | 7471), *IpAddress::parse(address), interface);
  }

  std::unique_ptr<rt::World> world_ = rt::World::simulated(7);
  cma::PortTable table_{*world_, [] { return std::pair<std::uint16_t, std::uint16_t>(40000, 40999); }};
  PortRegistry registry_{table_};
};

TEST_F(PortRegistryTest, ListenersAtOneLinkLocalAddressAreToldApartByTheInterface) {  // [spec 1.9.4, 4 #35]
  listen(1, request("fe80::1", 2));
  listen(2, request("fe80::1", 3));
  listen(3, request("fe80::2", 2));
  EXPECT_EQ(listener("fe80::1", 2), 1U);
  EXPECT_EQ(listener("fe80::1", 3), 2U);
  EXPECT_EQ(listener("fe80::2", 2), 3U);
}

TEST_F(PortRegistryTest, TheBestAddressListens) {  // [spec 1.9.4]
  cma::PortRequest six = request("::");
  six.v6_only = true;
  listen(1, six);
  listen(2, request("0.0.0.0"));
  EXPECT_EQ(listener("fe80::1", 3), 1U);
  EXPECT_EQ(listener("10.0.0.1", 3), 2U);
}

}  // namespace
}  // namespace hawser::agent
