#include <type_traits>

#include "runtime/held_locks.hpp"

namespace hawser::rt {

static_assert(std::is_trivially_destructible_v<HeldLocks>);

HeldLocks& held_locks() noexcept {
  static thread_local constinit HeldLocks held;
  return held;
}

}  // namespace hawser::rt
