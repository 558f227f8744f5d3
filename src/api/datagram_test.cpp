// Datagram ids: services resolved, accepted, refused, and datagrams sent to what was found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/test_hosts.hpp"

namespace hawser {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using enum CmEventType;

class ApiDatagram : public TwoSimulatedHosts {
 protected:
  Id listen(PortSpace space = PortSpace::udp, std::optional<QpType> type = {}) {
    Id id = *from_b_.create_id(space, type);
    EXPECT_TRUE(id.bind_addr(to_b_));
    EXPECT_TRUE(id.listen(4));
    return id;
  }
  // With its route resolved.
  Id asking(PortSpace space = PortSpace::udp, std::optional<QpType> type = {}) {
    Id id = *from_a_.create_id(space, type);
    EXPECT_TRUE(id.resolve_addr(nullptr, to_b_, 2s));
    EXPECT_EQ(from_a_.get_event()->type, addr_resolved);
    EXPECT_TRUE(id.resolve_route(2s));
    EXPECT_EQ(from_a_.get_event()->type, route_resolved);
    return id;
  }
  Id accept_next(const ConnParam& param = {}) {
    auto request = from_b_.get_event();
    EXPECT_EQ(request->type, connect_request);
    said_ = text_of(request->private_data);
    Id child = request->take_id();
    if (param.qpn.value == 0) b_end_ = Endpoint::make(b_, child);
    const Status accepted = child.accept(param);
    EXPECT_TRUE(accepted) << accepted.error().message();
    return child;
  }
  static Completion wait_for(Endpoint& end, WcOpcode opcode) {
    for (;;) {
      std::array<Completion, 1> done;
      const auto count = end.cq.wait(done);
      if (!count) ADD_FAILURE() << count.error().message();
      if (!count || done[0].opcode == opcode) return done[0];
    }
  }
  static void send(Endpoint& from, const UdDestination& to, std::string_view text) {
    std::ranges::copy(bytes_of(text), from.memory.begin() + 1024);
    const auto length = static_cast<std::uint32_t>(text.size());
    ASSERT_TRUE(from.qp.post_send(2, from.mr.slice(1024, length), to));
  }
  static std::string payload(const Endpoint& end, const Completion& received) {
    return text_of(std::span(end.memory).first(received.byte_len).subspan(grh_bytes));
  }

