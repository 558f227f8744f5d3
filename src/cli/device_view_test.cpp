#include "cli/device_view.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace hawser::cli {
namespace {

std::vector<verbs::DevicePtr> two_devices() {
  const verbs::InterfaceSnapshot eth0{.index = 2,
                                      .name = "eth0",
                                      .mtu_bytes = 1500,
                                      .up = true,
                                      .addresses = {*IpAddress::parse("10.0.0.1"), *IpAddress::parse("fd00::1")}};
  const verbs::InterfaceSnapshot eth10{.index = 3, .name = "eth10", .mtu_bytes = 9000, .addresses = {}};
  return {std::make_shared<verbs::Device>("hw_eth0", Guid(0x0248571122334455), eth0),
          std::make_shared<verbs::Device>("hw_eth10", Guid(0x0248570000000001), eth10)};
}

agent::HostReport report() {
  agent::ProcessCounters counters;
  counters.packets.bad_icrc = 3;
  counters.cm.duplicates = 4;
  agent::HostReport report;
  report.agent_pid = 42;
  report.agent_counters = {{"doorman", "malformed", 7}};
  report.processes = {{70, "rping", 1, agent::process_counts(agent::to_block(counters))}};
  return report;
}

TEST(DevicesTable, OneLineADevice) {
  EXPECT_EQ(devices_table(two_devices()),
            "DEVICE    INTERFACE  STATE   MTU   ROCE MTU  NODE GUID            GIDS\n"
            "hw_eth0   eth0       ACTIVE  1500  1024      0248:5711:2233:4455  [0] ::ffff:10.0.0.1  [1] fd00::1\n"
            "hw_eth10  eth10      DOWN    9000  4096      0248:5700:0000:0001  -\n");
}

TEST(CountersText, AGroupALine) {
  const std::string text = counters_text(report());
  EXPECT_TRUE(text.starts_with("hawserd, process 42\n  doorman     malformed 7\n\nrping, process 70, slot 1\n"))
      << text;
  EXPECT_NE(text.find("bad ICRC 3, bad P_Key 0, unknown QP 0, unknown address 0, misdirected 0"), std::string::npos)
      << text;
  EXPECT_NE(text.find("duplicates 4, stale 0"), std::string::npos) << text;
}

TEST(CountersText, WithoutAnAgent) {
  EXPECT_EQ(counters_text({}), "no process of this host and user runs over Hawser\n");
}

TEST(DevicesJson, SaysTheSame) {
  const auto host = nlohmann::json::parse(devices_json(two_devices(), report()));
  ASSERT_EQ(host["devices"].size(), 2U);
  EXPECT_EQ(host["devices"][0]["name"], "hw_eth0");
  EXPECT_EQ(host["devices"][0]["roce_mtu"], 1024);
  EXPECT_EQ(host["devices"][0]["gids"][1], (nlohmann::json{{"index", 1}, {"gid", "fd00::1"}}));
  EXPECT_EQ(host["devices"][1]["state"], "DOWN");
  EXPECT_EQ(host["agent"]["counters"]["doorman"]["malformed"], 7);
  EXPECT_EQ(host["processes"][0]["counters"]["packets"]["bad ICRC"], 3);
  EXPECT_EQ(host["processes"][0]["counters"]["cm"]["duplicates"], 4);
  EXPECT_TRUE(nlohmann::json::parse(devices_json({}, {}))["agent"].is_null());
}

}  // namespace
}  // namespace hawser::cli
