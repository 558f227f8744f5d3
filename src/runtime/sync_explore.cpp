#include "runtime/sync_explore.hpp"

#include "base/assert.hpp"
#include "runtime/held_locks.hpp"
#include "runtime/sanitizers_explore.hpp"
#include "runtime/scheduler_explore.hpp"

namespace hawser::rt {

ThreadId this_thread_id() noexcept {
  const explore::sanitizers::TsanIgnore ignore;
  explore::Scheduler* scheduler = explore::Scheduler::active();
  return scheduler != nullptr ? ThreadId(scheduler->running().id) : ThreadId(0xFFFFFFFF);
}

HeldLocks& held_locks() noexcept {
  const explore::sanitizers::TsanIgnore ignore;
  static thread_local constinit HeldLocks outside;
  explore::Scheduler* scheduler = explore::Scheduler::active();
  return scheduler != nullptr ? scheduler->running().held : outside;
}

namespace explore {
namespace {

constexpr std::uint32_t outside_owner = 0xFFFFFFFF;

[[nodiscard]] OpKind op_of(Access how) {
  switch (how) {
    case Access::load: return OpKind::load;
    case Access::store: return OpKind::store;
    case Access::update: return OpKind::update;
  }
  HW_BUG("explore-unknown-access");
}

}  // namespace

Object::Object(ObjectKind k, LockRank r) noexcept : alive(alive_magic), kind(k), rank(r) {
  if (Scheduler* scheduler = Scheduler::current()) scheduler->adopt(*this);
}

Object::~Object() {
  if (Scheduler* scheduler = Scheduler::active()) scheduler->point({.kind = OpKind::destroy, .object = this});
  alive = 0;
}

void lock(Object& mutex) {
  const sanitizers::TsanIgnore ignore;
  Scheduler* scheduler = Scheduler::active();
  if (scheduler != nullptr) scheduler->point({.kind = OpKind::lock, .object = &mutex});
  HW_ASSERT(mutex.owner == 0, "explore-deadlock-outside-of-fibers");
  mutex.owner = scheduler != nullptr ? scheduler->running().id : outside_owner;
  sanitizers::tsan_acquire(&mutex);
}

bool try_lock(Object& mutex) {
  const sanitizers::TsanIgnore ignore;
  Scheduler* scheduler = Scheduler::active();
  if (scheduler != nullptr) scheduler->point({.kind = OpKind::try_lock, .object = &mutex});
  const bool free = mutex.owner == 0;
  if (free) {
    mutex.owner = scheduler != nullptr ? scheduler->running().id : outside_owner;
    sanitizers::tsan_acquire(&mutex);
  }
  if (scheduler != nullptr) scheduler->note_value(free ? 1 : 0);
  return free;
}

void unlock(Object& mutex) {
  const sanitizers::TsanIgnore ignore;
  if (Scheduler* scheduler = Scheduler::active()) scheduler->point({.kind = OpKind::unlock, .object = &mutex});
  sanitizers::tsan_release(&mutex);
  mutex.owner = 0;
}

bool wait(Object& condvar, Object& mutex, Time deadline) {
  const sanitizers::TsanIgnore ignore;
  Scheduler* scheduler = Scheduler::active();
  HW_ASSERT(scheduler != nullptr, "explore-wait-outside-of-fibers");
  sanitizers::tsan_release(&mutex);
  const bool notified = scheduler->wait_and_relock(condvar, mutex, deadline);
  sanitizers::tsan_acquire(&mutex);
  return notified;
}

void notify(Object& condvar, bool all) {
  if (Scheduler* scheduler = Scheduler::active()) scheduler->notify(condvar, all);
}

void access(const Object& atomic, Access how) {
  Scheduler* scheduler = Scheduler::active();
  if (scheduler == nullptr || (atomic.quiet && how == Access::load)) return;
  // The object of a const atomic changes only in what the explorer notes about it.
  scheduler->point({.kind = op_of(how), .object = const_cast<Object*>(&atomic)});
}

void note_value(const Object& atomic, std::int64_t value, const char* text) noexcept {
  if (atomic.quiet) return;
  if (Scheduler* scheduler = Scheduler::active()) scheduler->note_value(value, text);
}

}  // namespace explore
}  // namespace hawser::rt
