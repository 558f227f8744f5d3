// Memory regions of one device: which bytes of this process a local work request or a remote peer may touch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "base/types.hpp"
#include "roce/work.hpp"
#include "runtime/sync.hpp"
#include "runtime/world.hpp"
#include "verbs/pd.hpp"

namespace hawser::verbs {

namespace access {  // enum ibv_access_flags, those that RcHost does not ask for
inline constexpr std::uint32_t mw_bind = 16, zero_based = 32, on_demand = 64, huge_pages = 128;
inline constexpr std::uint32_t optional_range = 0x3ff00000;  // flags that a device may ignore
}  // namespace access

struct MemoryRegion {
  std::shared_ptr<Pd> pd;
  std::byte* base{};
  std::uint64_t iova{};  // the address by which work requests and peers name `base`
  std::uint64_t length{};
  std::uint32_t access{};
  LKey lkey;
  RKey rkey;  // 0 when no remote access is allowed

 private:
  friend class MemoryTable;
  std::uint32_t pins_ = 0;  // guarded by the table's mutex
};

// Thread-safe. A region that is pinned is in use by a QP: deregister() waits for it (a QP pins for one call at most).
class MemoryTable {
 public:
  explicit MemoryTable(rt::World& world);
  ~MemoryTable();

  // EINVAL: rights that make no sense, length 0. EFAULT: not all of it is mapped with these rights (found out without
  // reading or writing it). ENOMEM: too many.
  Result<MemoryRegion*> add(std::shared_ptr<Pd> pd, void* address, std::size_t length, std::uint64_t iova,
                            std::uint32_t access);
  void remove(MemoryRegion* region);

  // The region that this key names if it belongs to `pd`, contains the range and allows `rights`; null otherwise.
  [[nodiscard]] MemoryRegion* pin(LKey key, const Pd& pd, std::uint64_t address, std::uint32_t length,
                                  std::uint32_t rights);
  [[nodiscard]] MemoryRegion* pin(RKey key, const Pd& pd, std::uint64_t address, std::uint32_t length,
                                  std::uint32_t rights);
  void unpin(std::span<MemoryRegion* const> regions);

  [[nodiscard]] static bool allows(const MemoryRegion& region, std::uint64_t address, std::uint32_t length,
                                   std::uint32_t rights);

 private:
  static constexpr unsigned key_bits = 12;  // of a key: chance; the rest is the slot

  [[nodiscard]] MemoryRegion* slot_of(std::uint32_t key) const HW_REQUIRES(mutex_);
  [[nodiscard]] std::size_t free_slot() HW_REQUIRES(mutex_);

  rt::World& world_;
  mutable rt::Mutex mutex_{rt::LockRank::memory};
  rt::CondVar unpinned_;
  std::vector<std::unique_ptr<MemoryRegion>> slots_ HW_GUARDED_BY(mutex_);
  std::deque<std::uint32_t> free_ HW_GUARDED_BY(mutex_);  // slots to be used again, oldest first
};

}  // namespace hawser::verbs
