#include "cli/fault_view.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace hawser::cli {
namespace {

const std::vector<agent::FaultInfo> faults{
    {.number = 1, .target = {}, .processes = 2, .effects = 1, .fault = "drop=REQ:nth=1"},
    {.number = 2, .target = {42, ""}, .processes = 1, .effects = 0, .fault = "remove=hw_eth0"},
    {.number = 3, .target = {0, "rping"}, .processes = 0, .effects = 7, .fault = "end-timewait"}};

TEST(FaultView, Table) {
  EXPECT_EQ(faults_table(faults),
            "NUMBER  FAULT           FOR            PROCESSES  EFFECTS\n"
            "1       drop=REQ:nth=1  every process  2          1\n"
            "2       remove=hw_eth0  process 42     1          0\n"
            "3       end-timewait    rping          0          7\n");
}

TEST(FaultView, Json) {
  const auto json = nlohmann::json::parse(faults_json(faults))["faults"];
  EXPECT_EQ(json[0]["fault"], "drop=REQ:nth=1");
  EXPECT_TRUE(json[0]["pid"].is_null() && json[0]["program"].is_null());
  EXPECT_EQ(json[1]["pid"], 42);
  EXPECT_EQ(json[2]["program"], "rping");
  EXPECT_EQ(json[2]["effects"], 7);
}

TEST(FaultView, CountsInWords) {
  EXPECT_EQ(process_count(0), "0 processes");
  EXPECT_EQ(process_count(1), "1 process");
}

}  // namespace
}  // namespace hawser::cli
