#include <atomic>
#include <thread>

#include <gmock/gmock.h>

#include "ucm/test_channels.hpp"

namespace hawser::ucm {
namespace {

using cma::EventType;
using testing::ElementsAre;

TEST_F(UcmTest, CreateKnowsFourPortSpacesAndTheirQpTypes) {  // [spec 1.8.2, 6.2 #0]
  EXPECT_EQ(errno_of(ucm_.create_id(file_, 1, static_cast<cma::PortSpace>(0x0107), cma::QpType::rc)), EINVAL);
  ASSERT_TRUE(ucm_.create_id(file_, 1, cma::PortSpace::tcp, cma::QpType::uc));
  EXPECT_EQ(cma_.last().qp_type, cma::QpType::rc);
  ASSERT_TRUE(ucm_.create_id(file_, 1, cma::PortSpace::udp, cma::QpType::rc));
  EXPECT_EQ(cma_.last().qp_type, cma::QpType::ud);
  ASSERT_TRUE(ucm_.create_id(file_, 1, cma::PortSpace::ipoib, cma::QpType::rc));
  EXPECT_EQ(cma_.last().qp_type, cma::QpType::ud);
  ASSERT_TRUE(ucm_.create_id(file_, 1, cma::PortSpace::ib, cma::QpType::uc));
  EXPECT_EQ(cma_.last().qp_type, cma::QpType::uc);
}

TEST_F(UcmTest, AHandleWorksOnItsOwnChannelOnly) {  // [spec 2.8.1, 6.2 #1]
  const auto [id, impl] = new_id(1);
  EXPECT_EQ(errno_of(ucm_.bind(*file_, id + 1, {})), ENOENT);
  EXPECT_EQ(errno_of(ucm_.bind(*other_, id, {})), EINVAL);
  EXPECT_EQ(errno_of(ucm_.destroy_id(*other_, id)), EINVAL);
  EXPECT_TRUE(ucm_.bind(*file_, id, {}));
  ASSERT_TRUE(ucm_.destroy_id(*file_, id));
  EXPECT_EQ(errno_of(ucm_.destroy_id(*file_, id)), ENOENT);
  EXPECT_EQ(errno_of(ucm_.bind(*file_, id, {})), ENOENT);
}

TEST_F(UcmTest, CommandsThatNeedADeviceRefuseAnUnboundId) {  // [spec 6.2 #4-6.2 #6, 6.2 #9-6.2 #11, 6.2 #15]
  const auto id = ucm_.create_id(file_, 1, cma::PortSpace::tcp, cma::QpType::rc);
  ASSERT_TRUE(id);
  EXPECT_EQ(errno_of(ucm_.resolve_route(*file_, *id, {})), EINVAL);
  EXPECT_EQ(errno_of(ucm_.connect(*file_, *id, {})), EINVAL);
  EXPECT_EQ(errno_of(ucm_.accept(*file_, *id, 1, {})), EINVAL);
  EXPECT_EQ(errno_of(ucm_.accept_response(*file_, *id)), EINVAL);
  EXPECT_EQ(errno_of(ucm_.reject(*file_, *id, 0, {})), EINVAL);
  EXPECT_EQ(errno_of(ucm_.disconnect(*file_, *id)), EINVAL);
  EXPECT_EQ(errno_of(ucm_.init_qp_attr(*file_, *id, cm::QpTarget::init)), EINVAL);
  EXPECT_EQ(errno_of(ucm_.notify(*file_, *id, 4)), EINVAL);
  EXPECT_TRUE(cma_.last().calls.empty());
  EXPECT_TRUE(ucm_.query_route(*file_, *id));
}

TEST_F(UcmTest, ValuesAreCheckedAndPassedOn) {  // [spec 6.2 #2, 6.2 #6, 6.2 #7, 6.2 #9]
  const auto [id, impl] = new_id(1);
  cma::ConnParam param;
  param.qpn = Qpn(0xAB123456);
  ASSERT_TRUE(ucm_.connect(*file_, id, param));
  EXPECT_EQ(impl->last_param.qpn.value, 0x123456U);  // [spec 4 #47]
  ASSERT_TRUE(ucm_.reject(*file_, id, 0, {}));
  EXPECT_EQ(impl->last_reason, 28);
  ASSERT_TRUE(ucm_.reject(*file_, id, 35, {}));
  EXPECT_EQ(impl->last_reason, 35);
  EXPECT_EQ(errno_of(ucm_.reject(*file_, id, 8, {})), EINVAL);
  EXPECT_EQ(errno_of(ucm_.notify(*file_, id, 5)), EINVAL);
  EXPECT_TRUE(ucm_.notify(*file_, id, 4));
  ASSERT_TRUE(ucm_.listen(*file_, id, 0));
  ASSERT_TRUE(ucm_.listen(*file_, id, 100'000));
  ASSERT_TRUE(ucm_.listen(*file_, id, 3));
  EXPECT_THAT(impl->calls,
              ElementsAre("connect", "reject", "reject", "notify", "listen 1024", "listen 1024", "listen 3"));
  impl->error = EADDRINUSE;
  EXPECT_EQ(errno_of(ucm_.bind(*file_, id, {})), EADDRINUSE);
}

TEST_F(UcmTest, EventsArriveInOrderAndTheNotifierFollowsTheQueue) {  // [spec 6.2 #25]
  const auto [a, a_impl] = new_id(11);
  const auto [b, b_impl] = new_id(12);
  EXPECT_FALSE(ucm_.get_event(file_));
  EXPECT_FALSE(pending_[0]);
  EXPECT_EQ(a_impl->deliver(EventType::addr_resolved), 0);
  EXPECT_EQ(b_impl->deliver(EventType::addr_error, -ETIMEDOUT), 0);
  EXPECT_TRUE(pending_[0]);
  auto event = ucm_.get_event(file_);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->uid, 11U);
  EXPECT_EQ(event->id, a);
  EXPECT_EQ(event->type, EventType::addr_resolved);
  EXPECT_TRUE(pending_[0]);
  event = ucm_.get_event(file_);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->uid, 12U);
  EXPECT_EQ(event->status, -ETIMEDOUT);
  EXPECT_FALSE(pending_[0]);
  EXPECT_EQ(ucm_.destroy_id(*file_, b), 1U);
}

class UcmMulticastTest : public UcmTest {
 protected:
  int tell(cma::Id& impl, std::size_t membership, EventType type = EventType::multicast_join) {
    cma::Event event;
    event.type = type;
    event.membership_context = impl.memberships[membership];
    return impl.deliver(event);
  }
};

TEST_F(UcmMulticastTest, AMembershipHasAHandleAndCountsItsEvents) {  // [spec 6.2 #16, #17, #25]
  const auto [id, impl] = new_id(5);
  EXPECT_EQ(errno_of(ucm_.join_multicast(*file_, id, {}, 50, 2)), EINVAL);
  EXPECT_EQ(errno_of(ucm_.join_multicast(*other_, id, {}, 50, 0)), EINVAL);
  const auto one = ucm_.join_multicast(*file_, id, {}, 50, 0);
  const auto two = ucm_.join_multicast(*file_, id, {}, 51, 1);
  ASSERT_TRUE(one && two);
  EXPECT_THAT(impl->calls, ElementsAre("join", "join send-only"));
  tell(*impl, 0);
  tell(*impl, 1);
  tell(*impl, 1, EventType::multicast_error);
  const auto event = ucm_.get_event(file_);
  EXPECT_EQ(event->uid, 50U);
  EXPECT_EQ(event->id, *one);
  EXPECT_EQ(event->owner, id);
  EXPECT_EQ(ucm_.get_event(file_)->uid, 51U);
  EXPECT_EQ(errno_of(ucm_.leave_multicast(*other_, *two)), EINVAL);
  EXPECT_EQ(errno_of(ucm_.leave_multicast(*file_, id)), ENOENT) << "no handle of a membership";
  EXPECT_EQ(ucm_.leave_multicast(*file_, *two), 1U);
  EXPECT_EQ(impl->calls.back(), "leave 2");
  EXPECT_FALSE(pending_[0]) << "its other event went with it";
  EXPECT_EQ(errno_of(ucm_.leave_multicast(*file_, *two)), ENOENT);
  EXPECT_EQ(ucm_.destroy_id(*file_, id), 2U) << "both count for the id too";
  EXPECT_EQ(errno_of(ucm_.leave_multicast(*file_, *one)), ENOENT);
}

TEST_F(UcmMulticastTest, MembershipsMigrateWithTheirId) {
  const auto [id, impl] = new_id(5);
  const auto membership = ucm_.join_multicast(*file_, id, {}, 50, 0);
  tell(*impl, 0);
  tell(*impl, 0, EventType::multicast_error);
  ASSERT_TRUE(ucm_.get_event(file_));
  EXPECT_EQ(ucm_.migrate_id(other_, *file_, id), 1U);
  EXPECT_EQ(errno_of(ucm_.leave_multicast(*file_, *membership)), EINVAL);
  EXPECT_EQ(ucm_.get_event(other_)->uid, 50U);
  EXPECT_EQ(ucm_.leave_multicast(*other_, *membership), 2U);
}

TEST_F(UcmMulticastTest, AJoinThatFailsLeavesNoHandle) {
  const auto [id, impl] = new_id(5);
  impl->error = ENODEV;
  EXPECT_EQ(errno_of(ucm_.join_multicast(*file_, id, {}, 50, 0)), ENODEV);
}

TEST_F(UcmMulticastTest, AfterDeviceRemovalMembershipsGoWithTheId) {
  const auto [id, impl] = new_id(5);
  const auto membership = ucm_.join_multicast(*file_, id, {}, 50, 0);
  impl->deliver(EventType::device_removal);
  dispatcher_.run();
  EXPECT_EQ(errno_of(ucm_.leave_multicast(*file_, *membership)), ENXIO);
  EXPECT_TRUE(ucm_.destroy_id(*file_, id));
}

// [spec 6.2 #24]
TEST_F(UcmTest, AProgramQueuesEventsOfItsOwn) {
  const auto [id, impl] = new_id(5);
  EXPECT_EQ(errno_of(ucm_.write_event(*file_, id, 5, EventType::established, 0, 1)), EINVAL);
  EXPECT_EQ(errno_of(ucm_.write_event(*other_, id, 5, EventType::user, 0, 1)), EINVAL);
  EXPECT_EQ(errno_of(ucm_.write_event(*file_, id + 1, 5, EventType::user, 0, 1)), ENOENT);
  EXPECT_FALSE(pending_[0]);
  impl->deliver(EventType::addr_resolved);
  ASSERT_TRUE(ucm_.write_event(*file_, id, 5, EventType::user, -7, 0x123456789ABCDEF0));
  ASSERT_TRUE(ucm_.write_event(*file_, id, 5, EventType::internal, 0, 2));
  EXPECT_EQ(ucm_.get_event(file_)->type, EventType::addr_resolved);
  const auto user = ucm_.get_event(file_);
  EXPECT_EQ(user->type, EventType::user);
  EXPECT_EQ(user->uid, 5U);
  EXPECT_EQ(user->id, id);
  EXPECT_EQ(user->status, -7);
  EXPECT_EQ(user->arg, 0x123456789ABCDEF0U);
  EXPECT_EQ(ucm_.get_event(file_)->type, EventType::internal);
  EXPECT_EQ(ucm_.destroy_id(*file_, id), 3U) << "they are acknowledged like all";
}

TEST_F(UcmTest, ServicesAreResolvedAndQueried) {
  const auto [id, impl] = new_id(5);
  // [spec 6.2 #23]
  ASSERT_TRUE(ucm_.resolve_service(*file_, id, {.name = "s", .id = {}}));
  EXPECT_THAT(impl->calls, ElementsAre("resolve_service s"));
  EXPECT_EQ(ucm_.query_services(*file_, id)->front().name, "found");
  EXPECT_EQ(errno_of(ucm_.query_services(*other_, id)), EINVAL);
}

TEST_F(UcmTest, PrivateDataIsCopied) {
  const auto [id, impl] = new_id(1);
  std::vector<std::byte> data(196, std::byte{0x5A});
  cma::Event event;
  event.type = EventType::connect_response;
  event.conn.private_data = data;
  event.conn.qpn = Qpn(77);
  event.ece = {0x123, 0x456};
  impl->deliver(event);
  data.assign(196, std::byte{0});
  const auto fetched = ucm_.get_event(file_);
  ASSERT_TRUE(fetched);
  ASSERT_EQ(fetched->private_data.view().size(), 196U);
  EXPECT_EQ(fetched->private_data.view()[195], std::byte{0x5A});
  EXPECT_EQ(fetched->qpn, Qpn(77));
  EXPECT_EQ(fetched->ece, (cm::Ece{0x123, 0x456}));
}

TEST_F(UcmTest, DestroyReportsWhatWasFetchedAndDropsTheRest) {  // [spec 2.8.7, 6.2 #1], [spec 4 #42]
  const auto [id, impl] = new_id(1);
  const auto [other, other_impl] = new_id(2);
  for (int i = 0; i < 3; ++i) impl->deliver(EventType::addr_change);
  other_impl->deliver(EventType::addr_resolved);
  EXPECT_TRUE(ucm_.get_event(file_));
  EXPECT_EQ(ucm_.destroy_id(*file_, id), 1U);
  const auto event = ucm_.get_event(file_);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->uid, 2U);
  EXPECT_FALSE(ucm_.get_event(file_));
  EXPECT_FALSE(pending_[0]);
}

TEST_F(UcmTest, BacklogBoundsRequestsThatWereNotFetched) {  // [spec 6.3.1, 6.3.2]
  const auto [id, impl] = new_listener(1, 2);
  int answer = 0;
  EXPECT_NE(impl->deliver_request(), nullptr);
  EXPECT_NE(impl->deliver_request(), nullptr);
  EXPECT_EQ(impl->deliver_request(&answer), nullptr);
  EXPECT_EQ(answer, -ENOMEM);
  EXPECT_TRUE(ucm_.get_event(file_));  // fetched, not accepted
  EXPECT_NE(impl->deliver_request(), nullptr);
  EXPECT_EQ(impl->deliver_request(&answer), nullptr);
}

TEST_F(UcmTest, ARequestBringsItsOwnIdFromTheStart) {  // [spec 4 #43, 2.8.4, 2.8.5, 6.2 #8, 6.2 #25, 6.4.8]
  const auto [listener, impl] = new_listener(5, 8);
  cma::Id* child = impl->deliver_request();
  const auto event = ucm_.get_event(file_);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, EventType::connect_request);
  EXPECT_EQ(event->uid, 5U);
  EXPECT_EQ(event->owner, listener);
  EXPECT_NE(event->id, listener);

