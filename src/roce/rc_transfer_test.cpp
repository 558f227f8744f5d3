// Data end to end: every operation, size and MTU, with and without loss, reordering and duplication.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "roce/rc_test_pair.hpp"

namespace hawser::roce {
namespace {

using test::End;
using test::Pair;

constexpr std::array data_ops{WorkOp::send,       WorkOp::send_with_imm,       WorkOp::send_with_inv,
                              WorkOp::rdma_write, WorkOp::rdma_write_with_imm, WorkOp::rdma_read};
constexpr std::size_t region = 1 << 18;  // where the other half of the memory begins

bool is_send(WorkOp op) { return op == WorkOp::send || op == WorkOp::send_with_imm || op == WorkOp::send_with_inv; }
bool needs_receive(WorkOp op) { return is_send(op) || op == WorkOp::rdma_write_with_imm; }

// Posts one operation of `length` bytes at end a and returns whether the data arrives whole and nothing around it.
void transfer(Pair& pair, WorkOp op, std::size_t length, std::uint64_t id) {
  SCOPED_TRACE(fmt::format("op {} length {}", static_cast<int>(op), length));
  constexpr std::size_t margin = 16;
  End& origin = op == WorkOp::rdma_read ? pair.b : pair.a;
  End& target = op == WorkOp::rdma_read ? pair.a : pair.b;
  constexpr std::uint32_t throw_away_key = 77;
  origin.fill(0, length, id);
  target.fill(region, length + 2 * margin, id + 1);
  const std::vector<std::byte> before(target.memory(region, margin).begin(), target.memory(region, margin).end());
  pair.b.host.regions[throw_away_key] = {.address = 1, .bytes = std::vector<std::byte>(1)};
  if (needs_receive(op)) pair.b.post_receive(id + 1000, region + margin, length);
  const bool read = op == WorkOp::rdma_read;
  SendWork work = End::work(op, id, read ? region + margin : 0, length, read ? 0 : region + margin);
  work.invalidate_rkey = RKey(throw_away_key);
  const std::size_t sent_before = pair.a.host.sent.size(), received_before = pair.b.host.received.size();
  pair.a.qp.post_send(std::move(work));
  ASSERT_TRUE(pair.run());

  ASSERT_EQ(pair.a.host.sent.size(), sent_before + 1);
  EXPECT_EQ(pair.a.host.sent.back().wr_id, id);
  ASSERT_EQ(pair.a.host.sent.back().status, WcStatus::success);
  EXPECT_TRUE(std::ranges::equal(origin.memory(0, length), target.memory(region + margin, length)));
  EXPECT_TRUE(std::ranges::equal(target.memory(region, margin), before));
  ASSERT_EQ(pair.b.host.received.size(), received_before + (needs_receive(op) ? 1 : 0));
  if (!needs_receive(op)) return;
  const Completion& completion = pair.b.host.received.back();
  EXPECT_EQ(completion.wr_id, id + 1000);
  EXPECT_EQ(completion.status, WcStatus::success);
  EXPECT_EQ(completion.opcode, is_send(op) ? WcOpcode::recv : WcOpcode::recv_rdma_with_imm);
  EXPECT_EQ(completion.byte_len, length);
  EXPECT_EQ(completion.with_imm, op == WorkOp::send_with_imm || op == WorkOp::rdma_write_with_imm);
  EXPECT_EQ(completion.imm_data, completion.with_imm ? 0x01020304U : 0U);
  EXPECT_EQ(completion.with_inv, op == WorkOp::send_with_inv);
  EXPECT_EQ(pair.b.host.regions.contains(throw_away_key), op != WorkOp::send_with_inv);
}

class TransferOverMtu : public testing::TestWithParam<Mtu> {};
INSTANTIATE_TEST_SUITE_P(, TransferOverMtu,
                         testing::Values(Mtu::mtu_256, Mtu::mtu_512, Mtu::mtu_1024, Mtu::mtu_2048, Mtu::mtu_4096),
                         [](const auto& tested) { return std::to_string(mtu_bytes(tested.param)); });

TEST_P(TransferOverMtu, EveryOperationAndSize) {
  const std::size_t mtu = mtu_bytes(GetParam());
  for (const bool ipv6 : {false, true}) {
    Pair pair({.ipv6 = ipv6});
    pair.attributes[0].path_mtu = pair.attributes[1].path_mtu = GetParam();
    pair.connect();
    std::uint64_t id = 1;
    for (const WorkOp op : data_ops) {
      for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{3}, mtu - 1, mtu, mtu + 1, 2 * mtu,
                                       3 * mtu + 2, 9 * mtu, std::size_t{100'001}}) {
        transfer(pair, op, length, id++);
      }
    }
    EXPECT_EQ(pair.a.qp.counters().retransmits, 0U);
    EXPECT_EQ(pair.b.host.established, 1);
    EXPECT_EQ(pair.a.host.established, 0);
    for (const auto& packet : pair.a.host.packets) {
      EXPECT_LE(packet.size(), mtu + 12 + 16 + 4 + 4);
    }
  }
}

TEST(Transfer, GathersAndScatters) {
  Pair pair;
  pair.connect();
  pair.a.fill(0, 3000, 7);
  SendWork work = End::work(WorkOp::send, 1, 0, 0);
  for (const auto& [offset, length] : {std::pair{0, 100}, {500, 0}, {1000, 700}, {100, 1}, {2000, 333}}) {
    work.sges.push_back(End::sge(static_cast<std::size_t>(offset), static_cast<std::size_t>(length)));
  }
  RecvWork receive{.wr_id = 2, .sges = {}};
  receive.sges.push_back(End::sge(5000, 300));
  receive.sges.push_back(End::sge(9000, 2000));
  pair.b.host.receives.push_back(receive);
  pair.a.qp.post_send(std::move(work));
  ASSERT_TRUE(pair.run());
  std::vector<std::byte> expected, got;
  for (const auto& part :
       {pair.a.memory(0, 100), pair.a.memory(1000, 700), pair.a.memory(100, 1), pair.a.memory(2000, 333)}) {
    expected.insert(expected.end(), part.begin(), part.end());
  }
  for (const auto& part : {pair.b.memory(5000, 300), pair.b.memory(9000, expected.size() - 300)}) {
    got.insert(got.end(), part.begin(), part.end());
  }
  EXPECT_EQ(got, expected);
  ASSERT_EQ(pair.b.host.received.size(), 1U);
  EXPECT_EQ(pair.b.host.received[0].byte_len, expected.size());
}

TEST(Transfer, InlineDataIsTakenAtPostTime) {
  Pair pair;
  pair.connect();
  SendWork work = End::work(WorkOp::send, 1, 0, 0);
  work.inlined = true;
  for (int i = 0; i < 300; ++i) work.inline_data.push_back(static_cast<std::byte>(i));
  pair.b.post_receive(2, 0, 512);
  pair.a.qp.post_send(std::move(work));
  ASSERT_TRUE(pair.run());
  ASSERT_EQ(pair.b.host.received.size(), 1U);
  EXPECT_EQ(pair.b.host.received[0].byte_len, 300U);
  for (std::size_t i = 0; i < 300; ++i) EXPECT_EQ(pair.b.memory(0, 300)[i], static_cast<std::byte>(i));
}

TEST(Transfer, Atomics) {
  Pair pair;
  pair.connect();
  const auto word = [](End& end, std::size_t offset) {
    std::uint64_t value = 0;
    std::memcpy(&value, end.memory(offset, 8).data(), 8);
    return value;
  };
  const std::uint64_t start = 0x1122334455667788;
  std::memcpy(pair.b.memory(64, 8).data(), &start, 8);
  SendWork add = End::work(WorkOp::atomic_fetch_and_add, 1, 0, 8, 64);
  add.compare_add = 0x10;
  pair.a.qp.post_send(std::move(add));
  SendWork swap = End::work(WorkOp::atomic_cmp_and_swp, 2, 8, 8, 64);
  swap.compare_add = start + 0x10;
  swap.swap = 42;
  pair.a.qp.post_send(std::move(swap));
  SendWork no_swap = End::work(WorkOp::atomic_cmp_and_swp, 3, 16, 8, 64);
  no_swap.compare_add = 43;
  no_swap.swap = 44;
  pair.a.qp.post_send(std::move(no_swap));
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.a.host.sent_ids(), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_EQ(word(pair.a, 0), start);
  EXPECT_EQ(word(pair.a, 8), start + 0x10);
  EXPECT_EQ(word(pair.a, 16), 42U);
  EXPECT_EQ(word(pair.b, 64), 42U);
  EXPECT_EQ(pair.a.host.sent[0].opcode, WcOpcode::fetch_add);
  EXPECT_EQ(pair.a.host.sent[1].opcode, WcOpcode::comp_swap);
}

TEST(Transfer, PsnWrapsAround) {
  for (const WorkOp op : data_ops) {
    Pair pair({.faults = {.loss = 0.1}});
    pair.attributes[0].send_psn = pair.attributes[1].receive_psn = Psn(0xFFFFFD);
    pair.connect();
    transfer(pair, op, 20 * 256, 1);
    transfer(pair, op, 5, 2);
    EXPECT_LT(pair.a.qp.send_psn().value, 0x100U);
    EXPECT_EQ(pair.b.qp.receive_psn(), pair.a.qp.send_psn());
  }
}

// Every loss pattern over the first eight packets, of either direction.
TEST(Transfer, EveryLossBitmapOverTheFirstEightPackets) {
  for (const WorkOp op : {WorkOp::send, WorkOp::rdma_write, WorkOp::rdma_write_with_imm, WorkOp::rdma_read}) {
    for (unsigned bitmap = 0; bitmap < 256; ++bitmap) {
      SCOPED_TRACE(fmt::format("bitmap {:08b}", bitmap));
      if (op == WorkOp::rdma_read && bitmap == 255) continue;  // eight requests lost: one more than seven retries allow
      Pair pair;
      unsigned sent = 0;
      const auto drop = [&] {
        const unsigned n = sent++;
        return n < 8 && (bitmap >> n & 1) != 0;
      };
      pair.a.host.drop = pair.b.host.drop = drop;
      pair.connect();
      transfer(pair, op, 5 * 256 - 3, 1);
      transfer(pair, op, 10, 2);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(Transfer, AtomicsAreExecutedOnceUnderEveryLossBitmap) {
  for (unsigned bitmap = 0; bitmap < 256; ++bitmap) {
    SCOPED_TRACE(fmt::format("bitmap {:08b}", bitmap));
    Pair pair;
    unsigned sent = 0;
    pair.a.host.drop = pair.b.host.drop = [&] { return sent < 8 && (bitmap >> sent++ & 1) != 0; };
    pair.connect();
    for (std::size_t i = 0; i < 5; ++i) {
      SendWork add = End::work(WorkOp::atomic_fetch_and_add, i, 8 * i, 8, 0);
      add.compare_add = 1;
      pair.a.qp.post_send(std::move(add));
    }
    ASSERT_TRUE(pair.run());
    ASSERT_EQ(pair.a.host.sent_ids(), (std::vector<std::uint64_t>{0, 1, 2, 3, 4}));
    for (std::size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(pair.a.host.sent[i].status, WcStatus::success);
      EXPECT_EQ(pair.a.memory(8 * i, 1)[0], static_cast<std::byte>(i));
    }
    EXPECT_EQ(pair.b.memory(0, 1)[0], std::byte{5});
  }
}

struct Disorder {
  const char* name;
  fabric::LinkModel link;
  double loss, duplication;
};

class TransferInDisorder : public testing::TestWithParam<Disorder> {};
using std::chrono::microseconds;
INSTANTIATE_TEST_SUITE_P(, TransferInDisorder,
                         testing::Values(Disorder{"loss", {}, 0.05, 0}, Disorder{"duplication", {}, 0, 0.3},
                                         Disorder{"reordering", {microseconds(10), microseconds(30)}, 0, 0},
                                         Disorder{"everything", {microseconds(10), microseconds(40)}, 0.05, 0.05}),
                         [](const auto& tested) { return tested.param.name; });

// Both ends send a mixture at once, many requests deep; every byte is compared, every completion in order.
TEST_P(TransferInDisorder, MixtureInBothDirections) {
  constexpr std::size_t count = 40, slot = 4096;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const Disorder& disorder = GetParam();
    Pair pair(
        {.seed = seed, .link = disorder.link, .faults = {.loss = disorder.loss, .duplication = disorder.duplication}});
    pair.connect();
    const auto chance = rt::World::simulated(seed + 1'000'000);
    struct Expected {
      End* origin;
      End* target;
      std::size_t source_offset, target_offset, length;
    };
    std::vector<Expected> expected;
    // Memory of each end: sources from 0, targets from `region`, each operation in a slot of its own.
    const auto post = [&](End& from, End& to, std::size_t i, std::size_t slot_number) {
      const WorkOp op = std::array{WorkOp::send, WorkOp::send_with_imm, WorkOp::rdma_write, WorkOp::rdma_write_with_imm,
                                   WorkOp::rdma_read}[chance->random() % 5];
      const std::size_t length = chance->random() % (slot - 8);
      const std::size_t origin = slot_number * slot, target = region + slot_number * slot;
      const bool read = op == WorkOp::rdma_read;
      (read ? to : from).fill(origin, length, seed * 1000 + slot_number);
      expected.push_back({read ? &to : &from, read ? &from : &to, origin, target, length});
      if (needs_receive(op)) to.post_receive(i, target, is_send(op) ? slot : 0);
      SendWork work = End::work(op, i, read ? target : origin, length, read ? origin : target);
      work.signaled = i % 3 == 0 || i + 1 == count;
      work.fence = i % 7 == 0;
      from.qp.post_send(std::move(work));
    };
    for (std::size_t i = 0; i < count; ++i) {
      post(pair.a, pair.b, i, i % 63);
      if (chance->random() % 4 == 0) {
        ASSERT_TRUE(pair.run_for(microseconds(50)));
      }
    }
    ASSERT_TRUE(pair.run());
    EXPECT_EQ(pair.a.host.errors + pair.b.host.errors, 0);
    EXPECT_EQ(pair.a.qp.sends_outstanding(), 0U);
    std::vector<std::uint64_t> ids;
    for (std::size_t i = 0; i < count; ++i) {
      if (i % 3 == 0 || i + 1 == count) ids.push_back(i);
    }
    EXPECT_EQ(pair.a.host.sent_ids(), ids);
    for (const Expected& each : expected) {
      EXPECT_TRUE(std::ranges::equal(each.origin->memory(each.source_offset, each.length),
                                     each.target->memory(each.target_offset, each.length)));
    }
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace hawser::roce
