// Faults with types: each kind does what it says, on whom it says, counts it, and stops when it is withdrawn.
#include "hawser/faults.hpp"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/test_hosts.hpp"

namespace hawser {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using enum CmEventType;

class ApiFaults : public TwoSimulatedHosts {
 protected:
  bool reaches(const Client& client, CmEventType type) {
    return simulation_.run([&] { return !client.events.empty() && client.events.back() == type; });
  }
  std::uint64_t effects(Stack& stack, FaultNumber number) { return stack.faults().effects(number).value_or(~0ULL); }

  Faults faults_ = a_.faults();
};

// ---- each message of the connection manager ----

class ApiMessageFaults : public ApiFaults, public testing::WithParamInterface<CmMessage> {
 protected:
  // Every message is sent at least once: a refusal, a connection whose server takes its time, its end, a service found.
  // What both programs hear.
  std::vector<CmEventType> session() {
    std::vector<CmEventType> heard;
    const auto note = [&](const Client& client) {
      heard.insert(heard.end(), client.events.begin(), client.events.end());
    };
    Client refused(a_, socket_address("10.0.0.2", 1234));
    EXPECT_TRUE(reaches(refused, rejected));
    note(refused);

    Server slow(b_);
    slow.react = [&](IdRef, CmEvent& event) -> std::optional<int> {
      if (event.type != connect_request) return std::nullopt;
      slow.child = event.take_id();
      return 0;
    };
    Client client(a_, to_b_);
    EXPECT_TRUE(simulation_.run([&] { return static_cast<bool>(slow.child); }));
    simulation_.run_for(30s);  // the request is repeated, and answered with an MRA
    slow.end = Endpoint::make(b_, slow.child);
    EXPECT_TRUE(slow.child.accept({}));
    EXPECT_TRUE(reaches(client, established));
    EXPECT_TRUE(simulation_.run([&] { return slow.events.back() == established; }));
    EXPECT_TRUE(client.id.disconnect());
    simulation_.run();
    note(client);
    heard.insert(heard.end(), slow.events.begin(), slow.events.end());

    EventChannel here = *EventChannel::create(a_);
    EventChannel there = *EventChannel::create(b_);
    Id listener = *there.create_id(PortSpace::udp);
    EXPECT_TRUE(listener.bind_addr(to_b_));
    EXPECT_TRUE(listener.listen(1));
    Id asking = *here.create_id(PortSpace::udp);
    EXPECT_TRUE(asking.resolve_addr(nullptr, to_b_, 2s));
    heard.push_back(here.get_event()->type);
    EXPECT_TRUE(asking.resolve_route(2s));
    heard.push_back(here.get_event()->type);
    EXPECT_TRUE(asking.connect({}));
    Id child = there.get_event()->take_id();
    EXPECT_TRUE(child.accept({.qpn = Qpn(7)}));
    heard.push_back(here.get_event()->type);
    return heard;
  }
};

// The first of its kind is lost, late or there twice: counted once, and no program notices.
TEST_P(ApiMessageFaults, AreCountedAndSurvived) {
  const std::vector<CmEventType> undisturbed = session();
  for (const MessageFault& fault :
       {MessageFault::drop(GetParam()), MessageFault::delay(GetParam(), 100ms), MessageFault::duplicate(GetParam())}) {
    const FaultNumber here = *a_.faults().set(fault.nth(1));
    const FaultNumber there = *b_.faults().set(fault.nth(1));
    EXPECT_EQ(session(), undisturbed) << text_of(fault);
    EXPECT_GE(effects(a_, here) + effects(b_, there), 1U) << text_of(fault);
    EXPECT_LE(effects(a_, here), 1U) << text_of(fault);
    EXPECT_LE(effects(b_, there), 1U) << text_of(fault);
    a_.faults().clear_all();
    b_.faults().clear_all();
  }
}

INSTANTIATE_TEST_SUITE_P(, ApiMessageFaults,
                         testing::Values(CmMessage::req, CmMessage::rep, CmMessage::rtu, CmMessage::rej, CmMessage::mra,
                                         CmMessage::dreq, CmMessage::drep, CmMessage::sidr_req, CmMessage::sidr_rep),
                         [](const auto& one) { return std::string(name(one.param)); });

TEST_F(ApiFaults, HitTheMessagesThatTheyCount) {
  const FaultNumber lost = *faults_.set(MessageFault::drop(CmMessage::req).between(2, 3));
  Server server(b_);
  Client client(a_, to_b_);
  ASSERT_TRUE(reaches(client, established));
  EXPECT_EQ(effects(a_, lost), 0U) << "the first request was enough";
  Client second(a_, to_b_);
  const auto before = simulation_.now();
  ASSERT_TRUE(reaches(second, established));
  EXPECT_EQ(effects(a_, lost), 2U);
  EXPECT_GT(simulation_.now() - before, 8s) << "two response timeouts";
}

TEST_F(ApiFaults, ConcernOnePort) {
  const FaultNumber lost = *faults_.set(MessageFault::drop(CmMessage::req).of_port(7472));
  Server server(b_);
  Server other(b_, 7472);
  Client unhindered(a_, to_b_);
  Client hindered(a_, socket_address("10.0.0.2", 7472));
  ASSERT_TRUE(hindered.id.set_retries(1));
  ASSERT_TRUE(reaches(unhindered, established));
  ASSERT_TRUE(reaches(hindered, unreachable));
  EXPECT_EQ(effects(a_, lost), 2U);
}

TEST_F(ApiFaults, ConcernOneId) {
  Server server(b_);
  Client unhindered(a_, to_b_);
  Client hindered(a_, to_b_);
  ASSERT_NE(unhindered.id.number(), hindered.id.number());
  ASSERT_TRUE(hindered.id.set_retries(1));
  const FaultNumber lost = *faults_.set(MessageFault::drop(CmMessage::req).of_id(hindered.id));
  ASSERT_TRUE(reaches(unhindered, established));
  ASSERT_TRUE(reaches(hindered, unreachable));
  EXPECT_EQ(effects(a_, lost), 2U);
  EXPECT_FALSE(IdRef().number());
  EXPECT_EQ(MessageFault::drop(CmMessage::req).of_id({}).id, IdNumber(std::numeric_limits<std::uint32_t>::max()));
}

TEST_F(ApiFaults, SameSeedSameMessages) {
  const auto outcome = [&](std::uint64_t seed) {
    const FaultNumber lost = *faults_.set(MessageFault::drop(CmMessage::req).by_chance(0.5, seed));
    std::string fate;
    for (int i = 0; i < 16; ++i) {
      const std::uint64_t before = effects(a_, lost);
      Client client(a_, socket_address("10.0.0.2", 1));
      EXPECT_TRUE(client.id.set_retries(0));
      simulation_.run();
      fate += effects(a_, lost) > before ? 'x' : '.';
      EXPECT_EQ(client.events.back(), fate.back() == 'x' ? unreachable : rejected);
    }
    EXPECT_TRUE(faults_.clear(lost));
    return fate;
  };
  const std::string once = outcome(7);
  EXPECT_EQ(outcome(7), once);
  EXPECT_NE(outcome(8), once);
  EXPECT_THAT(once, testing::AllOf(HasSubstr("x"), HasSubstr(".")));
}

TEST_F(ApiFaults, DelayByAsMuchAsTheySay) {
  ASSERT_TRUE(b_.faults().set(MessageFault::delay(CmMessage::rep, 500ms)));
  Server server(b_);
  Client client(a_, to_b_);
  ASSERT_TRUE(reaches(client, established));
  EXPECT_GE(simulation_.now(), 500ms);
  EXPECT_LT(simulation_.now(), 501ms);
}

// ---- datagrams ----

TEST_F(ApiFaults, ACableIsCutAndMended) {
  Server server(b_);
  Client client(a_, to_b_);
  ASSERT_TRUE(reaches(client, established));
  const FaultNumber cut = *faults_.set(DatagramFault{.loss = 1});
  ASSERT_TRUE(client.end->qp.post_send(2, client.end->mr.slice(1024, 8)));
  simulation_.run_for(20ms);
  std::array<Completion, 1> done;
  EXPECT_EQ(client.end->cq.poll(done), 0U);
  EXPECT_GE(effects(a_, cut), 1U);
  ASSERT_TRUE(faults_.clear(cut));
  ASSERT_EQ(*client.end->cq.wait(done), 1U);
  EXPECT_EQ(done[0].status, WcStatus::success) << "repeated, and this time it arrived";
}

TEST_F(ApiFaults, DatagramsAreCountedFromWhenTheFaultIsSet) {
  Server server(b_);
  Client client(a_, to_b_);
  ASSERT_TRUE(reaches(client, established));
  simulation_.run();
  const FaultNumber twice = *faults_.set(DatagramFault{.duplication = 1});
  const FaultNumber lost = *faults_.set(DatagramFault{.lose_nth = 1, .lose_bitmap = {true}});
  Client second(a_, to_b_);
  ASSERT_TRUE(reaches(second, established));
  EXPECT_EQ(effects(a_, lost), 2U) << "the request and its first repetition";
  EXPECT_GE(effects(a_, twice), 3U);
}

// ---- the network ----

TEST_F(ApiFaults, AnAddressGoesAndComesBack) {
  const FaultNumber removed = *faults_.set(RemoveAddress{*IpAddress::parse("10.0.0.1")});
  EXPECT_TRUE(a_.devices().front().gids().empty());
  Id id = *a_.create_id([](IdRef, CmEvent&) { return 0; });
  EXPECT_EQ(errno_of(id.bind_addr(socket_address("10.0.0.1", 0))), EADDRNOTAVAIL);
  EXPECT_GE(effects(a_, removed), 1U);
  ASSERT_TRUE(faults_.clear(removed));
  EXPECT_THAT(a_.devices().front().gids(), ElementsAre(*Gid::parse("10.0.0.1")));
  EXPECT_TRUE(id.bind_addr(socket_address("10.0.0.1", 0)));
}

TEST_F(ApiFaults, ALinkGoesDownAndUp) {
  const FaultNumber down = *faults_.set(LinkDown{"hw_eth0"});
  EXPECT_FALSE(a_.devices().front().is_active());
  ASSERT_TRUE(faults_.clear(down));
  EXPECT_TRUE(a_.devices().front().is_active());
}

// In a handler: a device goes when the handler has returned.
TEST_F(ApiFaults, MayBeSetInHandlers) {
  Server server(b_);
  Client client(a_, to_b_);
  FaultNumber removed, duplicated;
  client.react = [&](IdRef id, CmEvent& event) -> std::optional<int> {
    if (event.type == addr_resolved) duplicated = *faults_.set(MessageFault::duplicate(CmMessage::req));
    if (event.type == established) {
      removed = *faults_.set(RemoveDevice{"hw_eth0"});
      EXPECT_FALSE(id.device().is_gone());
    }
    return std::nullopt;
  };
  ASSERT_TRUE(reaches(client, device_removal));
  EXPECT_EQ(effects(a_, duplicated), 1U);
  EXPECT_TRUE(a_.devices().empty());
  client.react = {};
  ASSERT_TRUE(faults_.clear(removed));
  EXPECT_EQ(a_.devices().size(), 1U);
}

TEST_F(ApiFaults, SetAndClearedInOneHandlerIsNothing) {
  Client client(a_, to_b_);
  client.react = [&](IdRef, CmEvent&) -> std::optional<int> {
    const auto number = faults_.set(RemoveDevice{"hw_eth0"});
    EXPECT_TRUE(faults_.clear(*number));
    return 0;
  };
  simulation_.run();
  EXPECT_THAT(client.events, ElementsAre(addr_resolved));
  EXPECT_EQ(a_.devices().size(), 1U);
}

// ---- plans ----

TEST_F(ApiFaults, CanBeChangedAndWithdrawn) {
  const FaultNumber number = *faults_.set(MessageFault::drop(CmMessage::req));
  Server server(b_);
  Client client(a_, to_b_);
  simulation_.run_for(1s);
  EXPECT_EQ(effects(a_, number), 1U);
  ASSERT_TRUE(faults_.change(number, LinkDown{"hw_eth0"}));
  EXPECT_FALSE(a_.devices().front().is_active());
  ASSERT_TRUE(faults_.change(number, MessageFault::drop(CmMessage::rtu)));
  EXPECT_TRUE(a_.devices().front().is_active());
  EXPECT_EQ(effects(a_, number), 0U) << "counting begins anew";
  ASSERT_EQ(faults_.list().size(), 1U);
  EXPECT_EQ(faults_.list()[0].number, number);
  EXPECT_EQ(faults_.list()[0].fault, Fault(MessageFault::drop(CmMessage::rtu)));
  ASSERT_TRUE(reaches(client, established));
  EXPECT_GE(effects(a_, number), 1U);
  ASSERT_TRUE(faults_.clear(number));
  EXPECT_TRUE(simulation_.run([&] { return server.events.back() == established; }));
  EXPECT_EQ(errno_of(faults_.clear(number)), ENOENT);
  EXPECT_EQ(errno_of(faults_.change(number, EndTimewait())), ENOENT);
  EXPECT_EQ(errno_of(faults_.effects(number)), ENOENT);
}

TEST_F(ApiFaults, BelongToTheirStack) {
  ASSERT_TRUE(faults_.set(MessageFault::drop(CmMessage::rep)));
  EXPECT_TRUE(b_.faults().list().empty());
  EXPECT_EQ(errno_of(faults_.clear(FaultNumber(1))), ENOENT) << "a number of `hawser fault`";
}

TEST_F(ApiFaults, HaveTheNotationOfTheCommand) {
  const std::vector<Fault> faults{
      MessageFault::drop(CmMessage::rep).nth(2).of_port(7471),
      MessageFault::delay(CmMessage::sidr_req, 500ms).from(3).by_chance(0.25, 42),
      MessageFault::duplicate(CmMessage::mra).between(2, 4),
      RemoveDevice{"hw_eth0"},
      RemoveAddress{*IpAddress::parse("10.0.0.1")},
      LinkDown{"hw_eth0"},
      ChangeMac{"hw_eth0"},
      MoveNeighbour{*IpAddress::parse("fe80::1")},
      SilenceNeighbour{*IpAddress::parse("10.0.0.2")},
      SilenceRoute{*IpAddress::parse("10.0.0.2")},
      SilenceService{"storage"},
      EndTimewait(),
      DatagramFault{.loss = 0.05, .duplication = 0.5, .lose_nth = 3, .lose_bitmap = {false, true, true}, .seed = 42}};
  EXPECT_EQ(text_of(faults[0]), "drop=REP:nth=2:port=7471");
  for (const Fault& fault : faults) EXPECT_THAT(*parse_faults(text_of(fault)), ElementsAre(fault)) << text_of(fault);
  EXPECT_EQ(errno_of(parse_faults("drop=NONSENSE")), EINVAL);
  EXPECT_THAT(*parse_faults("loss=5%,end-timewait,seed=3"),
              ElementsAre(Fault(DatagramFault{.loss = 0.05, .seed = 3}), Fault(EndTimewait())));
}

TEST_F(ApiFaults, WrongOnesAreRefused) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto req = MessageFault::drop(CmMessage::req);
  for (const Fault& wrong :
       std::initializer_list<Fault>{RemoveDevice{"eth0"}, LinkDown{"hw_"}, ChangeMac{""}, SilenceService{""},
                                    MessageFault::delay(CmMessage::req, 0ms), MessageFault::delay(CmMessage::req, 2h),
                                    req.nth(0), req.between(3, 2), req.by_chance(1.1, 0), req.by_chance(nan, 0),
                                    DatagramFault{.loss = -0.1}, DatagramFault{.duplication = nan}}) {
    EXPECT_EQ(errno_of(faults_.set(wrong)), EINVAL) << wrong.index();
  }
  EXPECT_TRUE(faults_.list().empty());
}

// What the agent cannot be told; tests/e2e/test_cxx_api.py has the rest.
TEST_F(ApiFaults, OfOtherProcessesAreThoseOfTheCommand) {
  EXPECT_EQ(errno_of(HostFaults::set(DatagramFault{.loss = 1})), EOPNOTSUPP);
  EXPECT_EQ(errno_of(HostFaults::set(MessageFault::delay(CmMessage::req, 500us))), EINVAL);
  EXPECT_EQ(errno_of(HostFaults::set(RemoveDevice{"eth0"})), EINVAL);
  EXPECT_EQ(errno_of(HostFaults::clear(FaultNumber(0))), ENOENT);
}

TEST_F(ApiFaults, AHostMayHaveThemFromTheStart) {
  Stack c = *simulation_.add_host(
      {.addresses = {*IpAddress::parse("10.0.0.3")}, .faults = "drop=REQ:nth=1,loss=0,duplicate=50%,seed=9"});
  EXPECT_EQ(c.faults().list().size(), 2U);
  Server server(b_);
  Client client(c, to_b_);
  ASSERT_TRUE(reaches(client, established));
  EXPECT_GT(simulation_.now(), 4s) << "the first request was lost";
}

}  // namespace
}  // namespace hawser
