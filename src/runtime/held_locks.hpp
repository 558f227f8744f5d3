// The mutexes that the running thread (fiber) holds, in order of acquisition. Checked builds only.
#pragma once

#include <vector>

#include "runtime/lock_rank.hpp"

namespace hawser::rt {

class LockCheck;
struct HeldLock {
  const LockCheck* check;
  LockRank rank;
};

std::vector<HeldLock>& held_locks() noexcept;

}  // namespace hawser::rt
