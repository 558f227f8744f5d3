// Malformed, spoofed and forged packets: nothing crashes, and nothing completes that the peer did not do.
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "roce/rc_test_pair.hpp"

namespace hawser::roce {
namespace {

using test::End;
using test::Pair;

constexpr Psn far_behind(Psn psn) { return psn.minus(0x100000); }
constexpr Psn far_ahead(Psn psn) { return psn.plus(0x100000); }

// A pair with work in the middle: end a has sent, end b has not seen it.
class Hostile : public testing::Test {
 protected:
  Hostile() : pair_(Pair::Options{.ipv6 = true}) {
    pair_.connect();
    pair_.b.post_receive(100, 0, 4096);
    pair_.a.qp.post_send(End::work(WorkOp::send, 1, 0, 700));
    pair_.a.qp.post_send(End::work(WorkOp::rdma_write, 2, 0, 700));
    pair_.a.qp.post_send(End::work(WorkOp::rdma_read, 3, 0, 700));
    SendWork add = End::work(WorkOp::atomic_fetch_and_add, 4, 0, 8);
    pair_.a.qp.post_send(std::move(add));
  }
  void expect_nothing_happened() {
    for (const End* end : {&pair_.a, &pair_.b}) {
      EXPECT_TRUE(end->host.sent.empty());
      EXPECT_TRUE(end->host.received.empty());
      EXPECT_EQ(end->host.errors, 0);
    }
    EXPECT_EQ(pair_.b.qp.receive_psn(), pair_.attributes[1].receive_psn);
    EXPECT_EQ(pair_.b.host.established, 0);
  }
  void expect_normal_end() {
    ASSERT_TRUE(pair_.run());
    EXPECT_EQ(pair_.a.host.sent_ids(), (std::vector<std::uint64_t>{1, 2, 3, 4}));
    EXPECT_EQ(pair_.b.host.received.size(), 1U);
    EXPECT_EQ(pair_.a.host.errors + pair_.b.host.errors, 0);
  }
  Pair pair_;
};

// All that one end could say to the other, for tests that spoil it.
std::vector<std::vector<std::byte>> vocabulary(std::uint64_t seed) {
  Pair pair({.seed = seed, .ipv6 = true});
  pair.connect();
  for (const WorkOp op : {WorkOp::send, WorkOp::send_with_imm, WorkOp::send_with_inv, WorkOp::rdma_write,
                          WorkOp::rdma_write_with_imm, WorkOp::rdma_read, WorkOp::atomic_cmp_and_swp}) {
    for (const std::size_t length : {std::size_t{8}, std::size_t{600}}) {
      if (op == WorkOp::atomic_cmp_and_swp && length != 8) continue;
      for (End* end : {&pair.a, &pair.b}) {
        End& other = end == &pair.a ? pair.b : pair.a;
        other.host.regions[77] = {.address = 0, .bytes = std::vector<std::byte>(1)};
        other.post_receive(1, 0, 1024);
        SendWork work = End::work(op, 1, 0, length);
        work.invalidate_rkey = RKey(77);
        end->qp.post_send(std::move(work));
        EXPECT_TRUE(pair.run());
      }
    }
  }
  auto words = pair.a.host.packets;
  words.insert(words.end(), pair.b.host.packets.begin(), pair.b.host.packets.end());
  return words;
}

void mutate(std::vector<std::byte>& bytes, rt::World& chance) {
  const std::size_t changes = 1 + chance.random() % 3;
  for (std::size_t i = 0; i < changes; ++i) {
    switch (chance.random() % 4) {
      case 0: bytes[chance.random() % bytes.size()] ^= std::byte{1} << (chance.random() % 8); break;
      case 1: bytes[chance.random() % bytes.size()] = static_cast<std::byte>(chance.random()); break;
      case 2:
        bytes[chance.random() % std::min<std::size_t>(bytes.size(), 44)] = static_cast<std::byte>(chance.random());
        break;
      default: bytes.resize(std::max<std::size_t>(1, chance.random() % (bytes.size() + 8))); break;
    }
  }
}

TEST_F(Hostile, CorruptPacketsAreRefused) {
  const auto words = vocabulary(1);
  const auto chance = rt::World::simulated(11);
  int decoded = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::byte> bytes = words[chance->random() % words.size()];
    const std::vector<std::byte> original = bytes;
    mutate(bytes, *chance);
    // The fifth byte of the BTH is not covered, and one change may undo another.
    if (bytes.size() == original.size()) bytes[4] = original[4];
    if (bytes == original) continue;
    for (std::size_t end = 0; end < 2; ++end) {
      fabric::InDatagram in;
      in.source = pair_.addresses[1 - end];
      in.destination = pair_.addresses[end];
      in.source_port = roce_v2_port;
      in.payload = bytes;
      const auto packet = decode(in);
      if (!packet) continue;
      ++decoded;
      (end == 0 ? pair_.a : pair_.b).qp.on_packet(*packet, in.source);
    }
  }
  EXPECT_EQ(decoded, 0);  // IPv6: all 32 bits of the ICRC check
  expect_nothing_happened();
  expect_normal_end();
}

TEST_F(Hostile, OtherAddressesAreIgnored) {
  const auto words = vocabulary(2);
  const auto stranger = *IpAddress::parse("fd00::3");
  for (const auto& word : words) {
    const auto packet = decode_unverified(word);
    ASSERT_TRUE(packet);
    for (End* end : {&pair_.a, &pair_.b}) end->qp.on_packet(*packet, stranger);
  }
  expect_nothing_happened();
  expect_normal_end();
}

TEST_F(Hostile, PacketsOutsideTheWindowCompleteNothing) {
  const auto words = vocabulary(3);
  for (const auto& word : words) {
    auto packet = decode_unverified(word);
    ASSERT_TRUE(packet);
    const Psn asked = pair_.attributes[0].send_psn, expected = pair_.attributes[1].receive_psn;
    for (const Psn psn : {far_behind(asked), far_ahead(asked)}) {
      packet->bth.psn = psn;
      pair_.a.qp.on_packet(*packet, pair_.addresses[1]);
    }
    for (const Psn psn : {far_behind(expected), far_ahead(expected)}) {
      packet->bth.psn = psn;
      pair_.b.qp.on_packet(*packet, pair_.addresses[0]);
      pair_.b.qp.flush_acks();
    }
  }
  expect_nothing_happened();
  expect_normal_end();
}

// An attacker who knows addresses, QPNs and PSNs may break the connection, as with any RC, but not the process: no
// completion twice, none that was not posted, no access outside of registered memory (the address sanitizer looks).
TEST(HostileForgery, BreaksNothingButTheConnection) {
  const auto words = vocabulary(4);
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const auto chance = rt::World::simulated(seed);
    Pair pair({.seed = seed, .ipv6 = true});
    pair.attributes[0].rnr_retry = pair.attributes[1].rnr_retry = 3;
    pair.connect();
    constexpr std::uint64_t works = 12;
    std::uint64_t posted = 0;
    for (int i = 0; i < 300; ++i) {
      End& target = chance->random() % 2 == 0 ? pair.a : pair.b;
      const std::size_t self = &target == &pair.a ? 0 : 1;
      if (posted < works && chance->random() % 8 == 0) {
        const WorkOp op = std::array{WorkOp::send, WorkOp::rdma_write, WorkOp::rdma_read}[chance->random() % 3];
        target.qp.post_send(End::work(op, posted++, 0, chance->random() % 2000));
        if (target.host.errors > 0) target.qp.flush();  // as the owner of a queue pair in ERR does
      }
      if (chance->random() % 8 == 0)
        target.post_receive(1000 + static_cast<std::uint64_t>(i), 0, chance->random() % 2000);
      std::vector<std::byte> bytes = words[chance->random() % words.size()];
      if (chance->random() % 2 == 0) mutate(bytes, *chance);
      auto packet = decode_unverified(bytes);
      if (!packet) continue;
      // Near what the target waits for: expected requests, outstanding answers.
      const Psn base = chance->random() % 2 == 0 ? target.qp.receive_psn() : pair.attributes[self].send_psn;
      packet->bth.psn = base.plus(static_cast<std::uint32_t>(chance->random() % 5)).minus(1);
      target.qp.on_packet(*packet, pair.addresses[1 - self]);
      if (chance->random() % 4 == 0) target.qp.flush_acks();
      if (chance->random() % 16 == 0) {
        ASSERT_TRUE(pair.run_for(std::chrono::microseconds(20)));
      }
    }
    ASSERT_TRUE(pair.run());
    for (End* end : {&pair.a, &pair.b}) {
      std::set<std::uint64_t> sent, received;
      for (const Completion& completion : end->host.sent) EXPECT_TRUE(sent.insert(completion.wr_id).second);
      for (const Completion& completion : end->host.received) EXPECT_TRUE(received.insert(completion.wr_id).second);
      EXPECT_LE(end->host.errors, 1);
      EXPECT_EQ(end->qp.sends_outstanding(), 0U);
    }
    EXPECT_EQ(pair.a.host.sent.size() + pair.b.host.sent.size(), posted);
  }
}

}  // namespace
}  // namespace hawser::roce
