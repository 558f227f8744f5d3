// Counters are read by people only: no order among them is needed.
#pragma once

#include <atomic>
#include <cstdint>

namespace hawser::verbs {

inline void count(std::atomic<std::uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

}  // namespace hawser::verbs
