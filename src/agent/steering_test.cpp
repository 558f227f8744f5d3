#include "agent/steering.hpp"

#include <array>
#include <initializer_list>
#include <random>

#include <gtest/gtest.h>

namespace hawser::agent {
namespace {

// Classic BPF as the kernel runs it on a reuseport group: a load behind the end of the datagram returns 0.
std::uint32_t interpret(const std::vector<sock_filter>& code, std::span<const std::uint8_t> data) {
  std::uint32_t a = 0;
  for (std::size_t pc = 0; pc < code.size(); ++pc) {
    const sock_filter& i = code[pc];
    const auto load = [&](unsigned bytes) {
      std::uint32_t value = 0;
      for (unsigned n = 0; n < bytes; ++n) value = value << 8 | data[i.k + n];
      return value;
    };
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (i.k + 4 > data.size()) return 0;
        a = load(4);
        break;
      case BPF_LD | BPF_H | BPF_ABS:
        if (i.k + 2 > data.size()) return 0;
        a = load(2);
        break;
      case BPF_LD | BPF_B | BPF_ABS:
        if (i.k + 1 > data.size()) return 0;
        a = load(1);
        break;
      case BPF_ALU | BPF_AND | BPF_K: a &= i.k; break;
      case BPF_ALU | BPF_RSH | BPF_K: a >>= i.k; break;
      case BPF_JMP | BPF_JA: pc += i.k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: pc += a == i.k ? i.jt : i.jf; break;
      case BPF_JMP | BPF_JGT | BPF_K: pc += a > i.k ? i.jt : i.jf; break;
      case BPF_JMP | BPF_JGE | BPF_K: pc += a >= i.k ? i.jt : i.jf; break;
      case BPF_RET | BPF_K: return i.k;
      default: ADD_FAILURE() << "instruction " << i.code << " is not in the interpreter"; return 0;
    }
  }
  ADD_FAILURE() << "ran off the end";
  return 0;
}

void put(std::span<std::uint8_t> data, std::size_t at, std::uint32_t value, unsigned bytes = 4) {
  for (unsigned n = 0; n < bytes; ++n) data[at + n] = static_cast<std::uint8_t>(value >> 8 * (bytes - 1 - n));
}

using Datagram = std::array<std::uint8_t, 280>;

Datagram to_qpn(std::uint32_t qpn) {
  Datagram data{};
  data[0] = 0x04;
  put(data, 4, 0xFF000000 | qpn);  // the byte before the QPN holds other bits
  return data;
}

Datagram mad(std::uint16_t attribute, std::uint32_t at_44, std::uint32_t at_48) {
  Datagram data = to_qpn(1);
  data[0] = 0x64;
  put(data, 20, 0x01070203);
  put(data, 36, attribute, 2);
  put(data, 44, at_44);
  put(data, 48, at_48);
  return data;
}

const std::vector<ChunkRun> three_owners{{1, 1, 1}, {2, 9, 2}, {100, 100, 3}, {4094, 4094, 1}};

std::uint32_t owner(std::span<const ChunkRun> runs, std::uint32_t chunk) {
  for (const ChunkRun& run : runs) {
    if (run.first <= chunk && chunk <= run.last) return run.slot;
  }
  return 0;
}

TEST(Steering, GivesQpnsToTheirChunksOwner) {
  const auto program = compile_steering(three_owners, {});
  EXPECT_EQ(program.runs_left_out, 0U);
  for (std::uint32_t chunk = 0; chunk < chunk_count; ++chunk) {
    for (const std::uint32_t low : {2U, 0x800U, 0xFFEU}) {
      EXPECT_EQ(interpret(program.code, to_qpn(chunk << 12 | low)), owner(three_owners, chunk)) << chunk;
    }
  }
}

TEST(Steering, GivesMessagesToTheOwnerOfTheReceiversId) {
  const auto program = compile_steering(three_owners, {});
  const std::uint32_t mine = 100U << 20 | 5, other = 2U << 20 | 9;
  for (const std::uint16_t attribute :
       std::initializer_list<std::uint16_t>{0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x19, 0x1A}) {
    EXPECT_EQ(interpret(program.code, mad(attribute, other, mine)), 3U) << attribute;
  }
  EXPECT_EQ(interpret(program.code, mad(0x18, mine, other)), 3U);  // SIDR_REP
  for (const std::uint16_t attribute : std::initializer_list<std::uint16_t>{0x00, 0x10, 0x17, 0x1B, 0xFFFF}) {
    EXPECT_EQ(interpret(program.code, mad(attribute, mine, mine)), 0U) << attribute;
  }
  EXPECT_EQ(interpret(program.code, mad(0x12, other, 0)), 0U);  // REJ of somebody who knew no id of ours
}

TEST(Steering, GivesTheRestToTheAgent) {
  const auto program = compile_steering(three_owners, {});
  const std::uint32_t mine = 100U << 20 | 5;
  EXPECT_EQ(interpret(program.code, to_qpn(0)), 0U);
  EXPECT_EQ(interpret(program.code, to_qpn(0xFFFFFF)), 0U);
  Datagram wrong = mad(0x15, mine, mine);
  wrong[0] = 0x65;  // with immediate data everything lies elsewhere
  EXPECT_EQ(interpret(program.code, wrong), 0U);
  wrong = mad(0x15, mine, mine);
  wrong[21] = 3;  // another class
  EXPECT_EQ(interpret(program.code, wrong), 0U);
  const Datagram whole = mad(0x15, mine, mine);
  for (std::size_t size = 0; size < 52; ++size) {
    EXPECT_EQ(interpret(program.code, std::span(whole).first(size)), 0U) << size;
  }
}

TEST(Steering, HoldsSeveralHundredProcesses) {
  const std::uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  std::vector<ChunkRun> runs;
  for (std::uint32_t chunk = 1; chunk + 8 < chunk_count && runs.size() < 600;) {
    const std::uint32_t length = 1 + static_cast<std::uint32_t>(random() % 3);
    runs.push_back({chunk, chunk + length - 1, static_cast<std::uint32_t>(runs.size()) + 1});
    chunk += length + static_cast<std::uint32_t>(random() % 4);
  }
  ASSERT_EQ(runs.size(), 600U);
  const auto program = compile_steering(runs, {});
  EXPECT_LE(program.code.size(), 4096U);
  EXPECT_EQ(program.runs_left_out, 0U);
  for (std::uint32_t chunk = 0; chunk < chunk_count; ++chunk) {
    ASSERT_EQ(interpret(program.code, to_qpn(chunk << 12 | 7)), owner(runs, chunk)) << chunk;
  }
  // Too small for all: some are left to the agent, none is given to somebody else.
  const auto small = compile_steering(runs, {}, 256);
  EXPECT_LE(small.code.size(), 256U);
  EXPECT_GT(small.runs_left_out, 0U);
  for (std::uint32_t chunk = 0; chunk < chunk_count; ++chunk) {
    const std::uint32_t slot = interpret(small.code, to_qpn(chunk << 12 | 7));
    ASSERT_TRUE(slot == 0 || slot == owner(runs, chunk)) << chunk;
  }
}

Datagram request(std::uint16_t attribute, std::uint32_t service, std::uint32_t upper_half = 0) {
  Datagram data = mad(attribute, 0x12345678, 0);
  put(data, 52, upper_half);
  put(data, 56, service);
  return data;
}

TEST(Steering, GivesRequestsToTheOnlyListener) {
  const std::vector<ServiceOwner> services{{0x01061D2F, 1}, {0x01061D30, 2}, {0x01061D32, 2}, {0x01111D2F, 3}};
  const auto program = compile_steering(three_owners, services);
  EXPECT_EQ(program.services_left_out, 0U);
  for (const std::uint16_t attribute : std::initializer_list<std::uint16_t>{0x10, 0x17}) {
    EXPECT_EQ(interpret(program.code, request(attribute, 0x01061D2E)), 0U);
    EXPECT_EQ(interpret(program.code, request(attribute, 0x01061D2F)), 1U);
    EXPECT_EQ(interpret(program.code, request(attribute, 0x01061D30)), 2U);
    EXPECT_EQ(interpret(program.code, request(attribute, 0x01061D31)), 0U);
    EXPECT_EQ(interpret(program.code, request(attribute, 0x01061D32)), 2U);
    EXPECT_EQ(interpret(program.code, request(attribute, 0x01111D2F)), 3U);
    EXPECT_EQ(interpret(program.code, request(attribute, 0xFFFFFFFF)), 0U);
    EXPECT_EQ(interpret(program.code, request(attribute, 0x01061D2F, 1)), 0U);  // another service: ids have 64 bits
    const Datagram whole = request(attribute, 0x01061D2F);
    for (std::size_t size = 0; size < 60; ++size) {
      EXPECT_EQ(interpret(program.code, std::span(whole).first(size)), 0U) << size;
    }
  }
  // What is no request is looked at as before.
  EXPECT_EQ(interpret(program.code, request(0x11, 0x01061D2F)), 0U);
  for (std::uint32_t chunk = 0; chunk < chunk_count; ++chunk) {
    ASSERT_EQ(interpret(program.code, to_qpn(chunk << 12 | 7)), owner(three_owners, chunk)) << chunk;
  }
}

TEST(Steering, HoldsThreeHundredListenersBesideTheirProcesses) {
  std::vector<ChunkRun> runs;
  std::vector<ServiceOwner> services;
  for (std::uint32_t n = 0; n < 300; ++n) {
    runs.push_back({1 + 3 * n, 1 + 3 * n, n + 1});
    services.push_back({0x01060000 + 7 * n, n + 1});
  }
  const auto program = compile_steering(runs, services);
  EXPECT_LE(program.code.size(), 4096U);
  EXPECT_EQ(program.services_left_out + program.runs_left_out, 0U);
  for (std::uint32_t n = 0; n < 300; ++n) {
    ASSERT_EQ(interpret(program.code, request(0x10, 0x01060000 + 7 * n)), n + 1);
    ASSERT_EQ(interpret(program.code, request(0x10, 0x01060001 + 7 * n)), 0U);
  }
  // Too small for all: listeners go first, they have the agent.
  const auto small = compile_steering(runs, services, 2048);
  EXPECT_LE(small.code.size(), 2048U);
  EXPECT_GT(small.services_left_out, 0U);
  EXPECT_EQ(small.runs_left_out, 0U);
  for (std::uint32_t n = 0; n < 300; ++n) {
    const std::uint32_t slot = interpret(small.code, request(0x10, 0x01060000 + 7 * n));
    ASSERT_TRUE(slot == 0 || slot == n + 1) << n;
  }
  const auto tiny = compile_steering(runs, services, 64);
  EXPECT_LE(tiny.code.size(), 64U);
  EXPECT_EQ(tiny.services_left_out, 300U);
}

}  // namespace
}  // namespace hawser::agent
