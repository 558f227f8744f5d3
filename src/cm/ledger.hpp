// The connection ledger: a record per connection id in memory that outlives the process (a memfd of the agent), so that
// the agent can end the connections of a dead process as a kernel would, and show the ids of the host (DESIGN 3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "base/types.hpp"

namespace hawser::cm {

// One id. Plain memory, shared between the process (only writer) and the agent (reader, trusts nothing in it).
// `sequence` is odd while the process writes (seqlock).
struct LedgerRecord {
  std::uint32_t sequence;
  std::uint8_t in_use;
  std::uint8_t cma_state;                          // enum rdma_cm_state [spec 1.2]
  std::uint8_t cm_state;                           // cm::State
  std::uint8_t qp_type;                            // enum ibv_qp_type
  std::uint16_t port_space;                        // RDMA_PS_*
  std::uint16_t source_port, destination_port;     // host byte order
  std::uint8_t source_family, destination_family;  // Family
  std::uint8_t source[16], destination[16];
  std::uint32_t device_interface;  // interface index of the device; 0: none
  std::uint32_t local_comm_id, remote_comm_id;
  std::uint32_t local_qpn, remote_qpn;
  std::uint64_t local_guid, remote_guid;
  std::uint8_t local_gid[16], remote_gid[16];  // of the path
  std::uint64_t tid;                           // of our last request: the peer's answers carry it
  std::uint64_t remote_tid;
  std::uint8_t traffic_class, hop_limit;
  // With DESTROYING: the event, 1 + enum rdma_cm_event_type, whose acknowledgement rdma_destroy_id waits for; 0: none.
  std::uint8_t unacknowledged;
  std::uint8_t reserved;
  std::uint32_t number;  // of the record: with the pid it names the id (`hawser ids`, `hawser fault`)
};
static_assert(std::is_trivially_copyable_v<LedgerRecord>);

// Hands out records, zeroed but for `sequence`. Thread-safe. cma allocates one per id and writes what is its own
// (state, addresses); cm writes the connection's part into the same record.
class Ledger {
 public:
  virtual ~Ledger() = default;
  virtual LedgerRecord* allocate() = 0;  // nullptr when full: the id works, the agent just does not know it
  virtual void release(LedgerRecord* record) = 0;
  // The first record in use that `is_it` says is meant; looks at one after the other.
  [[nodiscard]] virtual std::optional<LedgerRecord> find(
      const std::function<bool(const LedgerRecord&)>& /*is_it*/) const {
    return std::nullopt;
  }
};

// Keeps nothing: where nobody looks.
class NoLedger final : public Ledger {
 public:
  LedgerRecord* allocate() override { return nullptr; }
  void release(LedgerRecord*) override {}
};

// Writes a record under its seqlock: update(record, [](LedgerRecord& r) { r.cm_state = …; }). nullptr does nothing.
template <class Change>
void update(LedgerRecord* record, Change&& change);

// A record for its next id. `number`: what it is called.
void renew(LedgerRecord* record, std::uint32_t number);
// A record as it is between two updates; one that its process never stops writing, as it is.
[[nodiscard]] LedgerRecord read(const LedgerRecord& record);

// A record as long as anybody holds it: cma while the id lives, and cm until the peer has, or should have, heard of the
// end. Empty when the ledger is full.
using LedgerHold = std::shared_ptr<LedgerRecord>;
[[nodiscard]] inline LedgerHold hold_record(Ledger& ledger) {
  LedgerRecord* const record = ledger.allocate();
  if (record == nullptr) return {};
  return {record, [&ledger](LedgerRecord* r) { ledger.release(r); }};
}

// __atomic builtins and not rt::Atomic: the reader is another process, so this is no interleaving of ours to explore.
template <class Change>
void update(LedgerRecord* record, Change&& change) {
  if (record == nullptr) return;
  // cma and cm both write: odd means "being written", and is taken like a spin lock (a few stores long).
  std::uint32_t sequence = __atomic_load_n(&record->sequence, __ATOMIC_RELAXED) & ~1U;
  while (!__atomic_compare_exchange_n(&record->sequence, &sequence, sequence + 1, false, __ATOMIC_ACQUIRE,
                                      __ATOMIC_RELAXED)) {
    sequence &= ~1U;
  }
  __atomic_thread_fence(__ATOMIC_RELEASE);
  change(*record);
  __atomic_store_n(&record->sequence, sequence + 2, __ATOMIC_RELEASE);
}

inline void renew(LedgerRecord* record, std::uint32_t number) {
  update(record, [number](LedgerRecord& r) {
    const std::uint32_t sequence = r.sequence;
    r = {};
    r.sequence = sequence;
    r.in_use = 1;
    r.number = number;
  });
}

inline LedgerRecord read(const LedgerRecord& record) {
  LedgerRecord out{};
  for (int attempt = 0; attempt < 100; ++attempt) {
    const std::uint32_t before = __atomic_load_n(&record.sequence, __ATOMIC_ACQUIRE);
    std::memcpy(&out, &record, sizeof out);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (before % 2 == 0 && __atomic_load_n(&record.sequence, __ATOMIC_RELAXED) == before) break;
  }
  return out;
}

}  // namespace hawser::cm