  // Before accept: dropped. After: told with the uid that accept gave.
  child->deliver(EventType::rejected, 28);
  EXPECT_FALSE(ucm_.get_event(file_));
  child->error = EINVAL;
  EXPECT_EQ(errno_of(ucm_.accept(*file_, event->id, 6, {})), EINVAL);
  child->deliver(EventType::established);
  EXPECT_FALSE(ucm_.get_event(file_)) << "a failed accept must not set the uid";
  child->error = 0;
  ASSERT_TRUE(ucm_.accept(*file_, event->id, 6, {}));
  child->deliver(EventType::established);
  const auto established = ucm_.get_event(file_);
  ASSERT_TRUE(established);
  EXPECT_EQ(established->uid, 6U);
  EXPECT_EQ(established->id, event->id);

  // A fetched request outlives its listener.
  EXPECT_EQ(ucm_.destroy_id(*file_, listener), 1U);
  EXPECT_TRUE(ucm_.disconnect(*file_, event->id));
  EXPECT_EQ(ucm_.destroy_id(*file_, event->id), 1U);
}

TEST_F(UcmTest, RequestsNeverFetchedGoWithTheirListener) {  // [spec 2.8.5]
  const auto [listener, impl] = new_listener(5, 8);
  for (int i = 0; i < 3; ++i) EXPECT_NE(impl->deliver_request(), nullptr);
  EXPECT_EQ(cma_.ids().size(), 4U);
  EXPECT_EQ(ucm_.destroy_id(*file_, listener), 0U);
  EXPECT_TRUE(cma_.ids().empty());
  EXPECT_FALSE(pending_[0]);
}

