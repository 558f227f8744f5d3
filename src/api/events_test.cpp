// Every event of rdma_cm_event_type as the C++ interface tells it, one test each, provoked on the simulated network by
// its cause or by the stand-in that docs/events.md names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/test_hosts.hpp"

namespace hawser {
namespace {

using testing::ElementsAre;
using enum CmEventType;

class ApiEvents : public TwoSimulatedHosts {
 protected:
  // Until the client's newest event is this one.
  bool reaches(const Client& client, CmEventType type) {
    return simulation_.run([&] { return !client.events.empty() && client.events.back() == type; });
  }
  // As usual, but nothing more after this event.
  static void stop_at(Client& client, CmEventType type) {
    client.react = [type](IdRef, CmEvent& event) { return event.type == type ? std::optional(0) : std::nullopt; };
  }
  std::vector<CmEventType> connected_server(Client& client) {
    EXPECT_TRUE(reaches(client, established));
    simulation_.run();
    return server_.events;
  }

  const SocketAddress group_ = socket_address("239.1.1.1", 0);
  Server server_{b_};
};

TEST_F(ApiEvents, AddrResolved) {
  Client client(a_, to_b_);
  stop_at(client, addr_resolved);
  ASSERT_TRUE(reaches(client, addr_resolved));
  EXPECT_EQ(client.statuses.back(), 0);
  EXPECT_EQ(client.id.state(), IdState::addr_resolved);
  EXPECT_EQ(client.id.device().name(), "hw_eth0");
}

TEST_F(ApiEvents, AddrError) {
  ASSERT_TRUE(a_.faults().set(SilenceNeighbour{to_b_.ip}));
  Client client(a_, to_b_);
  ASSERT_TRUE(reaches(client, addr_error));
  EXPECT_EQ(client.statuses.back(), -ETIMEDOUT);
  EXPECT_EQ(client.id.state(), IdState::addr_bound);
}

TEST_F(ApiEvents, RouteResolved) {
  Client client(a_, to_b_);
  stop_at(client, route_resolved);
  ASSERT_TRUE(reaches(client, route_resolved));
  EXPECT_EQ(client.id.state(), IdState::route_resolved);
}

// RoCE's routes cannot fail: a subnet administrator says no.
TEST_F(ApiEvents, RouteError) {
  SimulatedSubnet subnet;
  subnet.path = [](const Gid&) {
    return std::optional<Result<PathRecord>>(std::unexpected(std::make_error_code(std::errc::network_unreachable)));
  };
  Stack c = *simulation_.add_host({.addresses = {*IpAddress::parse("10.0.0.3")}, .subnet = subnet});
  Client client(c, to_b_);
  ASSERT_TRUE(reaches(client, route_error));
  EXPECT_EQ(client.statuses.back(), -ENETUNREACH);
  EXPECT_EQ(client.id.state(), IdState::addr_resolved);
}

TEST_F(ApiEvents, RouteErrorOnDemand) {
  const auto fault = a_.faults().set(SilenceRoute{to_b_.ip});
  Client client(a_, to_b_);
  ASSERT_TRUE(reaches(client, route_error));
  EXPECT_EQ(client.statuses.back(), -ETIMEDOUT);
  EXPECT_EQ(client.id.state(), IdState::addr_resolved) << "it may ask again";
  EXPECT_EQ(*a_.faults().effects(*fault), 1U);
  ASSERT_TRUE(a_.faults().change(*fault, SilenceRoute{*IpAddress::parse("10.0.0.9")}));
  ASSERT_TRUE(client.id.resolve_route(1s));
  EXPECT_TRUE(reaches(client, established)) << "the silence is about another address";
  EXPECT_EQ(*a_.faults().effects(*fault), 0U);
}

TEST_F(ApiEvents, ConnectRequest) {
  Client client(a_, to_b_);
  ASSERT_TRUE(simulation_.run([&] { return !server_.events.empty(); }));
  EXPECT_THAT(server_.events, ElementsAre(connect_request));
  EXPECT_EQ(server_.private_data, "hello");
  EXPECT_EQ(server_.child.state(), IdState::connect);
}

TEST_F(ApiEvents, ConnectResponse) {
  Client client(a_, to_b_);
  client.with_qp = false;
  ASSERT_TRUE(reaches(client, connect_response));
  EXPECT_EQ(client.private_data, "welcome");
  const auto next = client.id.init_qp_attr(QpState::rtr);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->dest_qpn, server_.end->qp.qpn());
  EXPECT_EQ(next->ah_attr.destination, to_b_.ip);
}

// The answer asks for what our queue pair cannot do.
TEST_F(ApiEvents, ConnectError) {
  server_.react = [&](IdRef id, CmEvent& event) -> std::optional<int> {
    if (event.type != connect_request) return std::nullopt;
    server_.child = event.take_id();
    return -errno_of(id.accept({.responder_resources = 255, .initiator_depth = 255, .qpn = Qpn(77)}));
  };
  Client client(a_, to_b_);
  ASSERT_TRUE(reaches(client, connect_error));
  EXPECT_EQ(client.statuses.back(), -EINVAL);
  simulation_.run();
  EXPECT_EQ(server_.events.back(), rejected) << "the peer hears of it";
}

TEST_F(ApiEvents, UnreachableWhenNobodyAnswers) {
  const auto lost = a_.faults().set(MessageFault::drop(CmMessage::req));
  Client client(a_, to_b_);
  ASSERT_TRUE(client.id.set_retries(3));
  ASSERT_TRUE(reaches(client, unreachable));
  EXPECT_EQ(client.statuses.back(), -ETIMEDOUT);
  EXPECT_EQ(a_.faults().effects(*lost), 4U) << "the request and three repetitions";
}

TEST_F(ApiEvents, UnreachableWhenTheNeighbourMoves) {
  Client client(a_, to_b_);
  connected_server(client);
  ASSERT_TRUE(a_.faults().set(MoveNeighbour{to_b_.ip}));
  ASSERT_TRUE(reaches(client, unreachable));
  EXPECT_EQ(client.statuses.back(), -ETIMEDOUT);
}

TEST_F(ApiEvents, Rejected) {
  Client client(a_, socket_address("10.0.0.2", 7472));
  ASSERT_TRUE(reaches(client, rejected));
  EXPECT_EQ(static_cast<RejectReason>(client.statuses.back()), RejectReason::invalid_service_id);
}

TEST_F(ApiEvents, RejectedByTheProgram) {
  server_.react = [](IdRef id, CmEvent&) { return std::optional(-errno_of(id.reject(bytes_of("full")))); };
  Client client(a_, to_b_);
  std::string said;
  client.react = [&](IdRef, CmEvent& event) -> std::optional<int> {
    said = text_of(event.consumer_reject_data());
    return std::nullopt;
  };
  ASSERT_TRUE(reaches(client, rejected));
  EXPECT_EQ(said, "full");
}

TEST_F(ApiEvents, Established) {
  Client client(a_, to_b_);
  EXPECT_THAT(connected_server(client), ElementsAre(connect_request, established));
}

TEST_F(ApiEvents, Disconnected) {
  Client client(a_, to_b_);
  connected_server(client);
  ASSERT_TRUE(server_.child.disconnect());
  ASSERT_TRUE(reaches(client, disconnected));
  EXPECT_EQ(client.statuses.back(), 0);
  EXPECT_EQ(client.id.state(), IdState::disconnect);
}

TEST_F(ApiEvents, DisconnectedWithoutAnAnswer) {
  Client client(a_, to_b_);
  connected_server(client);
  ASSERT_TRUE(b_.faults().set(DatagramFault{.loss = 1}));
  ASSERT_TRUE(client.id.disconnect());
  ASSERT_TRUE(reaches(client, disconnected));
  EXPECT_EQ(client.statuses.back(), -ETIMEDOUT);
}

TEST_F(ApiEvents, DeviceRemoval) {
  Client client(a_, to_b_);
  connected_server(client);
  const auto removed = a_.faults().set(RemoveDevice{"hw_eth0"});
  ASSERT_TRUE(reaches(client, device_removal));
  EXPECT_TRUE(a_.devices().empty());
  ASSERT_TRUE(a_.faults().clear(*removed));
  EXPECT_EQ(a_.devices().size(), 1U) << "another device of the same name";
}

TEST_F(ApiEvents, MulticastJoin) {
  EventChannel channel = *EventChannel::create(a_);
  Id id = *channel.create_id(PortSpace::udp);
  ASSERT_TRUE(id.bind_addr(socket_address("10.0.0.1", 0)));
  const auto membership = id.join_multicast(group_);
  ASSERT_TRUE(membership);
  const auto event = channel.get_event();
  ASSERT_EQ(event->type, multicast_join);
  EXPECT_EQ(event->status, 0);
  EXPECT_EQ(event->multicast, *membership);
}

// The id's address has gone from its device.
TEST_F(ApiEvents, MulticastError) {
  EventChannel channel = *EventChannel::create(a_);
  Id id = *channel.create_id(PortSpace::udp);
  ASSERT_TRUE(id.bind_addr(socket_address("10.0.0.1", 0)));
  ASSERT_TRUE(a_.faults().set(RemoveAddress{*IpAddress::parse("10.0.0.1")}));
  const auto membership = id.join_multicast(group_, JoinAs::full_member, &channel);
  ASSERT_TRUE(membership) << membership.error().message();
  const auto event = channel.get_event();
  ASSERT_EQ(event->type, multicast_error);
  EXPECT_EQ(event->status, -EINVAL);
  EXPECT_EQ(event->multicast, *membership);
  EXPECT_EQ(event->multicast_context, &channel);
  EXPECT_TRUE(id.leave_multicast(*membership)) << "it is still there to be left";
}

TEST_F(ApiEvents, AddrChange) {
  Client client(a_, to_b_);
  connected_server(client);
  ASSERT_TRUE(a_.faults().set(ChangeMac{"hw_eth0"}));
  ASSERT_TRUE(reaches(client, addr_change));
  EXPECT_EQ(client.id.state(), IdState::connect) << "told, and nothing else";
}

TEST_F(ApiEvents, TimewaitExit) {
  Client client(a_, to_b_);
  connected_server(client);
  ASSERT_TRUE(client.id.disconnect());
  ASSERT_TRUE(reaches(client, disconnected));
  const auto before = simulation_.now();
  ASSERT_TRUE(reaches(client, timewait_exit));
  EXPECT_GT(simulation_.now() - before, 100ms);
  simulation_.run();
  EXPECT_EQ(server_.events.back(), timewait_exit);
}

TEST_F(ApiEvents, TimewaitExitOnDemand) {
  Client client(a_, to_b_);
  connected_server(client);
  ASSERT_TRUE(client.id.disconnect());
  ASSERT_TRUE(reaches(client, disconnected));
  const auto before = simulation_.now();
  const auto ended = a_.faults().set(EndTimewait());
  ASSERT_TRUE(reaches(client, timewait_exit));
  EXPECT_EQ(simulation_.now(), before);
  EXPECT_EQ(a_.faults().effects(*ended), 1U);
}

// Only a subnet administrator knows services; RoCE has none.
class ApiServiceEvents : public ApiEvents {
 protected:
  static SimulatedSubnet subnet() {
    SimulatedSubnet subnet;
    subnet.services = [](const ServiceQuery& wanted) -> std::optional<Result<std::vector<ServiceRecord>>> {
      if (wanted.name != "storage") return std::nullopt;
      return std::vector{
          ServiceRecord{.id = ServiceId(0x0106'0000 | 7471U), .gid = *Gid::parse("10.0.0.2"), .name = "storage"}};
    };
    subnet.delay = 1ms;
    return subnet;
  }
  Stack c_ = *simulation_.add_host({.addresses = {*IpAddress::parse("10.0.0.3")}, .subnet = subnet()});
  EventChannel channel_ = *EventChannel::create(c_);
  Id bound_id() {
    Id id = *channel_.create_id();
    EXPECT_TRUE(id.bind_addr(socket_address("10.0.0.3", 0)));
    return id;
  }
};

TEST_F(ApiServiceEvents, AddrinfoResolved) {
  Id id = bound_id();
  ASSERT_TRUE(id.resolve_ib_service({.name = "storage", .id = {}}));
  ASSERT_EQ(channel_.get_event()->type, addrinfo_resolved);
  EXPECT_EQ(id.state(), IdState::addrinfo_resolved);
  ASSERT_EQ(id.services().size(), 1U);
  EXPECT_EQ(id.peer_addr().port, 7471);
  ASSERT_TRUE(id.resolve_route(1s));
  ASSERT_EQ(channel_.get_event()->type, route_resolved);
  const auto end = Endpoint::make(c_, id);
  ASSERT_TRUE(id.connect({}));
  EXPECT_EQ(channel_.get_event()->type, established);
}

TEST_F(ApiServiceEvents, AddrinfoError) {
  Id id = bound_id();
  ASSERT_TRUE(id.resolve_ib_service({.name = "nonsense", .id = {}}));
  const auto event = channel_.get_event();
  ASSERT_EQ(event->type, addrinfo_error);
  EXPECT_EQ(event->status, -ETIMEDOUT);
  EXPECT_EQ(id.state(), IdState::addr_bound);
}

// Whether the host has a subnet administrator or not.
TEST_F(ApiServiceEvents, AddrinfoErrorOnDemand) {
  EventChannel channel = *EventChannel::create(a_);
  Id without = *channel.create_id();
  ASSERT_TRUE(without.bind_addr(socket_address("10.0.0.1", 0)));
  Id id = bound_id();
  for (Stack* on : {&a_, &c_}) ASSERT_TRUE(on->faults().set(SilenceService{"storage"}));
  for (const auto& [asking, events] : {std::pair(&without, &channel), {&id, &channel_}}) {
    ASSERT_TRUE(asking->resolve_ib_service({.name = "storage", .id = {}}));
    const auto event = events->get_event();
    ASSERT_EQ(event->type, addrinfo_error);
    EXPECT_EQ(event->status, -ETIMEDOUT);
  }
  ASSERT_TRUE(without.resolve_ib_service({.name = "another", .id = {}}));
  EXPECT_EQ(channel.get_event()->status, -ENODATA);
  c_.faults().clear_all();
  ASSERT_TRUE(id.resolve_ib_service({.name = "storage", .id = {}}));
  EXPECT_EQ(channel_.get_event()->type, addrinfo_resolved);
}

TEST_F(ApiServiceEvents, NoSubnetAdministratorNoServices) {
  EventChannel channel = *EventChannel::create(a_);
  Id id = *channel.create_id();
  ASSERT_TRUE(id.bind_addr(socket_address("10.0.0.1", 0)));
  EXPECT_EQ(errno_of(id.resolve_ib_service({.name = "storage", .id = {}})), EOPNOTSUPP);
}

TEST_F(ApiEvents, UserAndInternal) {
  EventChannel channel = *EventChannel::create(a_);
  EventChannel other = *EventChannel::create(a_);
  Id id = *channel.create_id();
  ASSERT_TRUE(channel.write_cm_event(id, user, -7, 0x123456789ABCDEF0));
  ASSERT_TRUE(channel.write_cm_event(id, internal));
  EXPECT_EQ(errno_of(channel.write_cm_event(id, established)), EINVAL);
  EXPECT_EQ(errno_of(other.write_cm_event(id, user)), EINVAL);
  EXPECT_EQ(errno_of(channel.write_cm_event({}, user)), EINVAL);
  const auto event = channel.try_get_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, user);
  EXPECT_EQ(event->id(), id);
  EXPECT_EQ(event->status, -7);
  EXPECT_EQ(event->arg, 0x123456789ABCDEF0U);
  EXPECT_EQ(channel.try_get_event()->type, internal);
  ASSERT_TRUE(channel.write_cm_event(id, user));
  id.destroy();
  EXPECT_EQ(errno_of(channel.try_get_event()), EAGAIN) << "gone with its id";
}

}  // namespace
}  // namespace hawser
