#include "runtime/dispatcher.hpp"

#include <gtest/gtest.h>

namespace hawser::rt {
namespace {

using namespace std::chrono_literals;

class DispatcherTest : public testing::Test {
 protected:
  std::unique_ptr<World> world_ = World::simulated(1);
  Dispatcher dispatcher_{*world_};
};

TEST_F(DispatcherTest, RunsWorkInTheOrderOfPosting) {  // [spec 2.3.2]
  std::string order;
  Work a([&] { order += 'a'; });
  Work b([&] { order += 'b'; });
  EXPECT_TRUE(dispatcher_.post(b));
  EXPECT_TRUE(dispatcher_.post(a));
  EXPECT_FALSE(dispatcher_.post(a)) << "queued already: the caller keeps its reference [spec 4 #27]";
  EXPECT_TRUE(dispatcher_.run());
  EXPECT_EQ(order, "ba");
}

TEST_F(DispatcherTest, TimersRunWhenDueInOrderOfDeadline) {
  std::string order;
  Timer late([&] { order += 'l'; });
  Timer early([&] { order += 'e'; });
  dispatcher_.arm(late, world_->now() + 20ms);
  dispatcher_.arm(early, world_->now() + 10ms);
  EXPECT_TRUE(dispatcher_.run());
  EXPECT_EQ(order, "");
  world_->advance_to(dispatcher_.next_deadline());
  EXPECT_TRUE(dispatcher_.run());
  EXPECT_EQ(order, "e");
  dispatcher_.arm(late, world_->now() + 1ms);  // moves it forward
  world_->advance_to(dispatcher_.next_deadline());
  EXPECT_TRUE(dispatcher_.run());
  EXPECT_EQ(order, "el");
  EXPECT_EQ(dispatcher_.next_deadline(), time_never);
}

TEST_F(DispatcherTest, AFunctionMayEndItsOwnLife) {
  struct Object {
    Object(Dispatcher& d, bool& gone) : gone_(gone), work([this] { delete this; }) { EXPECT_TRUE(d.post(work)); }
    ~Object() { gone_ = true; }
    bool& gone_;
    Work work;
  };
  bool gone = false;
  new Object(dispatcher_, gone);
  EXPECT_TRUE(dispatcher_.run());
  EXPECT_TRUE(gone);
}

TEST_F(DispatcherTest, CancelledWorkDoesNotRunAndCancelFromWithinDoesNotWait) {
  int runs = 0;
  Work work([&] {
    ++runs;
    EXPECT_FALSE(dispatcher_.cancel_sync(work));
  });
  EXPECT_TRUE(dispatcher_.post(work));
  EXPECT_TRUE(dispatcher_.cancel_sync(work));
  EXPECT_TRUE(dispatcher_.run());
  EXPECT_EQ(runs, 0);
  EXPECT_TRUE(dispatcher_.post(work));
  EXPECT_TRUE(dispatcher_.run());
  EXPECT_EQ(runs, 1);
}

TEST_F(DispatcherTest, OnlyOneThreadDispatches) {  // [spec 2.3.1]
  bool nested = true;
  Work work([&] { nested = dispatcher_.run(); });
  EXPECT_TRUE(dispatcher_.post(work));
  EXPECT_TRUE(dispatcher_.run());
  EXPECT_FALSE(nested);
}

TEST_F(DispatcherTest, NotifiesOnlyOutsideTheRole) {
  int notified = 0;
  dispatcher_.set_notify([&] { ++notified; });
  Work inner([] {});
  Work outer([&] { EXPECT_TRUE(dispatcher_.post(inner)); });
  EXPECT_TRUE(dispatcher_.post(outer));
  EXPECT_EQ(notified, 1);
  EXPECT_TRUE(dispatcher_.run());
  EXPECT_EQ(notified, 1);
}

}  // namespace
}  // namespace hawser::rt
