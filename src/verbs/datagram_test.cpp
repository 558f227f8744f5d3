// Datagram queue pairs: states, addresses, groups.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "roce/network_header.hpp"
#include "verbs/address.hpp"
#include "verbs/test_host.hpp"

namespace hawser::verbs {
namespace {

using roce::WcStatus;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr QKey datagram_key{0x01234567};
constexpr std::uint32_t ud_init_mask = qp_attr::state | qp_attr::pkey_index | qp_attr::port | qp_attr::qkey;
const Gid test_group = *Gid::parse("239.1.1.1");

QpAttributes datagram_attributes() {
  QpAttributes a;
  a.port = 1;
  a.qkey = datagram_key;
  return a;
}

// A host's datagram queue pairs, ready, with ten receives each.
struct Station {
  explicit Station(TestHost& h, std::shared_ptr<Srq> srq = nullptr) : host(h) {
    memory.resize(1 << 14);
    region = host.register_bytes(memory, roce::access::local_write);
    qp = *Qp::create(*host.context, {.pd = host.pd,
                                     .send_cq = cq,
                                     .recv_cq = cq,
                                     .capabilities = {16, srq ? 0U : 16U, 4, srq ? 0U : 4U, 64},
                                     .type = QpType::ud,
                                     .srq = std::move(srq)});
  }
  ~Station() {
    for (const Gid& joined : groups) EXPECT_TRUE(qp->detach(joined));
    qp->destroy();
    host.context->memory().remove(region);
  }
  Station(const Station&) = delete;
  Station& operator=(const Station&) = delete;

  void make_ready() {
    ASSERT_TRUE(move_to(*qp, QpState::init, datagram_attributes(), ud_init_mask));
    ASSERT_TRUE(move_to(*qp, QpState::rtr, {}, qp_attr::state));
    ASSERT_TRUE(move_to(*qp, QpState::rts, {}, qp_attr::state | qp_attr::sq_psn));
  }
  void attach(const Gid& gid) {
    ASSERT_TRUE(qp->attach(gid));
    groups.push_back(gid);
  }
  [[nodiscard]] roce::RecvWork receive(std::uint64_t id, std::uint32_t bytes = 1100) const {
    return {.wr_id = id, .sges = {{.addr = region->iova, .length = bytes, .lkey = region->lkey}}};
  }
  Status send(std::unique_ptr<AddressHandle>& to, Qpn qpn, std::uint32_t bytes = 16) {
    roce::SendWork work;
    work.wr_id = 1;
    work.ud = {.address = to->address(), .qpn = qpn, .qkey = datagram_key};
    work.sges.push_back({.addr = region->iova + 8192, .length = bytes, .lkey = region->lkey});
    return qp->post_send(once(work));
  }
  std::vector<std::uint64_t> received() {
    std::vector<std::uint64_t> ids;
    cq->poll(100, [&](const CqEntry& entry) {
      EXPECT_EQ(entry.completion.status, WcStatus::success);
      ids.push_back(entry.completion.wr_id);
    });
    return ids;
  }

  TestHost& host;
  std::vector<std::byte> memory;
  MemoryRegion* region{};
  std::shared_ptr<Cq> cq = host.make_cq();
  std::shared_ptr<Qp> qp;
  std::vector<Gid> groups;
};

class Datagram : public testing::Test {
 protected:
  std::unique_ptr<AddressHandle> address_of(TestHost& from, const Gid& to) {
    AddressVector vector;
    vector.destination = to;
    vector.is_global = true;
    return std::move(*AddressHandle::create(*from.context, from.pd, vector));
  }
  void run() {
    while (network.next_arrival() != rt::time_never) {
      world->advance_to(std::max(world->now(), network.next_arrival()));
      a.path.receive(64);
      b.path.receive(64);
    }
  }

