#include "agent/steering.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace hawser::agent {
namespace {

// Offsets in the UDP payload [spec 5.1, 5.2, 5.4].
constexpr std::uint32_t at_opcode = 0;
constexpr std::uint32_t at_destination_qpn = 4;  // 8 reserved bits, then the QPN
constexpr std::uint32_t at_mad = 20;             // behind BTH and DETH
constexpr std::uint32_t at_attribute = at_mad + 16;
constexpr std::uint32_t at_request_id = at_mad + 24;      // SIDR_REP
constexpr std::uint32_t at_remote_comm_id = at_mad + 28;  // all others
constexpr std::uint32_t ud_send_only = 0x64;
constexpr std::uint32_t cm_mad_header = 0x01070203;  // base version, class CM, class version, method SEND
constexpr std::uint32_t attribute_mra = 0x11, attribute_sidr_req = 0x17, attribute_sidr_rep = 0x18,
                        attribute_apr = 0x1A;

constexpr std::uint8_t jump_max = 255;  // a conditional jump's reach; JA reaches anywhere

sock_filter statement(unsigned code, std::uint32_t k) { return {static_cast<std::uint16_t>(code), 0, 0, k}; }
sock_filter jump(unsigned code, std::uint32_t k, std::size_t if_true, std::size_t if_false) {
  HW_ASSERT(if_true <= jump_max && if_false <= jump_max, "steering-jump-too-far");
  return {static_cast<std::uint16_t>(code), static_cast<std::uint8_t>(if_true), static_cast<std::uint8_t>(if_false), k};
}
sock_filter load(unsigned size, std::uint32_t offset) { return statement(BPF_LD | size | BPF_ABS, offset); }
sock_filter give_to(std::uint32_t slot) { return statement(BPF_RET | BPF_K, slot); }

// The chunk space cut where the owner changes: from `first` on it is `slot`'s.
struct Cut {
  std::uint32_t first, slot;
};

std::vector<Cut> cuts_of(std::span<const ChunkRun> runs) {
  std::vector<Cut> cuts{{0, 0}};
  const auto add = [&cuts](std::uint32_t first, std::uint32_t slot) {
    if (cuts.back().first == first) cuts.pop_back();
    if (cuts.empty() || cuts.back().slot != slot) cuts.push_back({first, slot});
  };
  for (const ChunkRun& run : runs) {
    add(run.first, run.slot);
    if (run.last + 1 < chunk_count) add(run.last + 1, 0);
  }
  return cuts;
}

// Binary search over the cuts; the chunk is in the accumulator.
std::vector<sock_filter> tree(std::span<const Cut> cuts) {
  if (cuts.size() == 1) return {give_to(cuts[0].slot)};
  const std::size_t middle = cuts.size() / 2;
  std::vector<sock_filter> below = tree(cuts.first(middle));
  const std::vector<sock_filter> from = tree(cuts.subspan(middle));
  std::vector<sock_filter> code;
  if (below.size() <= jump_max) {
    code.push_back(jump(BPF_JMP | BPF_JGE | BPF_K, cuts[middle].first, below.size(), 0));
  } else {
    code.push_back(jump(BPF_JMP | BPF_JGE | BPF_K, cuts[middle].first, 0, 1));
    code.push_back(statement(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(below.size())));
  }
  code.insert(code.end(), below.begin(), below.end());
  code.insert(code.end(), from.begin(), from.end());
  return code;
}

// Leaves the chunk in the accumulator, or returns slot 0.
std::vector<sock_filter> prologue() {
  return {
      load(BPF_W, at_destination_qpn),
      statement(BPF_ALU | BPF_AND | BPF_K, 0xFFFFFF),
      jump(BPF_JMP | BPF_JGT | BPF_K, 1, 17, 0),  // an ordinary QP
      jump(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 13),  // QP 0
      load(BPF_B, at_opcode),
      jump(BPF_JMP | BPF_JEQ | BPF_K, ud_send_only, 0, 11),
      load(BPF_W, at_mad),
      jump(BPF_JMP | BPF_JEQ | BPF_K, cm_mad_header, 0, 9),
      load(BPF_H, at_attribute),
      jump(BPF_JMP | BPF_JEQ | BPF_K, attribute_sidr_rep, 5, 0),
      jump(BPF_JMP | BPF_JEQ | BPF_K, attribute_sidr_req, 6, 0),
      jump(BPF_JMP | BPF_JGE | BPF_K, attribute_mra, 0, 5),  // a REQ has no receiver's id yet
      jump(BPF_JMP | BPF_JGT | BPF_K, attribute_apr, 4, 0),
      load(BPF_W, at_remote_comm_id),
      statement(BPF_JMP | BPF_JA, 3),
      load(BPF_W, at_request_id),
      statement(BPF_JMP | BPF_JA, 1),
      give_to(0),
      statement(BPF_ALU | BPF_RSH | BPF_K, comm_id_chunk_bits),
      statement(BPF_JMP | BPF_JA, 1),
      statement(BPF_ALU | BPF_RSH | BPF_K, qpn_chunk_bits),
  };
}

}  // namespace

SteeringProgram compile_steering(std::span<const ChunkRun> runs, std::size_t instructions_max) {
  SteeringProgram program;
  for (;;) {
    std::vector<sock_filter> code = prologue();
    const std::vector<Cut> cuts = cuts_of(runs);
    const std::vector<sock_filter> decisions = tree(cuts);
    code.insert(code.end(), decisions.begin(), decisions.end());
    if (code.size() <= instructions_max || runs.empty()) {
      program.code = std::move(code);
      return program;
    }
    const std::size_t drop = std::max<std::size_t>(1, runs.size() / 16);
    runs = runs.first(runs.size() - drop);
    program.runs_left_out += drop;
  }
}

}  // namespace hawser::agent
