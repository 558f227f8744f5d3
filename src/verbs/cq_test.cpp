#include "verbs/cq.hpp"

#include <fcntl.h>
#include <poll.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hawser::verbs {
namespace {

bool readable(const EventFd& fd) {
  pollfd descriptor{.fd = fd.fd(), .events = POLLIN, .revents = 0};
  return poll(&descriptor, 1, 0) == 1;
}

roce::Completion completion(std::uint64_t id, bool solicited = false) {
  roce::Completion c;
  c.wr_id = id;
  c.solicited = solicited;
  return c;
}

class CqTest : public testing::Test {
 protected:
  AsyncEvents events{*EventFd::create()};
  std::shared_ptr<CompChannel> channel = *CompChannel::create();
  Cq cq{events, channel, 4};
};

TEST_F(CqTest, GivesCompletionsInOrder) {
  for (std::uint64_t i = 0; i < 3; ++i) EXPECT_TRUE(cq.push(completion(i), Qpn(9)));
  std::vector<std::uint64_t> ids;
  const auto visit = [&](const CqEntry& entry) { ids.push_back(entry.completion.wr_id); };
  EXPECT_EQ(cq.poll(2, visit), 2);
  EXPECT_EQ(cq.poll(2, visit), 1);
  EXPECT_EQ(cq.poll(2, visit), 0);
  EXPECT_THAT(ids, testing::ElementsAre(0, 1, 2));
}

TEST_F(CqTest, NotifiesOncePerRequest) {
  cq.push(completion(0), Qpn(9));
  EXPECT_FALSE(readable(channel->fd()));  // nobody asked
  cq.request_notification(false);
  EXPECT_FALSE(readable(channel->fd()));  // what was there before does not count
  cq.push(completion(1), Qpn(9));
  cq.push(completion(2), Qpn(9));
  EXPECT_TRUE(readable(channel->fd()));
  EXPECT_EQ(channel->take(), &cq);
  EXPECT_EQ(channel->take(), nullptr);
  EXPECT_FALSE(readable(channel->fd()));
  channel->acknowledge(cq, 1);
}

TEST_F(CqTest, SolicitedRequestsIgnoreOrdinaryCompletionsButNotErrors) {
  cq.request_notification(true);
  cq.push(completion(0), Qpn(9));
  EXPECT_FALSE(channel->pending());
  cq.push(completion(1, true), Qpn(9));
  EXPECT_EQ(channel->take(), &cq);
  cq.request_notification(true);
  roce::Completion error = completion(2);
  error.status = roce::WcStatus::wr_flush_err;
  cq.push(error, Qpn(9));
  EXPECT_EQ(channel->take(), &cq);
  cq.request_notification(false);
  cq.request_notification(true);  // does not narrow the first
  cq.push(completion(3), Qpn(9));
  EXPECT_EQ(channel->take(), &cq);
  channel->acknowledge(cq, 3);
}

TEST_F(CqTest, OverrunIsToldOnceAndLosesOnlyWhatDoesNotFit) {
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_TRUE(cq.push(completion(i), Qpn(9)));
  EXPECT_FALSE(cq.push(completion(4), Qpn(9)));
  EXPECT_FALSE(cq.push(completion(5), Qpn(9)));
  EXPECT_EQ(cq.poll(10, [](const CqEntry&) {}), 4);
  const auto event = events.take();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, AsyncEventType::cq_err);
  EXPECT_EQ(event->source, &cq);
  EXPECT_FALSE(events.take());
  events.acknowledge(cq);
}

TEST_F(CqTest, ResizesNotBelowWhatIsInIt) {
  for (std::uint64_t i = 0; i < 4; ++i) cq.push(completion(i), Qpn(9));
  EXPECT_EQ(errno_of(cq.resize(3)), EINVAL);
  EXPECT_TRUE(cq.resize(5));
  EXPECT_TRUE(cq.push(completion(4), Qpn(9)));
  EXPECT_FALSE(cq.push(completion(5), Qpn(9)));
  EXPECT_EQ(cq.poll(10, [](const CqEntry&) {}), 5);
}

TEST_F(CqTest, ClosingDropsQueuedEventsAndWaitsForTakenOnes) {
  cq.request_notification(false);
  cq.push(completion(0), Qpn(9));
  ASSERT_EQ(channel->take(), &cq);
  cq.request_notification(false);
  cq.push(completion(1), Qpn(9));
  std::atomic<bool> closed{false};
  std::thread closer([&] {
    EXPECT_TRUE(cq.close());
    closed = true;
  });
  while (channel->pending()) std::this_thread::yield();  // the queued one has been dropped: the closer is inside
  EXPECT_FALSE(closed);
  EXPECT_FALSE(readable(channel->fd()));
  channel->acknowledge(cq, 1);
  closer.join();
  EXPECT_TRUE(closed);
}

// A queue pair that is destroyed in the middle of a datagram holds its queues until that is done.
TEST_F(CqTest, ItsChannelIsFreeOnceItIsClosedWhoeverStillHoldsIt) {
  auto held = std::make_shared<Cq>(events, channel, 4);
  const std::uint32_t users = channel->users.load();
  EXPECT_TRUE(held->close());
  EXPECT_EQ(channel->users.load(), users - 1);
  held.reset();
  EXPECT_EQ(channel->users.load(), users - 1);
}

TEST_F(CqTest, IsBusyWhileQueuePairsUseIt) {
  ++cq.users;
  EXPECT_EQ(errno_of(cq.close()), EBUSY);
  --cq.users;
  EXPECT_TRUE(cq.close());
}

TEST(EventFd, SeesWhatTheProgramSetsOnIt) {
  const EventFd fd = *EventFd::create();
  EXPECT_FALSE(fd.non_blocking());
  fcntl(fd.fd(), F_SETFL, fcntl(fd.fd(), F_GETFL) | O_NONBLOCK);
  EXPECT_TRUE(fd.non_blocking());
}

}  // namespace
}  // namespace hawser::verbs
