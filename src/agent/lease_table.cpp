#include "agent/lease_table.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include <fmt/format.h>

namespace hawser::agent {
namespace {
constexpr std::uint64_t page_magic = 0x4857'4C45'4153'4531;  // "HWLEASE1"
}

struct LeaseTable::Page {
  struct Lease {
    LeaseState state;
    pid_t pid;
    std::uint64_t start_time;
    std::int64_t free_at_ns;
  };
  std::uint64_t magic;
  std::uint32_t next_chunk;  // chunks are leased in a circle, from a random start: a freed one rests longest
  std::array<std::uint32_t, chunk_count> slot_of_chunk;
  std::array<Lease, slot_count_max> leases;
};

Result<LeaseTable> LeaseTable::create() {
  Descriptor memory(memfd_create("hawser-leases", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory || ftruncate(memory.get(), sizeof(Page)) != 0) return fail(errno);
  (void)fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  void* page = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (page == MAP_FAILED) return fail(errno);
  LeaseTable table(std::move(memory), static_cast<Page*>(page));
  (void)getrandom(&table.page_->next_chunk, sizeof table.page_->next_chunk, 0);
  table.page_->next_chunk %= chunk_count;
  table.page_->magic = page_magic;
  return table;
}

Result<LeaseTable> LeaseTable::adopt(Descriptor memory) {
  struct stat status{};
  if (fstat(memory.get(), &status) != 0) return fail(errno);
  if (status.st_size != sizeof(Page)) return fail(EINVAL);
  void* address = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (address == MAP_FAILED) return fail(errno);
  LeaseTable table(std::move(memory), static_cast<Page*>(address));
  Page& page = *table.page_;
  if (page.magic != page_magic) return fail(EINVAL);
  page.next_chunk %= chunk_count;
  for (std::uint32_t& slot : page.slot_of_chunk) {
    // The old agent may have died between two stores.
    if (slot >= slot_count_max || page.leases[slot].state == LeaseState::unused) slot = 0;
  }
  for (Page::Lease& lease : page.leases) {
    if (lease.state > LeaseState::resting) lease.state = LeaseState::dead;
    // Its process may have died meanwhile, and its pid may be somebody else's by now.
    if (lease.state == LeaseState::live && process_start_time(lease.pid) != lease.start_time) {
      lease.state = LeaseState::dead;
    }
  }
  return table;
}

LeaseTable::LeaseTable(LeaseTable&& other) noexcept
    : memory_(std::move(other.memory_)), page_(std::exchange(other.page_, nullptr)) {}

LeaseTable::~LeaseTable() {
  if (page_ != nullptr) munmap(page_, sizeof(Page));
}

std::optional<std::uint32_t> LeaseTable::lease_slot(std::uint32_t slots_existing, pid_t pid) {
  for (std::uint32_t slot = 1; slot < std::min(slots_existing, slot_count_max); ++slot) {
    Page::Lease& lease = page_->leases[slot];
    if (lease.state != LeaseState::unused) continue;
    lease = {LeaseState::live, pid, process_start_time(pid), 0};
    return slot;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> LeaseTable::lease_chunk(std::uint32_t slot) {
  for (std::uint32_t i = 0; i < chunk_count; ++i) {
    const std::uint32_t chunk = (page_->next_chunk + i) % chunk_count;
    // The first holds QP 0 and 1 and communication id 0, the last the multicast QPN.
    if (chunk == 0 || chunk == chunk_count - 1 || page_->slot_of_chunk[chunk] != 0) continue;
    page_->slot_of_chunk[chunk] = slot;
    page_->next_chunk = (chunk + 1) % chunk_count;
    return chunk;
  }
  return std::nullopt;
}

void LeaseTable::mark_dead(std::uint32_t slot) { page_->leases[slot].state = LeaseState::dead; }

void LeaseTable::rest(std::uint32_t slot, std::int64_t until_ns) {
  page_->leases[slot].free_at_ns = until_ns;
  page_->leases[slot].state = LeaseState::resting;
}

void LeaseTable::give_back(std::uint32_t slot) {
  for (std::uint32_t& owner : page_->slot_of_chunk) {
    if (owner == slot) owner = 0;
  }
  page_->leases[slot] = {};
}

bool LeaseTable::expire(std::int64_t now_ns, std::vector<std::uint32_t>& freed) {
  for (std::uint32_t slot = 1; slot < slot_count_max; ++slot) {
    const Page::Lease& lease = page_->leases[slot];
    if (lease.state != LeaseState::resting || lease.free_at_ns > now_ns) continue;
    give_back(slot);
    freed.push_back(slot);
  }
  return !freed.empty();
}

std::optional<std::int64_t> LeaseTable::next_expiry() const {
  std::optional<std::int64_t> next;
  for (const Page::Lease& lease : page_->leases) {
    if (lease.state == LeaseState::resting && (!next || lease.free_at_ns < *next)) next = lease.free_at_ns;
  }
  return next;
}

LeaseState LeaseTable::state(std::uint32_t slot) const {
  return slot < slot_count_max ? page_->leases[slot].state : LeaseState::unused;
}
pid_t LeaseTable::pid(std::uint32_t slot) const { return page_->leases[slot].pid; }

std::uint32_t LeaseTable::slot_of_chunk(std::uint32_t chunk) const {
  return chunk < chunk_count ? page_->slot_of_chunk[chunk] : 0;
}

std::vector<std::uint32_t> LeaseTable::chunks_of(std::uint32_t slot) const {
  std::vector<std::uint32_t> chunks;
  for (std::uint32_t chunk = 0; chunk < chunk_count; ++chunk) {
    if (page_->slot_of_chunk[chunk] == slot) chunks.push_back(chunk);
  }
  return chunks;
}

std::vector<ChunkRun> LeaseTable::runs() const {
  std::vector<ChunkRun> runs;
  for (std::uint32_t chunk = 0; chunk < chunk_count; ++chunk) {
    const std::uint32_t slot = page_->slot_of_chunk[chunk];
    if (slot == 0 || page_->leases[slot].state == LeaseState::resting) continue;
    if (!runs.empty() && runs.back().slot == slot && runs.back().last + 1 == chunk) {
      runs.back().last = chunk;
    } else {
      runs.push_back({chunk, chunk, slot});
    }
  }
  return runs;
}

std::uint64_t process_start_time(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(file, line)) return 0;
  // The name in parentheses may hold anything: fields are counted from behind it.
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(line.substr(name_end + 1));
  std::string field;
  for (int number = 3; number <= 22 && fields >> field; ++number) {
    if (number == 3 && (field == "Z" || field == "X")) return 0;
    if (number == 22) return std::stoull(field);
  }
  return 0;
}

}  // namespace hawser::agent
