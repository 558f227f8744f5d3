#include "hawser/id.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/test_hosts.hpp"

namespace hawser {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using enum CmEventType;

using ApiId = TwoSimulatedHosts;

TEST_F(ApiId, ConnectsMovesDataAndDisconnects) {
  Server server(b_);
  Client client(a_, to_b_);
  ASSERT_TRUE(simulation_.run());
  EXPECT_THAT(client.events, ElementsAre(addr_resolved, route_resolved, established));
  EXPECT_THAT(server.events, ElementsAre(connect_request, established));
  EXPECT_EQ(server.private_data, "hello");
  EXPECT_EQ(client.private_data, "welcome");
  EXPECT_EQ(client.id.state(), IdState::connect);
  EXPECT_EQ(client.id.peer_addr(), to_b_);
  EXPECT_EQ(server.child.peer_addr().ip, *IpAddress::parse("10.0.0.1"));
  EXPECT_EQ(client.id.device().name(), "hw_eth0");

  std::ranges::copy(bytes_of("ping over rdma"), client.end->memory.begin() + 1024);
  ASSERT_TRUE(client.end->qp.post_send(2, client.end->mr.slice(1024, 15)));
  std::array<Completion, 4> done;
  EXPECT_EQ(*client.end->cq.wait(done), 1U);
  EXPECT_EQ(done[0].wr_id, 2U);
  EXPECT_EQ(done[0].status, WcStatus::success) << name(done[0].status);
  EXPECT_EQ(*server.end->cq.wait(done), 1U);
  EXPECT_EQ(done[0].opcode, WcOpcode::recv);
  EXPECT_EQ(done[0].byte_len, 15U);
  EXPECT_EQ(server.end->received(), "ping over rdma");

  ASSERT_TRUE(client.id.disconnect());
  ASSERT_TRUE(simulation_.run());
  EXPECT_THAT(client.events, ElementsAre(addr_resolved, route_resolved, established, disconnected, timewait_exit));
  EXPECT_THAT(server.events, ElementsAre(connect_request, established, disconnected, timewait_exit));
}

TEST_F(ApiId, ReadsAndWritesThePeersMemory) {
  Server server(b_);
  Client client(a_, to_b_);
  ASSERT_TRUE(simulation_.run());
  std::ranges::copy(bytes_of("written"), client.end->memory.begin());
  ASSERT_TRUE(client.end->qp.post_write(1, client.end->mr.slice(0, 8), server.end->mr.remote()));
  std::array<Completion, 4> done;
  ASSERT_EQ(*client.end->cq.wait(done), 1U);
  EXPECT_EQ(done[0].status, WcStatus::success);
  EXPECT_EQ(server.end->received(), "written");
  std::ranges::copy(bytes_of("fetched"), server.end->memory.begin());
  ASSERT_TRUE(client.end->qp.post_read(2, client.end->mr.slice(0, 8), server.end->mr.remote()));
  ASSERT_EQ(*client.end->cq.wait(done), 1U);
  EXPECT_EQ(done[0].status, WcStatus::success) << name(done[0].status);
  EXPECT_EQ(done[0].opcode, WcOpcode::rdma_read);
  EXPECT_EQ(client.end->received(), "fetched");
  ASSERT_TRUE(client.end->qp.post_send(3, {reinterpret_cast<std::uint64_t>("inline"), 7, {}}, {.inline_data = true}));
  ASSERT_EQ(*server.end->cq.wait(done), 1U);
  EXPECT_EQ(server.end->received(), "inline");
}

// Options of the queue pairs' vendor travel with the request and the answer [spec 1.14.4].
TEST_F(ApiId, CarriesEce) {
  const Ece asked{.vendor_id = 0x2C9, .attr_mod = 5}, answered{.vendor_id = 0x2C9, .attr_mod = 1};
  Server server(b_);
  server.react = [&](IdRef id, CmEvent& event) -> std::optional<int> {
    if (event.type != connect_request) return std::nullopt;
    EXPECT_EQ(event.ece, asked);
    server.child = event.take_id();
    return -errno_of(id.accept({.qpn = Qpn(7), .ece = answered}));
  };
  Client client(a_, to_b_);
  Ece heard;
  client.react = [&](IdRef id, CmEvent& event) -> std::optional<int> {
    if (event.type == route_resolved) return -errno_of(id.connect_locked({.qpn = Qpn(8), .ece = asked}));
    heard = event.ece;
    return std::nullopt;
  };
  ASSERT_TRUE(simulation_.run([&] { return !client.events.empty() && client.events.back() == connect_response; }));
  EXPECT_EQ(heard, answered);
  const auto next = client.id.init_qp_attr(QpState::rts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->retry_count, 7);
  EXPECT_EQ(errno_of(Id().init_qp_attr(QpState::init)), EINVAL);
}

TEST_F(ApiId, RefusesWhatWouldWaitForItsHandler) {
  Client client(a_, to_b_);
  std::vector<int> errors;
  client.react = [&](IdRef id, CmEvent&) -> std::optional<int> {
    errors = {errno_of(id.resolve_addr(nullptr, to_b_, 1s)), errno_of(id.resolve_ib_service({})),
              errno_of(id.listen(1)), errno_of(id.leave_multicast({})), errno_of(id.connect({}))};
    return 0;
  };
  simulation_.run();
  EXPECT_THAT(errors, testing::Each(EDEADLK));
  EXPECT_EQ(client.id.state(), IdState::addr_resolved) << "and nothing has changed";
}

// Without a queue pair of ours the program answers the response itself, as in the kernel.
TEST_F(ApiId, AnswersTheResponseWithoutAQueuePair) {
  Server server(b_);
  Client client(a_, to_b_);
  client.with_qp = false;
  client.react = [](IdRef id, CmEvent& event) -> std::optional<int> {
    if (event.type != connect_response) return std::nullopt;
    return -errno_of(id.accept());
  };
  ASSERT_TRUE(simulation_.run());
  EXPECT_THAT(client.events, ElementsAre(addr_resolved, route_resolved, connect_response));
  EXPECT_THAT(server.events, ElementsAre(connect_request, established));
}

TEST_F(ApiId, SaysWhyAConnectionWasRejected) {
  Client nobody(a_, to_b_);
  ASSERT_TRUE(simulation_.run());
  ASSERT_EQ(nobody.events.back(), rejected);
  EXPECT_EQ(static_cast<RejectReason>(nobody.statuses.back()), RejectReason::invalid_service_id);

  Server server(b_);
  server.react = [](IdRef id, CmEvent&) -> std::optional<int> { return -errno_of(id.reject(bytes_of("not today"))); };
  Client unwanted(a_, to_b_);
  std::string said;
  unwanted.react = [&](IdRef, CmEvent& event) -> std::optional<int> {
    said = event.text();
    return std::nullopt;
  };
  ASSERT_TRUE(simulation_.run());
  ASSERT_EQ(unwanted.events.back(), rejected);
  EXPECT_EQ(unwanted.private_data, "not today");
  EXPECT_THAT(said, HasSubstr("RDMA_CM_EVENT_REJECTED: consumer defined (28)"));
  std::array<Completion, 4> done;
  ASSERT_EQ(*unwanted.end->cq.wait(done), 1U);  // the queue pair is in ERR: the posted receive comes back
  EXPECT_EQ(done[0].status, WcStatus::wr_flush_err);
}

TEST_F(ApiId, RejectsARequestThatNobodyTakes) {
  Server server(b_);
  server.react = [](IdRef, CmEvent&) -> std::optional<int> { return 0; };
  Client client(a_, to_b_);
  ASSERT_TRUE(simulation_.run());
  ASSERT_EQ(client.events.back(), rejected);
  EXPECT_EQ(static_cast<RejectReason>(client.statuses.back()), RejectReason::consumer_defined);
}

TEST_F(ApiId, EndsWhenItsHandlerReturnsNonZero) {
  Client client(a_, to_b_);
  client.react = [](IdRef, CmEvent&) -> std::optional<int> { return -1; };
  ASSERT_TRUE(simulation_.run());
  EXPECT_THAT(client.events, ElementsAre(addr_resolved));
  EXPECT_FALSE(client.id);
  EXPECT_EQ(client.id.state(), IdState::destroying);
  const Status late = client.id.resolve_route(1s);
  EXPECT_EQ(late.error(), std::errc::invalid_argument);
  EXPECT_THAT(late.error().message(), HasSubstr("its handler returned non-zero"));
}

TEST_F(ApiId, MayBeDestroyedInItsOwnHandler) {
  Client client(a_, to_b_);
  client.react = [&](IdRef, CmEvent&) -> std::optional<int> {
    client.id.destroy();
    return 0;
  };
  ASSERT_TRUE(simulation_.run());
  EXPECT_THAT(client.events, ElementsAre(addr_resolved));
}

TEST_F(ApiId, MayBeDestroyedInTheHandlerOfAnother) {
  Server server(b_);
  Client other(a_, to_b_);
  ASSERT_TRUE(simulation_.run());
  ASSERT_EQ(other.events.back(), established);
  Client client(a_, to_b_);
  client.react = [&](IdRef, CmEvent& event) -> std::optional<int> {
    if (event.type == established) other.id.destroy();
    return std::nullopt;
  };
  const auto told = other.events;
  ASSERT_TRUE(simulation_.run());
  EXPECT_EQ(client.events.back(), established);
  EXPECT_EQ(other.events, told) << "nothing is told of its end";
  EXPECT_EQ(server.events.back(), timewait_exit) << "its peer hears of it";
}

TEST_F(ApiId, MayBeDestroyedUnderItsHandlersLock) {
  Id id = *a_.create_id([](IdRef, CmEvent&) { return 0; });
  ASSERT_TRUE(id.lock_handler());
  id.destroy();
  ASSERT_TRUE(simulation_.run());
}

TEST_F(ApiId, AListenerMayBeDestroyedInItsOwnHandler) {
  Server server(b_);
  server.react = [&](IdRef, CmEvent& event) -> std::optional<int> {
    if (event.type == connect_request) server.listener.reset();
    return std::nullopt;
  };
  Client client(a_, to_b_);
  ASSERT_TRUE(simulation_.run());
  EXPECT_EQ(client.events.back(), established) << "the child goes on";
  Client later(a_, to_b_);
  ASSERT_TRUE(simulation_.run());
  EXPECT_EQ(later.events.back(), rejected) << "nobody listens any more";
}

TEST_F(ApiId, ConnectsInItsHandlerOnlyLocked) {
  Server server(b_);
  Client client(a_, to_b_);
  Status in_handler;
  client.react = [&](IdRef id, CmEvent& event) -> std::optional<int> {
    if (event.type == route_resolved) in_handler = id.connect({.qpn = Qpn(5)});
    return std::nullopt;
  };
  EXPECT_EQ(errno_of(client.id.connect_locked({})), EINVAL) << "not in a handler";
  ASSERT_TRUE(simulation_.run());
  EXPECT_EQ(errno_of(in_handler), EDEADLK);
  EXPECT_THAT(in_handler.error().message(), HasSubstr("use connect_locked"));
  EXPECT_EQ(client.events.back(), established);
}

TEST_F(ApiId, ARefusedDisconnectLeavesTheQueuePairAlone) {  // [spec 1.4.29]
  Server server(b_);
  Client client(a_, to_b_);
  client.react = [&](IdRef id, CmEvent& event) -> std::optional<int> {
    if (event.type != route_resolved) return std::nullopt;
    client.end = Endpoint::make(a_, id);
    EXPECT_EQ(errno_of(id.disconnect()), EINVAL);
    return -errno_of(id.connect_locked({}));
  };
  ASSERT_TRUE(simulation_.run());
  EXPECT_EQ(client.events.back(), established);
}

TEST_F(ApiId, AcceptsOutsideOfItsHandler) {
  Server server(b_);
  server.react = [&](IdRef, CmEvent& event) -> std::optional<int> {
    if (event.type != connect_request) return std::nullopt;
    server.child = event.take_id();
    return 0;
  };
  Client client(a_, to_b_);
  ASSERT_TRUE(simulation_.run([&] { return static_cast<bool>(server.child); }));
  server.end = Endpoint::make(b_, server.child);
  ASSERT_TRUE(server.child.accept({}));
  ASSERT_TRUE(simulation_.run([&] { return client.events.back() == established; }));
}

TEST_F(ApiId, DeviceRemovalEndsEverything) {
  Server server(b_);
  Client client(a_, to_b_);
  ASSERT_TRUE(simulation_.run());
  ASSERT_TRUE(a_.remove_device("hw_eth0"));
  EXPECT_FALSE(a_.remove_device("hw_eth0"));
  ASSERT_TRUE(simulation_.run([&] { return client.events.back() == device_removal; }));
  EXPECT_TRUE(client.id.device().is_gone() || !client.id.device());
  std::array<Completion, 4> done;
  ASSERT_EQ(*client.end->cq.wait(done), 1U);
  EXPECT_EQ(done[0].status, WcStatus::wr_flush_err);
  EXPECT_TRUE(a_.devices().empty());
}

TEST_F(ApiId, ConnectsAsPatientlyAsItIsTold) {
  Client client(a_, socket_address("10.0.0.9", 7471));  // nobody there
  ASSERT_TRUE(client.id.set_response_timeout(18));      // 1 s
  ASSERT_TRUE(client.id.set_retries(2));
  EXPECT_EQ(errno_of(client.id.set_retries(16)), EINVAL);
  ASSERT_TRUE(simulation_.run([&] { return !client.events.empty() && client.events.back() == unreachable; }));
  EXPECT_LT(simulation_.now(), 10s) << "the usual is more than a minute";
}

TEST_F(ApiId, ExplainsRefusals) {
  Server server(b_);
  Id id = *b_.create_id([](IdRef, CmEvent&) { return 0; });
  const Status taken = id.bind_addr(socket_address("10.0.0.2", 7471));
  EXPECT_EQ(taken.error(), std::errc::address_not_available);  // beside a wildcard [spec 1.8]
  EXPECT_THAT(taken.error().message(), HasSubstr("another id has this port"));
  EXPECT_EQ(id.bind_addr(socket_address("10.0.0.9", 1)).error(), std::errc::address_not_available);
  EXPECT_EQ(errno_of(id.connect({})), EINVAL);
  EXPECT_EQ(errno_of(b_.create_id(nullptr)), EINVAL);
  EXPECT_EQ(errno_of(Id().listen(1)), EINVAL);
}

TEST_F(ApiId, QueuePairsNeedADeviceAndItsObjects) {
  Id id = *a_.create_id([](IdRef, CmEvent&) { return 0; });
  const Device device = a_.devices().front();
  Pd pd = *Pd::create(a_, device);
  Cq cq = *Cq::create(a_, device, 4);
  EXPECT_EQ(errno_of(id.create_qp(pd, {.send_cq = cq, .recv_cq = cq})), EINVAL) << "no device yet";
  ASSERT_TRUE(id.bind_addr(socket_address("10.0.0.1", 0)));
  EXPECT_NE(id.local_addr().port, 0);
  EXPECT_EQ(errno_of(id.create_qp(pd, {})), EINVAL) << "no completion queues";
  ASSERT_TRUE(id.create_qp(pd, {.send_cq = cq, .recv_cq = cq}));
  EXPECT_EQ(errno_of(id.create_qp(pd, {.send_cq = cq, .recv_cq = cq})), EINVAL) << "one is enough";
  const Qp qp = id.qp();
  id.destroy_qp();
  EXPECT_FALSE(id.qp());
  EXPECT_EQ(errno_of(Qp(qp).post_receive(1, {})), EINVAL);
  EXPECT_EQ(errno_of(Pd::create(b_, device)), ENODEV) << "another Stack's";
}

}  // namespace
}  // namespace hawser
