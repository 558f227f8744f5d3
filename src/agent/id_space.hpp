// Numbers out of leased chunks: QPNs and communication ids of one process. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "base/result.hpp"
#include "runtime/sync.hpp"
#include "runtime/time.hpp"
#include "runtime/world.hpp"

namespace hawser::agent {

// A number is its chunk, then `bits` bits that count up from a random start. A freed one is not handed out before
// timewait is over; rather another chunk is leased.
class IdSpace {
 public:
  // `more` leases another chunk and add_chunk()s it; called with no lock held.
  IdSpace(rt::World& world, unsigned bits, std::function<Status()> more)
      : world_(world), bits_(bits), more_(std::move(more)) {}

  void add_chunk(std::uint32_t chunk);
  [[nodiscard]] Result<std::uint32_t> allocate();  // ENOMEM
  void release(std::uint32_t number);
  [[nodiscard]] bool owns(std::uint32_t number);

 private:
  struct Chunk {
    std::uint32_t number;
    std::uint32_t start;   // a random offset
    std::uint32_t handed;  // this many from there on have been handed out at least once
  };
  struct Freed {
    rt::Time when;
    std::uint32_t number;
  };
  [[nodiscard]] bool take(std::uint32_t& number, bool even_fresh_ones) HW_REQUIRES(mutex_);

  rt::World& world_;
  const unsigned bits_;
  const std::function<Status()> more_;
  rt::Mutex mutex_{rt::LockRank::agent_client};
  std::vector<Chunk> chunks_ HW_GUARDED_BY(mutex_);
  std::deque<Freed> freed_ HW_GUARDED_BY(mutex_);  // oldest first
};

}  // namespace hawser::agent