TEST_F(UcmTest, DeviceRemovalClosesTheIdBelowAndLeavesTheHandle) {  // [spec 2.8.1, 2.8.2], [spec 4 #39]
  const auto [id, impl] = new_id(9);
  impl->deliver(EventType::device_removal);
  EXPECT_EQ(cma_.ids().size(), 1U);
  dispatcher_.run();
  EXPECT_TRUE(cma_.ids().empty());
  EXPECT_EQ(errno_of(ucm_.bind(*file_, id, {})), ENXIO);
  const auto event = ucm_.get_event(file_);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, EventType::device_removal);
  EXPECT_EQ(ucm_.destroy_id(*file_, id), 1U);
}

TEST_F(UcmTest, DeviceRemovalOfARequestIsNotTold) {
  const auto [listener, impl] = new_listener(5, 8);
  cma::Id* child = impl->deliver_request();
  const Handle id = ucm_.get_event(file_)->id;
  child->deliver(EventType::device_removal);
  EXPECT_FALSE(ucm_.get_event(file_));
  dispatcher_.run();
  EXPECT_EQ(cma_.ids().size(), 1U);
  EXPECT_EQ(errno_of(ucm_.accept(*file_, id, 6, {})), ENXIO);
}

TEST_F(UcmTest, DestroyBeforeCloseWorkRanDestroysOnce) {
  const auto [id, impl] = new_id(9);
  impl->deliver(EventType::device_removal);
  EXPECT_EQ(ucm_.destroy_id(*file_, id), 0U);
  EXPECT_FALSE(dispatcher_.has_work(world_->now()));
}

