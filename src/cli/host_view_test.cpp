#include "cli/host_view.hpp"

#include <algorithm>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace hawser::cli {
namespace {

agent::IdInfo id(int pid, std::string program, std::uint8_t state, const char* source, std::uint16_t port) {
  agent::IdInfo info;
  info.pid = pid;
  info.program = std::move(program);
  const IpAddress address = *IpAddress::parse(source);
  info.record.cma_state = state;
  info.record.port_space = 0x0106;
  info.record.source_family = static_cast<std::uint8_t>(address.is_v4() ? Family::inet : Family::inet6);
  std::ranges::copy(address.bytes, info.record.source);
  info.record.source_port = port;
  return info;
}

std::string interface_name(std::uint32_t index) { return index == 2 ? "eth0" : ""; }

TEST(IdsTable, HeadingsAloneWhenThereIsNothing) {
  EXPECT_EQ(ids_table({}, interface_name),
            "STATE  CONNECTION  SPACE  SOURCE  DESTINATION  INTERFACE  QPN  PID  ID  PROGRAM\n");
}

TEST(IdsTable, ColumnsLineUpAndProcessesStayTogether) {
  agent::HostReport report;
  report.ids = {id(70, "rping", 5, "10.0.0.1", 33000), id(8, "tgtd", 8, "fd00::1", 7471)};
  report.ids[0].record.device_interface = 2;
  report.ids[0].record.local_qpn = 0x12345;
  report.ids[0].record.number = 3;
  report.ids[0].record.cm_state = 10;
  EXPECT_EQ(ids_table(report, interface_name),
            "STATE    CONNECTION   SPACE  SOURCE          DESTINATION  INTERFACE  QPN       PID  ID  PROGRAM\n"
            "LISTEN   -            TCP    [fd00::1]:7471  -            -          -         8    0   tgtd\n"
            "CONNECT  ESTABLISHED  TCP    10.0.0.1:33000  -            eth0       0x012345  70   3   rping\n");
}

TEST(IdsTable, NumbersThatNobodyKnowsAreShownAsNumbers) {
  agent::HostReport report;
  report.ids = {id(1, "x", 77, "10.0.0.1", 1)};
  report.ids[0].record.port_space = 0x0999;
  EXPECT_NE(ids_table(report, interface_name).find("UNKNOWN  -           0x0999"), std::string::npos);
}

TEST(IdsJson, SaysTheSame) {
  agent::HostReport report;
  report.agent_pid = 42;
  report.ids = {id(8, "tgtd", 8, "0.0.0.0", 7471)};
  const auto host = nlohmann::json::parse(ids_json(report, interface_name));
  EXPECT_EQ(host["agent_pid"], 42);
  ASSERT_EQ(host["ids"].size(), 1U);
  EXPECT_EQ(host["ids"][0]["state"], "LISTEN");
  EXPECT_EQ(host["ids"][0]["connection"], "");
  EXPECT_EQ(host["ids"][0]["source"], "0.0.0.0:7471");
  EXPECT_EQ(host["ids"][0]["pid"], 8);
  EXPECT_EQ(host["ids"][0]["program"], "tgtd");
}

TEST(IdsJson, ProgramNamesNeedNotBeText) {
  agent::HostReport report;
  report.ids = {id(8, "a\"\n\xff", 8, "0.0.0.0", 7471)};
  EXPECT_TRUE(nlohmann::json::accept(ids_json(report, interface_name)));
}

}  // namespace
}  // namespace hawser::cli