  std::unique_ptr<rt::World> world = rt::World::simulated(1);
  fabric::SimNetwork network{*world};
  TestHost a{*world, network, "10.0.0.1"}, b{*world, network, "10.0.0.2"};
  const Gid gid_a = *Gid::parse("10.0.0.1"), gid_b = *Gid::parse("10.0.0.2");
};

TEST_F(Datagram, GoesWhereItsAddressHandleSays) {
  Station alice(a), bob(b);
  alice.make_ready();
  bob.make_ready();
  ASSERT_TRUE(bob.qp->post_receive(once(bob.receive(5))));
  auto to_bob = address_of(a, gid_b);
  alice.memory[8192] = std::byte{0x5A};
  ASSERT_TRUE(alice.send(to_bob, bob.qp->qpn()));
  to_bob.reset();  // the program may destroy it at once
  run();
  EXPECT_THAT(bob.received(), ElementsAre(5));
  EXPECT_EQ(bob.memory[roce::network_header_bytes], std::byte{0x5A});
  EXPECT_EQ(alice.qp->query().send_psn, Psn(1));
  EXPECT_EQ(alice.qp->query().qkey, datagram_key);
}

TEST_F(Datagram, ReachesAQueuePairOfTheSameDevice) {
  Station one(a), other(a);
  one.make_ready();
  other.make_ready();
  ASSERT_TRUE(other.qp->post_receive(once(other.receive(5))));
  auto to_self = address_of(a, gid_a);
  ASSERT_TRUE(one.send(to_self, other.qp->qpn()));
  run();
  EXPECT_THAT(other.received(), ElementsAre(5));
}

TEST_F(Datagram, WhatIsDroppedIsCounted) {
  Station alice(a), bob(b);
  alice.make_ready();
  auto to_bob = address_of(a, gid_b);
  ASSERT_TRUE(alice.send(to_bob, bob.qp->qpn()));  // still in RESET
  run();
  EXPECT_EQ(b.path.counters().unknown_qp, 1U);
  bob.make_ready();
  ASSERT_TRUE(alice.send(to_bob, bob.qp->qpn()));
  run();
  EXPECT_EQ(b.path.counters().no_receive, 1U);
  ASSERT_TRUE(bob.qp->post_receive(once(bob.receive(5, 50))));
  ASSERT_TRUE(alice.send(to_bob, bob.qp->qpn()));
  run();
  EXPECT_EQ(b.path.counters().too_long, 1U);
  QpAttributes other_key;
  other_key.qkey = QKey(1);
  ASSERT_TRUE(bob.qp->modify(other_key, qp_attr::qkey));
  ASSERT_TRUE(alice.send(to_bob, bob.qp->qpn()));
  run();
  EXPECT_EQ(b.path.counters().bad_qkey, 1U);
  ASSERT_TRUE(alice.send(to_bob, bob.qp->qpn(), 1025));
  EXPECT_EQ(a.path.counters().sends_too_long, 1U);
  EXPECT_THAT(bob.received(), IsEmpty());
}

TEST_F(Datagram, AGroupReachesEveryAttachedQueuePairOnce) {
  Station sender(a), one(b), two(b), aside(b);
  for (Station* station : {&sender, &one, &two, &aside}) {
    station->make_ready();
    ASSERT_TRUE(station->qp->post_receive(once(station->receive(5))));
    ASSERT_TRUE(station->qp->post_receive(once(station->receive(6))));
  }
  auto to_group = address_of(a, test_group);
  one.attach(test_group);
  two.attach(test_group);
  EXPECT_TRUE(one.qp->attach(test_group));  // twice is once
  ASSERT_TRUE(sender.send(to_group, qpn_multicast));
  run();
  EXPECT_THAT(one.received(), ElementsAre(5));
  EXPECT_THAT(two.received(), ElementsAre(5));
  EXPECT_THAT(aside.received(), IsEmpty());
  EXPECT_THAT(sender.received(), IsEmpty());

  sender.attach(test_group);  // then its own copy as well
  ASSERT_TRUE(sender.send(to_group, qpn_multicast));
  run();
  EXPECT_THAT(sender.received(), ElementsAre(5));
  EXPECT_THAT(one.received(), ElementsAre(6));
  EXPECT_TRUE(one.qp->attached());
  EXPECT_FALSE(aside.qp->attached());
}

TEST_F(Datagram, TheMembershipEndsWithTheLastDetach) {
  Station one(b), two(b);
  MulticastGroups& groups = b.path.multicast_groups();
  const DevicePtr device = b.devices.list().front();
  ASSERT_TRUE(one.qp->attach(test_group));
  ASSERT_TRUE(one.qp->attach(test_group));
  ASSERT_TRUE(two.qp->attach(test_group));
  EXPECT_EQ(groups.joins(device, test_group), 2U);
  ASSERT_TRUE(one.qp->detach(test_group));
  EXPECT_EQ(errno_of(one.qp->detach(test_group)), EINVAL);
  ASSERT_TRUE(two.qp->detach(test_group));
  EXPECT_EQ(groups.joins(device, test_group), 0U);
  EXPECT_EQ(errno_of(two.qp->attach(gid_a)), EINVAL);
  const auto rc = b.make_qp(b.make_cq());
  EXPECT_EQ(errno_of(rc->attach(test_group)), EINVAL);
  rc->destroy();
}

TEST_F(Datagram, AGroupMemberThatNobodyIsAttachedForDropsIt) {
  Station sender(a);
  sender.make_ready();
  const DevicePtr device = b.devices.list().front();
  ASSERT_TRUE(b.path.multicast_groups().join(device, test_group));
  auto to_group = address_of(a, test_group);
  ASSERT_TRUE(sender.send(to_group, qpn_multicast));
  ASSERT_TRUE(sender.send(to_group, Qpn(0x100)));  // a queue pair is not found by a group's address
  run();
  EXPECT_EQ(b.path.counters().unknown_group, 2U);
}

TEST_F(Datagram, AnAddressHandleNeedsAWay) {
  AddressVector vector;
  vector.destination = gid_b;
  EXPECT_EQ(errno_of(AddressHandle::create(*a.context, a.pd, vector)), EINVAL);  // not global
  vector.is_global = true;
  EXPECT_TRUE(AddressHandle::create(*a.context, a.pd, vector));
  vector.source_gid_index = 9;
  EXPECT_EQ(errno_of(AddressHandle::create(*a.context, a.pd, vector)), EINVAL);
  vector.source_gid_index = 0;
  vector.destination = *Gid::parse("fd00::1");  // from an IPv4 address
  EXPECT_EQ(errno_of(AddressHandle::create(*a.context, a.pd, vector)), EINVAL);
  EXPECT_EQ(a.pd->users.load(), 0U);
  EXPECT_EQ(a.context->ahs.load(), 0U);
}

TEST_F(Datagram, AttributesOfTheTransitions) {
  Station alice(a);
  Qp& qp = *alice.qp;
  const QpAttributes attributes = datagram_attributes();
  EXPECT_EQ(errno_of(move_to(qp, QpState::init, attributes, init_mask)), EINVAL);  // access flags, no Q_Key
  EXPECT_EQ(errno_of(move_to(qp, QpState::rtr, attributes, qp_attr::state)), EINVAL);
  ASSERT_TRUE(move_to(qp, QpState::init, attributes, ud_init_mask));
  EXPECT_EQ(errno_of(move_to(qp, QpState::rtr, attributes, qp_attr::state | qp_attr::av)), EINVAL);
  ASSERT_TRUE(move_to(qp, QpState::rtr, attributes, qp_attr::state));
  EXPECT_EQ(errno_of(move_to(qp, QpState::rts, attributes, qp_attr::state)), EINVAL);  // no PSN
  ASSERT_TRUE(move_to(qp, QpState::rts, attributes, qp_attr::state | qp_attr::sq_psn));
  ASSERT_TRUE(move_to(qp, QpState::sqd, attributes, qp_attr::state));
  ASSERT_TRUE(move_to(qp, QpState::rts, attributes, qp_attr::state));
  EXPECT_EQ(errno_of(move_to(qp, QpState::sqe, attributes, qp_attr::state)), EINVAL);
  ASSERT_TRUE(move_to(qp, QpState::err, attributes, qp_attr::state));
  ASSERT_TRUE(move_to(qp, QpState::reset, attributes, qp_attr::state));
}

TEST_F(Datagram, AFailedSendStopsSendsOnly) {
  Station alice(a), bob(b);
  alice.make_ready();
  bob.make_ready();
  auto to_bob = address_of(a, gid_b);
  auto to_alice = address_of(b, gid_a);
  ASSERT_TRUE(alice.qp->post_receive(once(alice.receive(5))));
  roce::SendWork broken;
  broken.wr_id = 9;
  broken.ud = {.address = to_bob->address(), .qpn = bob.qp->qpn(), .qkey = datagram_key};
  broken.sges.push_back({.addr = 0, .length = 4, .lkey = LKey(1)});
  ASSERT_TRUE(alice.qp->post_send(once(broken)));
  EXPECT_EQ(alice.qp->state(), QpState::sqe);
  ASSERT_TRUE(alice.send(to_bob, bob.qp->qpn()));
  auto entries = Pair::drain(*alice.cq);
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].completion.status, WcStatus::loc_prot_err);
  EXPECT_EQ(entries[1].completion.status, WcStatus::wr_flush_err);
  ASSERT_TRUE(bob.send(to_alice, alice.qp->qpn()));
  run();
  EXPECT_THAT(alice.received(), ElementsAre(5));
  ASSERT_TRUE(move_to(*alice.qp, QpState::rts, {}, qp_attr::state));
  ASSERT_TRUE(bob.qp->post_receive(once(bob.receive(6))));
  ASSERT_TRUE(alice.send(to_bob, bob.qp->qpn()));
  run();
  EXPECT_THAT(bob.received(), ElementsAre(6));
}

