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
constexpr std::uint32_t at_service_id = at_mad + 32;      // REQ and SIDR_REQ; 64 bits
constexpr std::uint32_t ud_send_only = 0x64;
constexpr std::uint32_t cm_mad_header = 0x01070203;  // base version, class CM, class version, method SEND
constexpr std::uint32_t attribute_req = 0x10, attribute_mra = 0x11, attribute_sidr_req = 0x17,
                        attribute_sidr_rep = 0x18, attribute_apr = 0x1A;

constexpr std::uint8_t jump_max = 255;  // a conditional jump's reach; JA reaches anywhere

sock_filter statement(unsigned code, std::uint32_t k) { return {static_cast<std::uint16_t>(code), 0, 0, k}; }
sock_filter jump(unsigned code, std::uint32_t k, std::size_t if_true, std::size_t if_false) {
  HW_ASSERT(if_true <= jump_max && if_false <= jump_max, "steering-jump-too-far");
  return {static_cast<std::uint16_t>(code), static_cast<std::uint8_t>(if_true), static_cast<std::uint8_t>(if_false), k};
}
sock_filter load(unsigned size, std::uint32_t offset) { return statement(BPF_LD | size | BPF_ABS, offset); }
sock_filter give_to(std::uint32_t slot) { return statement(BPF_RET | BPF_K, slot); }

// A space of numbers cut where the owner changes: from `first` on it is `slot`'s.
struct Cut {
  std::uint32_t first, slot;
};

void cut(std::vector<Cut>& cuts, std::uint32_t first, std::uint32_t slot) {
  if (cuts.back().first == first) cuts.pop_back();
  if (cuts.empty() || cuts.back().slot != slot) cuts.push_back({first, slot});
}

std::vector<Cut> cuts_of(std::span<const ChunkRun> runs) {
  std::vector<Cut> cuts{{0, 0}};
  for (const ChunkRun& run : runs) {
    cut(cuts, run.first, run.slot);
    if (run.last + 1 < chunk_count) cut(cuts, run.last + 1, 0);
  }
  return cuts;
}

std::vector<Cut> cuts_of(std::span<const ServiceOwner> services) {
  std::vector<Cut> cuts{{0, 0}};
  for (const ServiceOwner& service : services) {
    cut(cuts, service.service, service.slot);
    if (service.service != 0xFFFFFFFF) cut(cuts, service.service + 1, 0);
  }
  return cuts;
}

// Binary search over the cuts; the number is in the accumulator.
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

// The fixed part: where its branches lead to, by the number of the instruction.
constexpr std::size_t to_request_id = 16, to_service = 18, to_nobody = 22, to_comm_id = 23, to_qpn = 25, to_chunks = 26;

// Leaves the chunk in the accumulator and goes on behind itself; or leaves the lower half of a service id there and
// goes on behind `chunk_instructions` more; or returns slot 0.
std::vector<sock_filter> prologue(std::size_t chunk_instructions) {
  std::vector<sock_filter> code;
  const auto next = [&code] { return code.size() + 1; };
  const auto branch = [&code](unsigned test, std::uint32_t k, std::size_t if_true, std::size_t if_false) {
    const std::size_t behind = code.size() + 1;
    code.push_back(jump(BPF_JMP | test | BPF_K, k, if_true - behind, if_false - behind));
  };
  const auto go = [&code](std::size_t target) {
    code.push_back(statement(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(target - code.size() - 1)));
  };
  code.push_back(load(BPF_W, at_destination_qpn));
  code.push_back(statement(BPF_ALU | BPF_AND | BPF_K, 0xFFFFFF));
  branch(BPF_JGT, 1, to_qpn, next());     // an ordinary QP
  branch(BPF_JEQ, 1, next(), to_nobody);  // QP 0
  code.push_back(load(BPF_B, at_opcode));
  branch(BPF_JEQ, ud_send_only, next(), to_nobody);
  code.push_back(load(BPF_W, at_mad));
  branch(BPF_JEQ, cm_mad_header, next(), to_nobody);
  code.push_back(load(BPF_H, at_attribute));
  branch(BPF_JEQ, attribute_sidr_rep, to_request_id, next());
  branch(BPF_JEQ, attribute_sidr_req, to_service, next());
  branch(BPF_JEQ, attribute_req, to_service, next());
  branch(BPF_JGE, attribute_mra, next(), to_nobody);
  branch(BPF_JGT, attribute_apr, to_nobody, next());
  code.push_back(load(BPF_W, at_remote_comm_id));
  go(to_comm_id);
  HW_ASSERT(code.size() == to_request_id, "steering-request-id");
  code.push_back(load(BPF_W, at_request_id));
  go(to_comm_id);
  HW_ASSERT(code.size() == to_service, "steering-service");
  code.push_back(load(BPF_W, at_service_id));
  branch(BPF_JEQ, 0, next(), to_nobody);  // ports have nothing there
  code.push_back(load(BPF_W, at_service_id + 4));
  go(to_chunks + chunk_instructions);
  HW_ASSERT(code.size() == to_nobody, "steering-nobody");
  code.push_back(give_to(0));
  HW_ASSERT(code.size() == to_comm_id, "steering-comm-id");
  code.push_back(statement(BPF_ALU | BPF_RSH | BPF_K, comm_id_chunk_bits));
  go(to_chunks);
  HW_ASSERT(code.size() == to_qpn, "steering-qpn");
  code.push_back(statement(BPF_ALU | BPF_RSH | BPF_K, qpn_chunk_bits));
  HW_ASSERT(code.size() == to_chunks, "steering-chunks");
  return code;
}

// Fewer of them, so that the program becomes shorter. True if there were any.
template <class T>
bool drop_some(std::span<const T>& from, std::size_t& left_out) {
  const std::size_t drop = std::min(from.size(), std::max<std::size_t>(1, from.size() / 16));
  from = from.first(from.size() - drop);
  left_out += drop;
  return drop != 0;
}

}  // namespace

SteeringProgram compile_steering(std::span<const ChunkRun> runs, std::span<const ServiceOwner> services,
                                 std::size_t instructions_max) {
  SteeringProgram program;
  for (;;) {
    const std::vector<sock_filter> by_chunk = tree(cuts_of(runs));
    const std::vector<sock_filter> by_service = tree(cuts_of(services));
    std::vector<sock_filter> code = prologue(by_chunk.size());
    code.insert(code.end(), by_chunk.begin(), by_chunk.end());
    code.insert(code.end(), by_service.begin(), by_service.end());
    // A request finds its listener through the agent as well; what misses its QP costs far more.
    if (code.size() <= instructions_max ||
        (!drop_some(services, program.services_left_out) && !drop_some(runs, program.runs_left_out))) {
      program.code = std::move(code);
      return program;
    }
  }
}

}  // namespace hawser::agent