TEST_F(UcmTest, MigrateTakesEventsAndCountsAlong) {  // [spec 2.8.6, 2.8.7, 6.2 #18]
  const auto [id, impl] = new_id(1);
  const auto [stays, stays_impl] = new_id(2);
  impl->deliver(EventType::addr_resolved);
  EXPECT_TRUE(ucm_.get_event(file_));
  impl->deliver(EventType::route_resolved);
  stays_impl->deliver(EventType::addr_resolved);
  EXPECT_EQ(ucm_.migrate_id(other_, *file_, id), 1U);
  EXPECT_EQ(ucm_.get_event(other_)->type, EventType::route_resolved);
  EXPECT_EQ(ucm_.get_event(file_)->uid, 2U);
  EXPECT_FALSE(pending_[0]);
  EXPECT_FALSE(pending_[1]);
  EXPECT_EQ(errno_of(ucm_.bind(*file_, id, {})), EINVAL);
  EXPECT_TRUE(ucm_.bind(*other_, id, {}));
  impl->deliver(EventType::addr_change);
  EXPECT_TRUE(pending_[1]);
  EXPECT_EQ(errno_of(ucm_.migrate_id(file_, *file_, id)), EINVAL);
  EXPECT_EQ(ucm_.migrate_id(other_, *other_, id), 2U);
  EXPECT_EQ(ucm_.destroy_id(*other_, id), 2U);
}

