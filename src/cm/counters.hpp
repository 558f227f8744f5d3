// The counters of one Manager while they count. Thread-safe.
#pragma once

#include "cm/manager.hpp"
#include "runtime/sync.hpp"

namespace hawser::cm {

class Counter {
 public:
  void count() { value_.fetch_add(1); }
  [[nodiscard]] std::uint64_t read() const { return value_.load(); }

 private:
  rt::Atomic<std::uint64_t> value_{0};
};

struct CounterSet {
  Counter req_sent, req_received, req_retransmitted, rep_retransmitted, dreq_retransmitted, duplicates, stale,
      rejects_sent, malformed, unmatched, dropped_queue_full, window_waits, sidr_req_sent, sidr_req_received,
      sidr_req_retransmitted;

  [[nodiscard]] Counters read() const {
    return {.req_sent = req_sent.read(),
            .req_received = req_received.read(),
            .req_retransmitted = req_retransmitted.read(),
            .rep_retransmitted = rep_retransmitted.read(),
            .dreq_retransmitted = dreq_retransmitted.read(),
            .duplicates = duplicates.read(),
            .stale = stale.read(),
            .rejects_sent = rejects_sent.read(),
            .malformed = malformed.read(),
            .unmatched = unmatched.read(),
            .dropped_queue_full = dropped_queue_full.read(),
            .window_waits = window_waits.read(),
            .sidr_req_sent = sidr_req_sent.read(),
            .sidr_req_received = sidr_req_received.read(),
            .sidr_req_retransmitted = sidr_req_retransmitted.read()};
  }
};

}  // namespace hawser::cm