  EventChannel from_a_ = *EventChannel::create(a_);
  EventChannel from_b_ = *EventChannel::create(b_);
  std::unique_ptr<Endpoint> a_end_, b_end_;
  std::string said_;
};

TEST_F(ApiDatagram, ResolvesAServiceAndTalksToIt) {
  const Id listener = listen();
  Id client = asking();
  a_end_ = Endpoint::make(a_, client);
  ASSERT_TRUE(client.connect({.private_data = bytes_of("who serves this?")}));
  const Id server = accept_next({.private_data = bytes_of("I do")});
  EXPECT_EQ(said_, "who serves this?");
  const auto found = from_a_.get_event();
  ASSERT_EQ(found->type, established) << found->text();
  EXPECT_EQ(text_of(found->private_data), "I do");
  EXPECT_EQ(found->ud.qpn, b_end_->qp.qpn());
  EXPECT_EQ(found->ud.qkey, qkey_udp);
  EXPECT_EQ(found->ud.ah_attr.destination, to_b_.ip);
  EXPECT_EQ(server.qp_type(), QpType::ud);
  EXPECT_EQ(client.service_id(to_b_), ServiceId(0x0111'0000 | 7471U));
  EXPECT_EQ(client.read_gids(), std::pair(*Gid::parse("10.0.0.1"), to_b_.ip));

  const auto ah = AddressHandle::create(a_end_->pd, found->ud.ah_attr);
  ASSERT_TRUE(ah);
  send(*a_end_, {*ah, found->ud.qpn, found->ud.qkey}, "ping");
  const Completion ping = wait_for(*b_end_, WcOpcode::recv);
  EXPECT_EQ(ping.byte_len, grh_bytes + 4);
  EXPECT_EQ(ping.src_qpn, a_end_->qp.qpn());
  EXPECT_EQ(payload(*b_end_, ping), "ping");

  const auto back = AddressHandle::create_from_wc(b_end_->pd, ping, b_end_->memory);
  ASSERT_TRUE(back);
  send(*b_end_, {*back, ping.src_qpn}, "pong");
  EXPECT_EQ(payload(*a_end_, wait_for(*a_end_, WcOpcode::recv)), "pong");
  EXPECT_EQ(errno_of(from_b_.try_get_event()), EAGAIN) << "who accepts a datagram hears nothing more";
}

TEST_F(ApiDatagram, SaysWhyNobodyServes) {
  Id nobody = asking();
  ASSERT_TRUE(nobody.connect({}));
  auto answer = from_a_.get_event();
  ASSERT_EQ(answer->type, unreachable);
  EXPECT_EQ(answer->sidr_status(), SidrStatus::unsupported);
  EXPECT_THAT(answer->text(), HasSubstr("RDMA_CM_EVENT_UNREACHABLE: service ID not supported (1): nobody listens"));

  const Id listener = listen();
  Id unwanted = asking();
  ASSERT_TRUE(unwanted.connect({}));
  Id child = from_b_.get_event()->take_id();
  ASSERT_TRUE(child.reject(bytes_of("not today")));
  answer = from_a_.get_event();
  ASSERT_EQ(answer->type, unreachable);
  EXPECT_EQ(answer->sidr_status(), SidrStatus::reject);
  EXPECT_EQ(text_of(answer->private_data), "not today");
}

TEST_F(ApiDatagram, AHandlerThatTakesNothingRefuses) {
  int requests = 0;
  const auto listener = Listener::listen(
      b_, to_b_,
      [&](IdRef, CmEvent& event) {
        EXPECT_EQ(event.type, connect_request);
        ++requests;
        return 0;
      },
      PortSpace::udp);
  ASSERT_TRUE(listener);
  Id client = asking();
  ASSERT_TRUE(client.connect({}));
  const auto answer = from_a_.get_event();
  EXPECT_EQ(answer->type, unreachable);
  EXPECT_EQ(answer->sidr_status(), SidrStatus::reject);
  EXPECT_EQ(requests, 1);
}

// The Q_Key guards a datagram queue pair; an id that has one already cannot follow another.
TEST_F(ApiDatagram, QKeys) {
  const Id listener = listen();
  Id client = asking();
  ASSERT_TRUE(client.connect({}));
  const Id own = accept_next({.qpn = Qpn(0x123), .qkey = QKey(0x1111)});
  const auto found = from_a_.get_event();
  ASSERT_EQ(found->type, established);
  EXPECT_EQ(found->ud.qkey, QKey(0x1111));
  EXPECT_EQ(found->ud.qpn, Qpn(0x123));
  EXPECT_EQ(client.init_qp_attr(QpState::init)->qkey, QKey(0x1111));

  Id second = asking();
  a_end_ = Endpoint::make(a_, second);  // has the usual Q_Key
  ASSERT_TRUE(second.connect({}));
  const Id other = accept_next({.qpn = Qpn(0x123), .qkey = QKey(0x1111)});
  const auto differs = from_a_.get_event();
  EXPECT_EQ(differs->type, addr_error);
  EXPECT_EQ(differs->status, -EINVAL);

  Id third = asking();
  ASSERT_TRUE(third.connect({}));
  Id child = from_b_.get_event()->take_id();
  b_end_ = Endpoint::make(b_, child);
  const Status accepted = child.accept({.qkey = QKey(0x2222)});
  EXPECT_EQ(errno_of(accepted), EINVAL);
  EXPECT_THAT(accepted.error().message(), HasSubstr("its queue pair has another Q_Key"));
  EXPECT_EQ(from_a_.get_event()->sidr_status(), SidrStatus::reject) << "a failed accept refuses";
}

TEST_F(ApiDatagram, AWrongQKeyIsNotHeard) {
  const Id listener = listen();
  Id client = asking();
  a_end_ = Endpoint::make(a_, client);
  ASSERT_TRUE(client.connect({}));
  const Id server = accept_next();
  const auto found = from_a_.get_event();
  const auto ah = AddressHandle::create(a_end_->pd, found->ud.ah_attr);
  send(*a_end_, {*ah, found->ud.qpn, QKey(7)}, "psst");
  EXPECT_EQ(wait_for(*a_end_, WcOpcode::send).status, WcStatus::success) << "nobody says that it was not heard";
  std::array<Completion, 1> done;
  EXPECT_EQ(errno_of(b_end_->cq.wait(done)), EDEADLK);
}

TEST_F(ApiDatagram, PrivateDataHasLimits) {
  const Id listener = listen();
  const std::vector<std::byte> data(200);
  Id client = asking();
  const Status asked = client.connect({.private_data = std::span(data).first(181)});
  EXPECT_EQ(errno_of(asked), EINVAL);
  EXPECT_THAT(asked.error().message(), HasSubstr("at most 180 bytes"));
  ASSERT_TRUE(client.connect({.private_data = std::span(data).first(180)}));
  Id child = from_b_.get_event()->take_id();
  EXPECT_EQ(errno_of(child.reject(std::span(data).first(137))), EINVAL);
  ASSERT_TRUE(child.accept({.private_data = std::span(data).first(136), .qpn = Qpn(9)}));
  EXPECT_EQ(from_a_.get_event()->type, established);
}

TEST_F(ApiDatagram, PortSpacesSayTheTypeOfTheirQueuePairs) {
  const auto type_of = [&](PortSpace space, std::optional<QpType> wanted = {}) {
    return from_a_.create_id(space, wanted)->qp_type();
  };
  EXPECT_EQ(type_of(PortSpace::tcp), QpType::rc);
  EXPECT_EQ(type_of(PortSpace::udp), QpType::ud);
  EXPECT_EQ(type_of(PortSpace::ipoib), QpType::ud);
  EXPECT_EQ(type_of(PortSpace::ib), QpType::rc);
  EXPECT_EQ(type_of(PortSpace::ib, QpType::ud), QpType::ud);
  EXPECT_EQ(errno_of(from_a_.create_id(PortSpace::tcp, QpType::ud)), EINVAL);
  EXPECT_EQ(errno_of(a_.create_id([](IdRef, CmEvent&) { return 0; }, nullptr, PortSpace::udp, QpType::rc)), EINVAL);
}

TEST_F(ApiDatagram, PortSpaceIbServesDatagramsToo) {
  const Id listener = listen(PortSpace::ib, QpType::ud);
  Id client = asking(PortSpace::ib, QpType::ud);
  ASSERT_TRUE(client.connect({}));
  const Id server = accept_next();
  EXPECT_EQ(from_a_.get_event()->type, established);
}

// IPoIB is a port space of InfiniBand interfaces, and there are none [spec 1.4.6].
TEST_F(ApiDatagram, IpoibNeedsInfiniBand) {
  Id id = *from_a_.create_id(PortSpace::ipoib);
  const Status bound = id.bind_addr(socket_address("10.0.0.1", 7471));
  EXPECT_EQ(errno_of(bound), EINVAL);
  EXPECT_THAT(bound.error().message(), HasSubstr("no interface of this host is InfiniBand"));
}

TEST_F(ApiDatagram, QueuePairsDoOnlyTheirOwnWork) {
  Id id = *from_a_.create_id(PortSpace::udp);
  ASSERT_TRUE(id.bind_addr(socket_address("10.0.0.1", 0)));
  a_end_ = Endpoint::make(a_, id);
  EXPECT_EQ(errno_of(a_end_->qp.post_send(1, a_end_->mr.slice(0, 8))), EINVAL) << "a datagram needs an address";
  EXPECT_EQ(errno_of(a_end_->qp.post_write(1, a_end_->mr.slice(0, 8), {})), EINVAL);
  EXPECT_EQ(errno_of(a_end_->qp.post_send(1, a_end_->mr.slice(0, 8), UdDestination{})), EINVAL);
  const AhAttr right{.source = *Gid::parse("10.0.0.1"), .destination = to_b_.ip};
  EXPECT_TRUE(AddressHandle::create(a_end_->pd, right));
  EXPECT_EQ(errno_of(AddressHandle::create(a_end_->pd, {.source = to_b_.ip, .destination = to_b_.ip})), EINVAL);
  EXPECT_EQ(errno_of(AddressHandle::create(a_end_->pd, {.source = right.source, .destination = {}})), EINVAL);
  EXPECT_EQ(
      errno_of(AddressHandle::create(a_end_->pd, {.source = right.source, .destination = *Gid::parse("fd00::2")})),
      EINVAL);
  EXPECT_EQ(errno_of(AddressHandle::create_from_wc(a_end_->pd, {}, a_end_->memory)), EINVAL);
}

}  // namespace
}  // namespace hawser
