#include "cma/state.hpp"

#include "cma/core.hpp"
#include "cma/test_world.hpp"

namespace hawser::cma {

// The state is private to the id: this is the friend that shows what would compile.
struct IdTestAccess {
  template <State From, State To>
  static constexpr bool moves = requires(Id& id) { id.move<From, To>(); };
  template <State To>
  static constexpr bool claims = requires(Id& id) { id.claim<To>(); };
};

// A legal transition compiles, an illegal one does not [spec 1.2.3, 2.2.5, 2.4.2, 3.2 I2].
static_assert(IdTestAccess::moves<State::idle, State::binding>);
static_assert(IdTestAccess::moves<State::route_resolved, State::connect>);
static_assert(!IdTestAccess::moves<State::idle, State::addr_bound>, "ADDR_BOUND is published only when true");
static_assert(!IdTestAccess::moves<State::addr_query, State::addr_resolved>, "so is ADDR_RESOLVED");
static_assert(!IdTestAccess::moves<State::idle, State::connect>);
static_assert(!IdTestAccess::moves<State::disconnect, State::connect>, "an id connects once");
static_assert(!IdTestAccess::moves<State::connect, State::destroying>, "that is a claim");
static_assert(IdTestAccess::claims<State::destroying>);
static_assert(IdTestAccess::claims<State::device_removal>);
static_assert(!IdTestAccess::claims<State::idle>);

namespace {

TEST(StateTest, WhoeverClaimsFirstFindsTheOldState) {  // [spec 2.5.4, 7 I15]
  using enum State;
  for (const State state : {idle, binding, addr_bound, addr_query, resolving, addr_resolved, route_query,
                            route_resolved, connect, disconnect, listen}) {
    EXPECT_TRUE(claimable(state, device_removal)) << name(state);
    EXPECT_TRUE(claimable(state, destroying)) << name(state);
    EXPECT_FALSE(legal(state, destroying)) << name(state);
  }
  EXPECT_FALSE(claimable(device_removal, device_removal));
  EXPECT_FALSE(claimable(destroying, device_removal));
  EXPECT_FALSE(claimable(destroying, destroying));
  EXPECT_TRUE(claimable(device_removal, destroying));
}

TEST(StateTest, StableStatesAreThoseOfTheContract) {  // [spec 2.2.7, 2.4.1, 3.1 I1]
  using enum State;
  for (const auto& [from, to, by] : transitions) {
    const bool guarded = from == connect || to == connect || from == listen || to == listen || to == disconnect;
    EXPECT_EQ(needs_handler_mutex(from, to), guarded) << name(from) << " to " << name(to);
  }
}

TEST(StateTest, EveryStateThatIsLeftCanBeEntered) {
  for (const auto& [from, to, by] : transitions) {
    EXPECT_NE(std::string(by), "");
    const bool entered =
        from == State::idle || std::ranges::any_of(transitions, [f = from](const Transition& t) { return t.to == f; });
    EXPECT_TRUE(entered) << name(from);
    EXPECT_NE(std::string(name(to)), "UNKNOWN");
  }
}

TEST(StateTest, TransitionalStatesShowAsWhatTheyComeFrom) {  // [spec 1.2.1]
  EXPECT_EQ(public_number(State::binding), 0);
  EXPECT_EQ(public_number(State::resolving), 1);
  EXPECT_EQ(public_number(State::destroying), 10);
}

}  // namespace
}  // namespace hawser::cma