TEST_F(UcmTest, RequestsMigrateWithTheirListener) {
  const auto [listener, impl] = new_listener(1, 1);
  cma::Id* child = impl->deliver_request();
  EXPECT_EQ(ucm_.migrate_id(other_, *file_, listener), 0U);
  ucm_.close(*file_);
  EXPECT_EQ(cma_.ids().size(), 2U);
  EXPECT_EQ(impl->deliver_request(), nullptr) << "the backlog moves too";
  const auto request = ucm_.get_event(other_);
  ASSERT_TRUE(request);
  EXPECT_TRUE(ucm_.accept(*other_, request->id, 3, {}));
  child->deliver(EventType::established);
  EXPECT_EQ(ucm_.get_event(other_)->uid, 3U);
}

TEST_F(UcmTest, NothingEntersAClosedChannel) {  // [spec 2.8.8]
  const auto [id, impl] = new_id(1);
  ucm_.close(*other_);
  EXPECT_EQ(errno_of(ucm_.create_id(other_, 1, cma::PortSpace::tcp, cma::QpType::rc)), EBADF);
  EXPECT_EQ(errno_of(ucm_.migrate_id(other_, *file_, id)), EBADF);
  EXPECT_TRUE(cma_.ids().empty());
  EXPECT_EQ(errno_of(ucm_.bind(*file_, id, {})), ENOENT);
}

TEST_F(UcmTest, PathOptionMakesItsEvent) {  // [spec 1.4.17, 6.2 #14]
  const auto [id, impl] = new_id(4);
  std::vector<std::byte> path(72);
  path[0] = std::byte{0x2B};
  path[8 + 54] = std::byte{3};
  ASSERT_TRUE(ucm_.set_option(*file_, id, 1, 1, path));
  EXPECT_EQ(ucm_.get_event(file_)->type, EventType::route_resolved);
  path[0] = std::byte{0x01};
  EXPECT_EQ(errno_of(ucm_.set_option(*file_, id, 1, 1, path)), EINVAL);
  EXPECT_EQ(errno_of(ucm_.set_option(*file_, id, 1, 1, std::span(path).first(71))), EINVAL);
  EXPECT_THAT(impl->calls, ElementsAre("set_path"));
}

