#include "hawser/channel.hpp"

#include <poll.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/test_hosts.hpp"

namespace hawser {
namespace {

using enum CmEventType;

// Programs that fetch their events: straight-line code, which makes virtual time pass by waiting.
class ApiChannel : public TwoSimulatedHosts {
 protected:
  static bool readable(const EventChannel& channel) {
    pollfd entry{channel.fd(), POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1;
  }
  Id listen(int backlog) {
    Id id = *from_b_.create_id();
    EXPECT_TRUE(id.bind_addr(socket_address("10.0.0.2", 7471)));
    EXPECT_TRUE(id.listen(backlog));
    return id;
  }
  Id connecting() {
    Id id = *from_a_.create_id();
    EXPECT_TRUE(id.resolve_addr(nullptr, to_b_, 2s));
    EXPECT_EQ(from_a_.get_event()->type, addr_resolved);
    EXPECT_TRUE(id.resolve_route(2s));
    EXPECT_EQ(from_a_.get_event()->type, route_resolved);
    ends_.push_back(Endpoint::make(a_, id));
    EXPECT_TRUE(id.connect({.private_data = bytes_of("hello")}));
    return id;
  }

  EventChannel from_a_ = *EventChannel::create(a_);
  EventChannel from_b_ = *EventChannel::create(b_);
  std::vector<std::unique_ptr<Endpoint>> ends_;
};

TEST_F(ApiChannel, ConnectsInAStraightLine) {
  const Id listener = listen(4);
  Id client = connecting();
  auto request = from_b_.get_event();
  ASSERT_TRUE(request) << request.error().message();
  ASSERT_EQ(request->type, connect_request);
  EXPECT_EQ(request->listener(), listener);
  EXPECT_EQ(text_of(request->private_data), "hello");
  Id child = request->take_id();
  EXPECT_EQ(request->id(), child);
  ends_.push_back(Endpoint::make(b_, child));
  ASSERT_TRUE(child.accept({}));
  const auto connected = from_a_.get_event();
  EXPECT_EQ(connected->type, established);
  EXPECT_EQ(connected->id(), client);
  EXPECT_EQ(from_b_.get_event()->type, established);
  ASSERT_TRUE(client.disconnect());
  EXPECT_EQ(from_b_.get_event()->type, disconnected);
  ASSERT_TRUE(child.disconnect());
  EXPECT_EQ(from_a_.get_event()->type, disconnected);
}

TEST_F(ApiChannel, SaysThatNothingWillComeAnyMore) {
  EXPECT_EQ(errno_of(from_a_.try_get_event()), EAGAIN);
  EXPECT_EQ(errno_of(from_a_.get_event()), EDEADLK);
  EXPECT_FALSE(readable(from_a_));
}

TEST_F(ApiChannel, IsReadableWhileThereAreEvents) {
  Id id = *from_a_.create_id();
  ASSERT_TRUE(id.resolve_addr(nullptr, to_b_, 2s));
  simulation_.run();
  EXPECT_TRUE(readable(from_a_));
  EXPECT_EQ(from_a_.try_get_event()->type, addr_resolved);
  EXPECT_FALSE(readable(from_a_));
}

TEST_F(ApiChannel, DropsTheEventsOfAnIdThatEnds) {
  Id id = *from_a_.create_id();
  Id other = *from_a_.create_id();
  ASSERT_TRUE(id.resolve_addr(nullptr, to_b_, 2s));
  ASSERT_TRUE(other.resolve_addr(nullptr, to_b_, 2s));
  simulation_.run();
  id.destroy();
  const auto event = from_a_.try_get_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->id(), other);
  EXPECT_EQ(errno_of(from_a_.try_get_event()), EAGAIN);
}

TEST_F(ApiChannel, AFullBacklogLeavesRequestsUnanswered) {
  const Id listener = listen(1);
  const Id first = connecting();
  const Id second = connecting();
  simulation_.run_for(1s);
  auto request = from_b_.try_get_event();
  ASSERT_TRUE(request);
  EXPECT_EQ(errno_of(from_b_.try_get_event()), EAGAIN) << "the second has found no place";
  simulation_.run_for(10s);
  EXPECT_TRUE(from_b_.try_get_event()) << "and has asked again";
}

TEST_F(ApiChannel, UnfetchedRequestsEndWithTheirListener) {
  Id listener = listen(4);
  const Id client = connecting();
  simulation_.run_for(1s);
  listener.destroy();
  const auto answer = from_a_.get_event();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->type, rejected);
  EXPECT_EQ(errno_of(from_b_.try_get_event()), EAGAIN);
}

TEST_F(ApiChannel, UnfetchedRequestsEndWithTheChannel) {
  const Id listener = listen(4);
  const Id client = connecting();
  simulation_.run_for(1s);
  from_b_ = *EventChannel::create(b_);
  EXPECT_EQ(from_a_.get_event()->type, rejected);
}

}  // namespace
}  // namespace hawser
