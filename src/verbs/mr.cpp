#include "verbs/mr.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/assert.hpp"
#include "verbs/limits.hpp"

namespace hawser::verbs {
namespace {

constexpr std::uint32_t known_rights = roce::access::local_write | roce::access::remote | access::mw_bind |
                                       access::zero_based | access::huge_pages | access::optional_range;

// Whether every page can be read (and written): asks the kernel to make the pages present, which is what pinning them
// for a card would do. Nothing is read or written.
bool is_accessible(void* address, std::size_t length, bool writable) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(address) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(address) + length;
  const std::size_t bytes = (end - begin + page - 1) / page * page;
  void* const start = reinterpret_cast<void*>(begin);
  constexpr int populate_read = 22, populate_write = 23;  // MADV_POPULATE_*, Linux 5.14
  if (madvise(start, bytes, writable ? populate_write : populate_read) == 0) return true;
  if (errno != EINVAL) return false;
  // Wrong rights and an old kernel look the same: see whether our own stack can be populated.
  void* const own = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(&begin) / page * page);
  if (madvise(own, page, populate_read) == 0) return false;
  std::vector<unsigned char> residency(bytes / page);
  return mincore(start, bytes, residency.data()) == 0;
}

}  // namespace

MemoryTable::MemoryTable(rt::World& world) : world_(world) {}

MemoryTable::~MemoryTable() = default;

bool MemoryTable::allows(const MemoryRegion& region, std::uint64_t address, std::uint32_t length,
                         std::uint32_t rights) {
  return (region.access & rights) == rights && address >= region.iova && length <= region.length &&
         address - region.iova <= region.length - length;
}

MemoryRegion* MemoryTable::slot_of(std::uint32_t key) const {
  const std::size_t slot = key >> key_bits;
  return slot < slots_.size() ? slots_[slot].get() : nullptr;
}

// A slot rests for a while before it is used again, so that a stale key meets nothing.
std::size_t MemoryTable::free_slot() {
  constexpr std::size_t resting_min = 64;
  if (free_.size() > resting_min || (slots_.size() > limits::mr_max && !free_.empty())) {
    const std::size_t slot = free_.front();
    free_.pop_front();
    return slot;
  }
  if (slots_.empty()) slots_.emplace_back();  // no key is 0
  slots_.emplace_back();
  return slots_.size() - 1;
}

Result<MemoryRegion*> MemoryTable::add(std::shared_ptr<Pd> pd, void* address, std::size_t length, std::uint64_t iova,
                                       std::uint32_t access) {
  const bool needs_local_write = (access & (roce::access::remote_write | roce::access::remote_atomic)) != 0;
  const bool writable = (access & roce::access::local_write) != 0;
  if ((access & ~known_rights) != 0 || (needs_local_write && !writable) || length == 0) return fail(EINVAL);
  if (reinterpret_cast<std::uintptr_t>(address) + length < length || iova + length < length) return fail(EINVAL);
  if (!is_accessible(address, length, writable)) return fail(EFAULT);

  auto region = std::make_unique<MemoryRegion>();
  region->base = static_cast<std::byte*>(address);
  region->iova = iova;
  region->length = length;
  region->access = access;

  rt::Lock lock(mutex_);
  if (slots_.size() - free_.size() > limits::mr_max) return fail(ENOMEM);
  const std::size_t slot = free_slot();
  const std::uint32_t chance = world_.random32() & ((1U << key_bits) - 1);
  region->lkey = LKey(static_cast<std::uint32_t>(slot) << key_bits | chance);
  if ((access & roce::access::remote) != 0)
    region->rkey = RKey(region->lkey.value ^ 1);  // a local key is no remote key
  ++pd->users;
  region->pd = std::move(pd);
  slots_[slot] = std::move(region);
  return slots_[slot].get();
}

void MemoryTable::remove(MemoryRegion* region) {
  rt::Lock lock(mutex_);
  const std::uint32_t slot = region->lkey.value >> key_bits;
  HW_ASSERT(slot < slots_.size() && slots_[slot].get() == region, "mr-not-in-table");
  const std::unique_ptr<MemoryRegion> leaving = std::move(slots_[slot]);  // not found any more
  while (leaving->pins_ > 0) unpinned_.wait(mutex_);
  free_.push_back(slot);
  --leaving->pd->users;
}

MemoryRegion* MemoryTable::pin(LKey key, const Pd& pd, std::uint64_t address, std::uint32_t length,
                               std::uint32_t rights) {
  rt::Lock lock(mutex_);
  MemoryRegion* region = slot_of(key.value);
  if (region == nullptr || region->lkey != key || region->pd.get() != &pd) return nullptr;
  if (!allows(*region, address, length, rights)) return nullptr;
  ++region->pins_;
  return region;
}

MemoryRegion* MemoryTable::pin(RKey key, const Pd& pd, std::uint64_t address, std::uint32_t length,
                               std::uint32_t rights) {
  rt::Lock lock(mutex_);
  MemoryRegion* region = slot_of(key.value);
  if (region == nullptr || region->rkey != key || key.value == 0 || region->pd.get() != &pd) return nullptr;
  if (!allows(*region, address, length, rights)) return nullptr;
  ++region->pins_;
  return region;
}

void MemoryTable::unpin(std::span<MemoryRegion* const> regions) {
  if (regions.empty()) return;
  rt::Lock lock(mutex_);
  bool released = false;
  for (MemoryRegion* region : regions) released |= --region->pins_ == 0;
  if (released) unpinned_.notify_all();
}

}  // namespace hawser::verbs
