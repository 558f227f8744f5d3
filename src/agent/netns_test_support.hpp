// Tests with real sockets run in a network namespace of their own, in a child process: nothing of the host is touched.
#pragma once

#include <functional>
#include <string>

namespace hawser::agent::testing {

// Runs `body` in a forked child inside a new network namespace whose `lo` is up. `body` returns an empty string or what
// went wrong. nullopt-like: "skip: …" when the machine allows no namespaces.
[[nodiscard]] std::string in_own_netns(const std::function<std::string()>& body);

}  // namespace hawser::agent::testing

// Inside a GoogleTest: skips where no namespace can be had, fails with the child's explanation.
#define HW_RUN_IN_NETNS(...)                                                         \
  do {                                                                               \
    const std::string outcome = ::hawser::agent::testing::in_own_netns(__VA_ARGS__); \
    if (outcome.starts_with("skip: ")) GTEST_SKIP() << outcome;                      \
    EXPECT_EQ(outcome, "");                                                          \
  } while (false)

// Inside such a body: ends it with an explanation.
#define HW_EXPECT(condition)                                                                             \
  do {                                                                                                   \
    if (!(condition)) return std::string(__FILE__ ":") + std::to_string(__LINE__) + ": not " #condition; \
  } while (false)
