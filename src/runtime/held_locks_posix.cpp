#include "runtime/held_locks.hpp"

namespace hawser::rt {

std::vector<HeldLock>& held_locks() noexcept {
  static thread_local std::vector<HeldLock> held;
  return held;
}

}  // namespace hawser::rt
