// Groups: joined as a full member or to send only, left by handle; the id's queue pair follows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/test_hosts.hpp"

namespace hawser {
namespace {

using testing::HasSubstr;
using enum CmEventType;

// An id of a channel, bound and with a queue pair that has one receive posted.
struct Member {
  Member(Stack& on, const std::string& address) : stack(on), channel(*EventChannel::create(on)) {
    id = *channel.create_id(PortSpace::udp);
    EXPECT_TRUE(id.bind_addr(socket_address(address, 7471)));
    end = Endpoint::make(on, id);
  }
  ChannelEvent join(const SocketAddress& group, JoinAs as = JoinAs::full_member) {
    const auto joined = id.join_multicast(group, as, this);
    EXPECT_TRUE(joined) << joined.error().message();
    auto event = channel.get_event();
    EXPECT_EQ(event->type, multicast_join) << event->text();
    EXPECT_EQ(event->multicast, *joined);
    EXPECT_EQ(event->multicast_context, this);
    handles.push_back(*joined);
    return std::move(*event);
  }
  void send(const UdParam& to, std::string_view text) {
    const auto ah = AddressHandle::create(end->pd, to.ah_attr);
    ASSERT_TRUE(ah);
    std::ranges::copy(bytes_of(text), end->memory.begin() + 1024);
    ASSERT_TRUE(end->qp.post_send(2, end->mr.slice(1024, static_cast<std::uint32_t>(text.size())),
                                  UdDestination{*ah, to.qpn, to.qkey}, {.signaled = false}));
  }
  // What has been received by now, "" for nothing; the next receive is posted.
  std::string heard() {
    std::array<Completion, 1> done;
    if (end->cq.poll(done) == 0) return "";
    EXPECT_EQ(done[0].opcode, WcOpcode::recv);
    EXPECT_TRUE(done[0].with_grh);
    const std::string text = text_of(std::span(end->memory).first(done[0].byte_len).subspan(grh_bytes));
    EXPECT_TRUE(end->qp.post_receive(1, end->mr.slice(0, 1024)));
    return text;
  }

