#include "agent/ledger_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "base/assert.hpp"

namespace hawser::agent {

struct LedgerMemory::Page {
  std::uint32_t used;  // no record at or above this was ever handed out
  std::uint32_t reserved[15];
  std::uint64_t counters[ledger_counters_max];
  cm::LedgerRecord records[ledger_records_max];
};

Result<Descriptor> create_ledger() {
  Descriptor memory(memfd_create("hawser-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory || ftruncate(memory.get(), sizeof(LedgerMemory::Page)) != 0) {
    return fail(errno);
  }
  // Nobody can take the memory away under the agent's eyes.
  if (fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return fail(errno);
  return memory;
}

void clear_ledger(int ledger) {
  const off_t size = lseek(ledger, 0, SEEK_END);
  (void)fallocate(ledger, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size);
}

Result<std::unique_ptr<LedgerMemory>> LedgerMemory::map(int ledger) {
  if (lseek(ledger, 0, SEEK_END) < static_cast<off_t>(sizeof(Page))) return fail(EINVAL);
  void* page = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, ledger, 0);
  if (page == MAP_FAILED) return fail(errno);
  // A forked child has connections of its own or none.
  (void)madvise(page, sizeof(Page), MADV_DONTFORK);
  return std::unique_ptr<LedgerMemory>(new LedgerMemory(static_cast<Page*>(page)));
}

LedgerMemory::LedgerMemory(Page* page) : page_(page), owner_(getpid()) {}

LedgerMemory::~LedgerMemory() {
  if (owner_ == getpid()) munmap(page_, sizeof(Page));
}

cm::LedgerRecord* LedgerMemory::allocate() {
  rt::Lock lock(mutex_);
  std::uint32_t index = 0;
  if (!free_.empty()) {
    index = *free_.begin();
    free_.erase(free_.begin());
  } else {
    if (used_ == ledger_records_max) return nullptr;
    index = used_++;
    __atomic_store_n(&page_->used, used_, __ATOMIC_RELEASE);
  }
  cm::LedgerRecord* record = &page_->records[index];
  cm::renew(record, index);
  return record;
}

void LedgerMemory::release(cm::LedgerRecord* record) {
  if (record == nullptr) return;
  HW_ASSERT(record >= page_->records && record < page_->records + ledger_records_max, "ledger-foreign-record");
  cm::update(record, [](cm::LedgerRecord& r) { r.in_use = 0; });
  rt::Lock lock(mutex_);
  free_.insert(static_cast<std::uint32_t>(record - page_->records));
}

std::optional<cm::LedgerRecord> LedgerMemory::find(const std::function<bool(const cm::LedgerRecord&)>& is_it) const {
  if (owner_ != getpid()) return std::nullopt;
  const std::uint32_t used = __atomic_load_n(&page_->used, __ATOMIC_ACQUIRE);
  for (std::uint32_t i = 0; i < used; ++i) {
    const cm::LedgerRecord record = cm::read(page_->records[i]);
    if (record.in_use != 0 && is_it(record)) return record;
  }
  return std::nullopt;
}

// Each counter is whole; they are not all of one moment.
void LedgerMemory::publish(const CounterBlock& counters) {
  for (std::size_t i = 0; i < counters.size(); ++i)
    __atomic_store_n(&page_->counters[i], counters[i], __ATOMIC_RELAXED);
}

CounterBlock LedgerView::counters() const {
  CounterBlock counters{};
  for (std::size_t i = 0; i < counters.size(); ++i)
    counters[i] = __atomic_load_n(&page_->counters[i], __ATOMIC_RELAXED);
  return counters;
}

Result<LedgerView> LedgerView::map(int ledger) {
  if (lseek(ledger, 0, SEEK_END) < static_cast<off_t>(sizeof(LedgerMemory::Page))) return fail(EINVAL);
  void* page = mmap(nullptr, sizeof(LedgerMemory::Page), PROT_READ, MAP_SHARED, ledger, 0);
  if (page == MAP_FAILED) return fail(errno);
  return LedgerView(static_cast<const LedgerMemory::Page*>(page));
}

LedgerView::~LedgerView() {
  if (page_ != nullptr) munmap(const_cast<LedgerMemory::Page*>(page_), sizeof(LedgerMemory::Page));
}

std::uint32_t LedgerView::size() const {
  return std::min(__atomic_load_n(&page_->used, __ATOMIC_ACQUIRE), ledger_records_max);
}

std::uint32_t LedgerView::sequence(std::uint32_t index) const {
  return __atomic_load_n(&page_->records[index].sequence, __ATOMIC_ACQUIRE);
}

bool LedgerView::read(std::uint32_t index, cm::LedgerRecord& out) const {
  out = cm::read(page_->records[index]);
  return out.in_use != 0;
}

}  // namespace hawser::agent
