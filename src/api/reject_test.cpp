#include "hawser/reject.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hawser {
namespace {

TEST(RejectReasons, HaveTheKernelsNames) {
  EXPECT_EQ(name(RejectReason::invalid_service_id), "invalid service ID");
  EXPECT_EQ(name(RejectReason::consumer_defined), "consumer defined");
  EXPECT_EQ(name(RejectReason::stale_connection), "stale connection");
  EXPECT_EQ(name(static_cast<RejectReason>(34)), "reserved");
}

TEST(RejectReasons, ExplainThemselves) {
  EXPECT_EQ(explain(RejectReason::invalid_service_id),
            "invalid service ID (8): nobody listens on this port there, or not on this address or in this port space");
  EXPECT_EQ(explain(static_cast<RejectReason>(99)), "reject reason 99, which has no meaning in the specification");
}

TEST(RejectReasons, AllOfTheSpecificationAreThere) {
  for (int number = 1; number <= 35; ++number) {
    if (number == 34) continue;  // not assigned
    const auto reason = static_cast<RejectReason>(number);
    EXPECT_NE(name(reason), "reserved") << number;
    EXPECT_THAT(explain(reason), testing::HasSubstr("(" + std::to_string(number) + ")"));
    EXPECT_EQ(is_consumer_reject(reason), number == 28);
  }
}

}  // namespace
}  // namespace hawser
