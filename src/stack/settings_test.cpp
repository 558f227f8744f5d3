#include "stack/settings.hpp"

#include <map>
#include <string>

#include <gtest/gtest.h>

namespace hawser::stack {
namespace {

Environment with(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

TEST(Settings, NothingSetIsTheKernelsTiming) {
  const auto timing = request_timing(with({{"HAWSER_CM_RETRIES", ""}}));
  ASSERT_TRUE(timing);
  EXPECT_EQ(timing->response_timeout, 20);
  EXPECT_EQ(timing->retries, 15);
  EXPECT_FALSE(timing->report_unreachable);
}

TEST(Settings, TimingIsRead) {  // [spec 1.14.5, 1.14.6]
  const auto timing = request_timing(
      with({{"HAWSER_CM_RESPONSE_TIMEOUT", "12"}, {"HAWSER_CM_RETRIES", "0"}, {"HAWSER_CM_REPORT_UNREACHABLE", "1"}}));
  ASSERT_TRUE(timing);
  EXPECT_EQ(timing->response_timeout, 12);
  EXPECT_EQ(timing->retries, 0);
  EXPECT_TRUE(timing->report_unreachable);
}

TEST(Settings, NonsenseIsRefusedWithTheNameOfTheVariable) {
  for (const auto& [name, value] : std::map<std::string, std::string>{{"HAWSER_CM_RESPONSE_TIMEOUT", "32"},
                                                                      {"HAWSER_CM_RETRIES", "16"},
                                                                      {"HAWSER_CM_RETRIES ", "-1"},
                                                                      {"HAWSER_CM_REPORT_UNREACHABLE", "yes"}}) {
    const std::string variable = name.substr(0, name.find(' '));
    testing::internal::CaptureStderr();
    EXPECT_EQ(errno_of(request_timing(with({{variable, value}}))), EINVAL);
    EXPECT_NE(testing::internal::GetCapturedStderr().find(variable), std::string::npos);
  }
}

}  // namespace
}  // namespace hawser::stack