TEST_F(Datagram, ConnectedWorkIsRefused) {
  Station alice(a);
  alice.make_ready();
  roce::SendWork write;
  write.op = roce::WorkOp::rdma_write;
  EXPECT_EQ(errno_of(alice.qp->post_send(once(write))), EINVAL);
  roce::SendWork nowhere;
  EXPECT_EQ(errno_of(alice.qp->post_send(once(nowhere))), EINVAL);
}

TEST_F(Datagram, LossAndDuplicationAreTheProgramsToSee) {
  fabric::FaultyFabric wire(network.attach({*Gid::parse("10.0.0.3")}), {.duplication = 1, .lose_nth = 1});
  DeviceTable devices{3};
  TestQpns qpns;
  DataPath path{*world, wire, devices, qpns, {}};
  devices.apply({TestHost::interface("10.0.0.3")});
  Station bob(b);
  bob.make_ready();
  for (std::uint64_t id = 0; id < 6; ++id) ASSERT_TRUE(bob.qp->post_receive(once(bob.receive(id))));
  roce::Packet packet;
  packet.bth.opcode = {roce::Transport::ud, roce::Operation::send_only};
  packet.bth.destination = bob.qp->qpn();
  packet.deth = roce::Deth{.qkey = datagram_key, .source = Qpn(3)};
  std::array<std::byte, 64> bytes;
  const Gid source = *Gid::parse("10.0.0.3");
  const std::size_t length = roce::encode(packet, source, gid_b, wire.source_port(), bytes);
  for (int i = 0; i < 3; ++i) {
    const fabric::OutDatagram out{.source = source, .destination = gid_b, .payload = std::span(bytes).first(length)};
    wire.send({&out, 1});
  }
  run();
  EXPECT_EQ(bob.received().size(), 4U);  // of three, the second is lost and the others come twice
}

}  // namespace
}  // namespace hawser::verbs
