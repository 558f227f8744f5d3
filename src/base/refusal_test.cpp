#include "base/refusal.hpp"

#include <gtest/gtest.h>

namespace hawser {
namespace {

class Doors final : public RefusalCategory {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "doors"; }

 private:
  [[nodiscard]] std::string situation(const Refusal& refusal) const override {
    return "operation " + std::to_string(refusal.operation) + " in state " + std::to_string(refusal.state);
  }
  [[nodiscard]] std::string rule(const Refusal& refusal) const override {
    return refusal.rule == 0 ? "" : "rule " + std::to_string(refusal.rule);
  }
};
const Doors doors;

TEST(Refusal, EveryFieldSurvivesPacking) {
  const Refusal extreme{255, 255, 255, 127};
  EXPECT_EQ(Refusal::unpack(extreme.pack()), extreme);
  const Refusal usual{EINVAL, 5, 7, 3};
  EXPECT_EQ(Refusal::unpack(usual.pack()), usual);
}

TEST(Refusal, ComparesAsItsErrno) {
  const Status status = refuse(doors, {EADDRINUSE, 1, 2, 3});
  EXPECT_EQ(errno_of(status), EADDRINUSE);
  EXPECT_EQ(status.error(), std::errc::address_in_use);
  EXPECT_NE(status.error(), std::errc::invalid_argument);
}

TEST(Refusal, SaysWhatInWhichStateAndWhy) {
  const Status status = refuse(doors, {EINVAL, 1, 2, 3});
  EXPECT_EQ(status.error().message(), "operation 1 in state 2: rule 3 (Invalid argument)");
  const Status bare = refuse(doors, {EINVAL, 1, 2, 0});
  EXPECT_EQ(bare.error().message(), "operation 1 in state 2 (Invalid argument)");
}

TEST(Refusal, PlainErrorsKeepTheirErrno) {
  const Status status = fail(ENODEV);
  EXPECT_EQ(errno_of(status), ENODEV);
}

TEST(RefusalDeathTest, WhatDoesNotFitIsABug) {
  EXPECT_DEATH(static_cast<void>(Refusal{0, 1, 1, 1}.pack()), "refusal-out-of-range");
  EXPECT_DEATH(static_cast<void>(Refusal{256, 1, 1, 1}.pack()), "refusal-out-of-range");
}

}  // namespace
}  // namespace hawser
