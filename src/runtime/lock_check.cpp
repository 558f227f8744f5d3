#include "runtime/lock_check.hpp"

#if defined(HAWSER_CHECKED)

#include <string>

#include "base/assert.hpp"
#include "runtime/held_locks.hpp"

namespace hawser::rt {
namespace {

[[noreturn]] void report(const char* rule, LockRank rank, const HeldLocks& held) {
  const auto number = [](LockRank r) { return std::to_string(static_cast<int>(r)); };
  std::string what = std::string(rule) + "; mutex of rank " + number(rank) + "; held:";
  for (const HeldLock& lock : held) what += " " + number(lock.rank);
  bug("lock-discipline", what.c_str(), __FILE__, __LINE__);
}

}  // namespace

void LockCheck::before_lock(bool nested) const noexcept {
  for (const HeldLock& lock : held_locks()) {
    if (lock.check == this) report("a thread may not take a mutex that it holds", rank_, held_locks());
    if (lock.rank > rank_ || (lock.rank == rank_ && !nested)) {
      report("a thread may only take mutexes in order of rank", rank_, held_locks());
    }
  }
}

void LockCheck::locked() noexcept { held_locks().push_back({this, rank_}); }

void LockCheck::unlocked() noexcept {
  if (!held_locks().remove(this)) report("only its owner may release a mutex", rank_, held_locks());
}

void LockCheck::assert_held() const noexcept {
  for (const HeldLock& lock : held_locks()) {
    if (lock.check == this) return;
  }
  report("this mutex must be held here", rank_, held_locks());
}

void assert_none_held(LockRank rank) noexcept {
  for (const HeldLock& lock : held_locks()) {
    if (lock.rank == rank) report("no mutex of this rank may be held during a wait", rank, held_locks());
  }
}

}  // namespace hawser::rt

#endif