TEST_F(UcmTest, OptionsHaveTheirLengths) {  // [spec 6.2 #14]
  const auto [id, impl] = new_id(4);
  const std::vector<std::byte> four(4), one(1);
  EXPECT_TRUE(ucm_.set_option(*file_, id, 0, 0, one));
  EXPECT_TRUE(ucm_.set_option(*file_, id, 0, 1, four));
  EXPECT_TRUE(ucm_.set_option(*file_, id, 0, 2, four));
  EXPECT_TRUE(ucm_.set_option(*file_, id, 0, 3, one));
  EXPECT_THAT(impl->calls, ElementsAre("tos", "reuse", "af_only", "ack_timeout"));
  impl->calls.clear();
  EXPECT_TRUE(ucm_.set_option(*file_, id, 0x4857, 1, one));  // Hawser's own
  EXPECT_TRUE(ucm_.set_option(*file_, id, 0x4857, 2, one));
  EXPECT_TRUE(ucm_.set_option(*file_, id, 0x4857, 3, four));
  EXPECT_THAT(impl->calls, ElementsAre("response_timeout", "retries", "report_unreachable"));
  EXPECT_EQ(errno_of(ucm_.set_option(*file_, id, 0x4857, 1, four)), EINVAL);
  EXPECT_EQ(errno_of(ucm_.set_option(*file_, id, 0x4857, 3, one)), EINVAL);
  EXPECT_EQ(errno_of(ucm_.set_option(*file_, id, 0x4857, 4, one)), ENOSYS);
  EXPECT_EQ(errno_of(ucm_.set_option(*file_, id, 0, 0, four)), EINVAL);
  EXPECT_EQ(errno_of(ucm_.set_option(*file_, id, 0, 1, one)), EINVAL);
  EXPECT_EQ(errno_of(ucm_.set_option(*file_, id, 0, 4, one)), ENOSYS);
  EXPECT_EQ(errno_of(ucm_.set_option(*file_, id, 2, 0, one)), ENOSYS);
  EXPECT_EQ(errno_of(ucm_.set_option(*file_, id, 1, 0, one)), ENOSYS);
}

// ---- several threads ----

void run_threads(int count, const std::function<void(int)>& body) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
}

// [spec 4 #17]
TEST_F(UcmTest, CommandsOfOneIdFromManyThreadsAreSerialised) {  // [spec 4 #2, 2.2.1, 2.8.9]; the fake checks it
  const auto [id, impl] = new_id(1);
  const Handle handle = id;
  run_threads(4, [&](int) {
    for (int i = 0; i < 500; ++i) EXPECT_TRUE(ucm_.bind(*file_, handle, {}));
  });
  EXPECT_EQ(impl->calls.size(), 2000U);
}

TEST_F(UcmTest, ExactlyOneDestroyWins) {  // [spec 7 I21]
  for (int round = 0; round < 100; ++round) {
    const Handle id = new_id(1).first;
    std::atomic<int> won{0};
    run_threads(3, [&](int) {
      const auto destroyed = ucm_.destroy_id(*file_, id);
      if (destroyed)
        ++won;
      else
        EXPECT_EQ(errno_of(destroyed), ENOENT);
    });
    EXPECT_EQ(won, 1);
  }
}

// Blocks the fake's entry point until the test lets go.
struct Gate {
  std::atomic<bool> reached{false}, open{false};
  void pass() {
    reached = true;
    reached.notify_all();
    open.wait(false);
  }
  void wait_reached() { reached.wait(false); }
  void let_go() {
    open = true;
    open.notify_all();
  }
};

TEST_F(UcmTest, CloseWorkWaitsForACommandInProgressAndRefusesNewOnes) {  // [spec 4 #39]
  const auto created = new_id(1);
  const Handle id = created.first;
  Gate gate;
  created.second->on_entry = [&](const std::string&) { gate.pass(); };
  std::jthread command([&] { EXPECT_TRUE(ucm_.bind(*file_, id, {})); });
  gate.wait_reached();
  created.second->deliver(EventType::device_removal);
  std::jthread closer([&] { dispatcher_.run(); });
  // The command in progress has a reference; the id's own goes first.
  while (dispatcher_.has_work(world_->now())) std::this_thread::yield();
  EXPECT_EQ(cma_.ids().size(), 1U);
  gate.let_go();
  command.join();
  closer.join();
  EXPECT_TRUE(cma_.ids().empty());
  EXPECT_EQ(errno_of(ucm_.bind(*file_, id, {})), ENXIO);
}

