// Who has which slot and which chunks: memory of the agent that a successor takes over (a memfd in the flight).
// Single-threaded.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/descriptor.hpp"
#include "agent/steering.hpp"
#include "base/result.hpp"

namespace hawser::agent {

inline constexpr std::uint32_t slot_count_max = 2048;

enum class LeaseState : std::uint32_t {
  unused = 0,
  live = 1,
  dead = 2,     // its process is gone, the undertaker is at work
  resting = 3,  // after that until timewait is over; its datagrams come to slot 0
};

class LeaseTable {
 public:
  [[nodiscard]] static Result<LeaseTable> create();
  // What a dead agent left. EINVAL if it is not such a table; contents that make no sense are repaired.
  [[nodiscard]] static Result<LeaseTable> adopt(Descriptor memory);
  LeaseTable(LeaseTable&& other) noexcept;
  LeaseTable& operator=(LeaseTable&&) = delete;
  ~LeaseTable();

  [[nodiscard]] int descriptor() const { return memory_.get(); }

  // An unused slot among 1 … slots_existing-1.
  [[nodiscard]] std::optional<std::uint32_t> lease_slot(std::uint32_t slots_existing, pid_t pid);
  // One more chunk for a slot, not one that was freed lately. nullopt: all are leased.
  [[nodiscard]] std::optional<std::uint32_t> lease_chunk(std::uint32_t slot);
  // A slot that was never used, with its chunks.
  void give_back(std::uint32_t slot);
  void mark_dead(std::uint32_t slot);
  void rest(std::uint32_t slot, std::int64_t until_ns);  // CLOCK_MONOTONIC
  // Frees resting slots and their chunks whose time has passed. True if some were freed.
  bool expire(std::int64_t now_ns, std::vector<std::uint32_t>& freed);
  // When the next one becomes free; nullopt if none rests.
  [[nodiscard]] std::optional<std::int64_t> next_expiry() const;

  [[nodiscard]] LeaseState state(std::uint32_t slot) const;
  [[nodiscard]] pid_t pid(std::uint32_t slot) const;
  // 0: nobody's.
  [[nodiscard]] std::uint32_t slot_of_chunk(std::uint32_t chunk) const;
  [[nodiscard]] std::vector<std::uint32_t> chunks_of(std::uint32_t slot) const;
  // What the kernel steers: the chunks of live and dead slots.
  [[nodiscard]] std::vector<ChunkRun> runs() const;

 private:
  struct Page;
  LeaseTable(Descriptor memory, Page* page) : memory_(std::move(memory)), page_(page) {}
  Descriptor memory_;
  Page* page_;
};

// Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat): tells a pid from its next owner.
// 0 if there is no such process (or it is a zombie).
[[nodiscard]] std::uint64_t process_start_time(pid_t pid);

}  // namespace hawser::agent