  Stack& stack;
  EventChannel channel;
  Id id;
  std::unique_ptr<Endpoint> end;
  std::vector<MulticastHandle> handles;
};

class ApiMulticast : public TwoSimulatedHosts {
 protected:
  const SocketAddress group_ = socket_address("239.1.1.1", 0);
  Member here_{a_, "10.0.0.1"}, there_{b_, "10.0.0.2"};
};

TEST_F(ApiMulticast, FullMembersHearTheGroup) {
  const auto joined = here_.join(group_);
  there_.join(group_);
  EXPECT_EQ(joined.ud.qpn, qpn_multicast);
  EXPECT_EQ(joined.ud.qkey, qkey_udp);
  EXPECT_EQ(joined.ud.ah_attr.destination, group_.ip);
  here_.send(joined.ud, "hello, all");
  simulation_.run();
  EXPECT_EQ(there_.heard(), "hello, all");
}

TEST_F(ApiMulticast, SendOnlyMembersHearNothing) {
  const auto sender = here_.join(group_, JoinAs::send_only);
  const auto member = there_.join(group_);
  here_.send(sender.ud, "to you");
  there_.send(member.ud, "to me?");
  simulation_.run();
  EXPECT_EQ(there_.heard(), "to you");
  EXPECT_EQ(here_.heard(), "");
}

TEST_F(ApiMulticast, LeavesByHandle) {
  const auto sender = here_.join(group_, JoinAs::send_only);
  there_.join(group_);
  there_.join(group_);  // two memberships of one group
  ASSERT_NE(there_.handles[0], there_.handles[1]);
  ASSERT_TRUE(there_.id.leave_multicast(there_.handles[0]));
  here_.send(sender.ud, "one left");
  simulation_.run();
  EXPECT_EQ(there_.heard(), "one left") << "the other membership stands";
  ASSERT_TRUE(there_.id.leave_multicast(there_.handles[1]));
  here_.send(sender.ud, "nobody left");
  simulation_.run();
  EXPECT_EQ(there_.heard(), "");
  const Status again = there_.id.leave_multicast(there_.handles[1]);
  EXPECT_EQ(errno_of(again), EADDRNOTAVAIL);
  EXPECT_THAT(again.error().message(), HasSubstr("no such membership"));
}

TEST_F(ApiMulticast, AQueuePairThatComesLaterHearsTheGroupToo) {
  here_.id.destroy_qp();
  here_.join(group_);
  here_.end = Endpoint::make(a_, here_.id);
  there_.send(there_.join(group_, JoinAs::send_only).ud, "late");
  simulation_.run();
  EXPECT_EQ(here_.heard(), "late");
}

TEST_F(ApiMulticast, EventsOfALeftMembershipAreDropped) {
  const auto joined = here_.id.join_multicast(group_);
  ASSERT_TRUE(joined);
  simulation_.run();  // the event is in the channel
  ASSERT_TRUE(here_.id.leave_multicast(*joined));
  EXPECT_EQ(errno_of(here_.channel.try_get_event()), EAGAIN);
}

// With handlers: join inside of one is fine, to leave would wait for itself.
TEST_F(ApiMulticast, InItsHandler) {
  Status left;
  std::vector<CmEventType> events;
  MulticastHandle membership;
  Id id = *a_.create_id(
      [&](IdRef self, CmEvent& event) {
        events.push_back(event.type);
        if (event.type == addr_resolved) membership = *self.join_multicast(group_);
        if (event.type == multicast_join) left = self.leave_multicast(event.multicast);
        return 0;
      },
      nullptr, PortSpace::udp);
  ASSERT_TRUE(id.resolve_addr(nullptr, group_, 2s));
  simulation_.run();
  EXPECT_THAT(events, testing::ElementsAre(addr_resolved, multicast_join));
  EXPECT_EQ(errno_of(left), EDEADLK);
  EXPECT_THAT(left.error().message(), HasSubstr("try when it has returned"));
  EXPECT_TRUE(id.leave_multicast(membership));
}

TEST_F(ApiMulticast, AHandlerMayEndTheIdOnTheEvent) {
  std::vector<CmEventType> events;
  Id id = *a_.create_id(
      [&](IdRef, CmEvent& event) {
        events.push_back(event.type);
        return -1;
      },
      nullptr, PortSpace::udp);
  ASSERT_TRUE(id.bind_addr(socket_address("10.0.0.1", 0)));
  ASSERT_TRUE(id.join_multicast(group_));
  simulation_.run();
  EXPECT_THAT(events, testing::ElementsAre(multicast_join));
  EXPECT_FALSE(id);
  const auto late = id.join_multicast(group_);
  EXPECT_EQ(errno_of(late), EINVAL);
}

TEST_F(ApiMulticast, ExplainsRefusals) {
  const auto said = [](const Result<MulticastHandle>& result) {
    return result ? "" : std::to_string(errno_of(result)) + " " + result.error().message();
  };
  const auto error = [](int number) { return testing::StartsWith(std::to_string(number) + " "); };
  using testing::AllOf;
  EXPECT_THAT(said(here_.id.join_multicast(socket_address("10.0.0.9", 0))),
              AllOf(error(ENODEV), HasSubstr("no multicast group's")));
  EXPECT_THAT(said(here_.id.join_multicast(socket_address("ff0e::1", 0))),
              AllOf(error(EOPNOTSUPP), HasSubstr("groups of IPv4 only")));
  Id unbound = *here_.channel.create_id(PortSpace::udp);
  EXPECT_THAT(said(unbound.join_multicast(group_)), AllOf(error(EINVAL), HasSubstr("ADDR_BOUND, ADDR_RESOLVED")));
  Id stream = *here_.channel.create_id(PortSpace::tcp);
  ASSERT_TRUE(stream.bind_addr(socket_address("10.0.0.1", 0)));
  EXPECT_THAT(said(stream.join_multicast(group_)), AllOf(error(EINVAL), HasSubstr("datagram ids")));
  EXPECT_EQ(errno_of(here_.id.leave_multicast({})), EADDRNOTAVAIL);
}

}  // namespace
}  // namespace hawser
