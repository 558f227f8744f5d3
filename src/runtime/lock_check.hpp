// What a mutex knows about itself in checked builds: its rank and its owner. Nothing at all otherwise.
#pragma once

#include "runtime/lock_rank.hpp"

namespace hawser::rt {

#if defined(HAWSER_CHECKED)

// Each call aborts with a report that names the rank, what the thread holds and the rule that is broken.
class LockCheck {
 public:
  explicit LockCheck(LockRank rank) noexcept : rank_(rank) {}
  void before_lock(bool nested) const noexcept;  // order: rank greater than all held (or equal, if nested)
  void locked() noexcept;                        // the calling thread owns it now
  void unlocked() noexcept;                      // aborts if the caller is not the owner
  void assert_held() const noexcept;

 private:
  LockRank rank_;
};

// Aborts if the calling thread holds a mutex of this rank: for waits that must not happen under it [spec 2.1].
void assert_none_held(LockRank rank) noexcept;

#else

class LockCheck {
 public:
  constexpr explicit LockCheck(LockRank) noexcept {}
  void before_lock(bool) const noexcept {}
  void locked() noexcept {}
  void unlocked() noexcept {}
  void assert_held() const noexcept {}
};

inline void assert_none_held(LockRank) noexcept {}

#endif

}  // namespace hawser::rt