TEST_F(UcmTest, DestroyWaitsForACommandInProgress) {
  const auto created = new_id(1);
  const Handle id = created.first;
  Gate gate;
  created.second->on_entry = [&](const std::string&) { gate.pass(); };
  std::jthread command([&] { EXPECT_TRUE(ucm_.bind(*file_, id, {})); });
  gate.wait_reached();
  std::jthread destroyer([&] { EXPECT_TRUE(ucm_.destroy_id(*file_, id)); });
  while (errno_of(ucm_.bind(*other_, id, {})) != ENOENT) std::this_thread::yield();
  EXPECT_EQ(cma_.ids().size(), 1U);
  gate.let_go();
  destroyer.join();
  EXPECT_TRUE(cma_.ids().empty());
}

TEST_F(UcmTest, MigrateLosesAgainstADestroyThatClaimedTheId) {  // [spec 4 #40]
  for (int round = 0; round < 50; ++round) {
    const auto created = new_id(1);
    const Handle id = created.first;
    Gate gate;
    created.second->on_event = [&] { gate.pass(); };
    std::jthread handler([&] { created.second->deliver(EventType::addr_change); });
    gate.wait_reached();  // migrate has to wait for the handler, holding a reference
    std::jthread migrator([&] {
      const int error = errno_of(ucm_.migrate_id(other_, *file_, id));
      EXPECT_TRUE(error == ENOENT) << error;
    });
    std::jthread destroyer([&] { EXPECT_TRUE(ucm_.destroy_id(*file_, id)); });
    while (errno_of(ucm_.bind(*other_, id, {})) != ENOENT) std::this_thread::yield();
    gate.let_go();
  }
}

TEST_F(UcmTest, NoEventIsLostWhileAnIdMigratesToAndFro) {  // [spec 4 #41, 2.8.6]
  const auto created = new_id(1);
  const Handle id = created.first;
  std::atomic<bool> done{false};
  std::jthread mover([&] {
    while (!done) {
      EXPECT_TRUE(ucm_.migrate_id(other_, *file_, id));
      EXPECT_TRUE(ucm_.migrate_id(file_, *other_, id));
    }
  });
  constexpr int events = 2000;
  for (int i = 0; i < events; ++i) created.second->deliver(EventType::addr_change, i);
  done = true;
  mover.join();
  for (int i = 0; i < events; ++i) {
    const auto event = ucm_.get_event(file_);
    ASSERT_TRUE(event) << i;
    EXPECT_EQ(event->status, i);
  }
  EXPECT_EQ(ucm_.destroy_id(*file_, id), static_cast<unsigned>(events));
}

TEST_F(UcmTest, CloseRacesDestroyAndMigrate) {  // [spec 4 #40]
  for (int round = 0; round < 100; ++round) {
    const FilePtr a = new_file(), b = new_file();
    std::vector<Handle> ids;
    for (int i = 0; i < 4; ++i) ids.push_back(*ucm_.create_id(a, 1, cma::PortSpace::tcp, cma::QpType::rc));
    run_threads(3, [&](int who) {
      for (const Handle id : ids) {
        if (who == 0) (void)ucm_.destroy_id(*a, id);
        if (who == 1) (void)ucm_.migrate_id(b, *a, id);
        if (who == 2) ucm_.close(*a);
      }
    });
    ucm_.close(*b);
    EXPECT_TRUE(cma_.ids().empty());
  }
}

TEST_F(UcmTest, RequestsRaceTheDestructionOfTheirListener) {  // [spec 4 #43]
  for (int round = 0; round < 100; ++round) {
    const auto [listener, impl] = new_listener(1, 64);
    const Handle handle = listener;
    cma::Id* lower = impl;
    std::atomic<bool> stop{false};
    std::jthread fetcher([&] {
      while (!stop) {
        if (const auto request = ucm_.get_event(file_)) (void)ucm_.destroy_id(*file_, request->id);
      }
    });
    for (int i = 0; i < 5; ++i) lower->deliver_request();
    EXPECT_TRUE(ucm_.destroy_id(*file_, handle));
    stop = true;
    fetcher.join();
    while (const auto request = ucm_.get_event(file_)) (void)ucm_.destroy_id(*file_, request->id);
    EXPECT_TRUE(cma_.ids().empty());
  }
}

}  // namespace
}  // namespace hawser::ucm
