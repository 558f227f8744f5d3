// The mutexes that the running thread (fiber) holds, in order of acquisition. Checked builds only.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/assert.hpp"
#include "runtime/lock_rank.hpp"

namespace hawser::rt {

class LockCheck;
struct HeldLock {
  const LockCheck* check{};
  LockRank rank{};
};

// Needs no destructor: mutexes are also taken by what runs at a program's exit, when the thread's objects are gone.
class HeldLocks {
 public:
  void push_back(HeldLock lock) {
    HW_ASSERT(count_ < locks_.size(), "runtime-too-many-locks-held");
    locks_[count_++] = lock;
  }
  // The one taken last. False if it is not held.
  bool remove(const LockCheck* check) {
    for (std::size_t i = count_; i-- > 0;) {
      if (locks_[i].check != check) continue;
      std::copy(locks_.begin() + i + 1, locks_.begin() + count_, locks_.begin() + i);
      --count_;
      return true;
    }
    return false;
  }
  [[nodiscard]] const HeldLock* begin() const { return locks_.data(); }
  [[nodiscard]] const HeldLock* end() const { return locks_.data() + count_; }

 private:
  std::array<HeldLock, 32> locks_{};
  std::size_t count_ = 0;
};

HeldLocks& held_locks() noexcept;

}  // namespace hawser::rt
