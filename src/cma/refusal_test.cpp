// What the connection manager says when it says no.
#include "cma/refusal.hpp"

#include <gtest/gtest.h>

#include "cma/test_world.hpp"

namespace hawser::cma {
namespace {

using Refusals = TwoHosts;

TEST_F(Refusals, NameTheCallTheStateAndTheRule) {
  TestId id(a_);
  ASSERT_TRUE(id->bind_addr(address("10.0.0.1", 7000)));
  const Status early = id->connect(with_qp(1));
  EXPECT_EQ(errno_of(early), EINVAL);
  EXPECT_EQ(early.error().message(),
            "connect on an id in ADDR_BOUND: the route must have been resolved (ROUTE_RESOLVED) [spec 1.4] (Invalid "
            "argument)");
  EXPECT_STREQ(early.error().category().name(), "hawser.cma");
}

TEST_F(Refusals, TellWhosePortItIs) {
  TestId first(a_);
  TestId second(a_);
  ASSERT_TRUE(first->bind_addr(address("10.0.0.1", 7000)));
  const Status taken = second->bind_addr(address("10.0.0.1", 7000));
  EXPECT_EQ(taken.error(), std::errc::address_in_use);
  EXPECT_EQ(taken.error().message().substr(0, 48), "bind_addr on an id in BINDING: another id has th");
  const Status elsewhere = second->bind_addr(address("192.0.2.1", 7000));
  EXPECT_EQ(elsewhere.error(), std::errc::address_not_available);
}

TEST_F(Refusals, AutomaticBindSpeaksOfTheCallThatWanted) {
  TestId id(a_);
  ASSERT_TRUE(id->listen(1));
  EXPECT_EQ(id->listen(1).error().message().substr(0, 25), "listen on an id in LISTEN");
}

TEST(RefusalText, EveryRuleHasOne) {
  for (int rule = 1; rule <= static_cast<int>(Rule::needs_handler_lock); ++rule) {
    const Status status = refuse(EINVAL, Entry::connect, State::idle, static_cast<Rule>(rule));
    EXPECT_NE(status.error().message(), "connect on an id in IDLE (Invalid argument)") << rule;
  }
}

}  // namespace
}  // namespace hawser::cma
