// What the sanitizers must be told about fibers, as functions that are empty without them.
#pragma once

#include <cstddef>

#include "base/tsan_ignore.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define HW_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HW_ASAN 1
#endif
#endif
#if defined(HW_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#if defined(HW_TSAN)
#include <sanitizer/tsan_interface.h>
#include <sys/single_threaded.h>
#endif

namespace hawser::rt::explore::sanitizers {

// AddressSanitizer: the running stack is about to change; `save` is null when the old stack will not be used again.
inline void start_switch([[maybe_unused]] void** save, [[maybe_unused]] const void* bottom,
                         [[maybe_unused]] std::size_t size) {
#if defined(HW_ASAN)
  __sanitizer_start_switch_fiber(save, bottom, size);
#endif
}
inline void finish_switch([[maybe_unused]] void* saved, [[maybe_unused]] const void** old_bottom,
                          [[maybe_unused]] std::size_t* old_size) {
#if defined(HW_ASAN)
  __sanitizer_finish_switch_fiber(saved, old_bottom, old_size);
#endif
}
inline void stack_reused([[maybe_unused]] void* bottom, [[maybe_unused]] std::size_t size) {
#if defined(HW_ASAN)
  __asan_unpoison_memory_region(bottom, size);
#endif
}
inline void stack_kept([[maybe_unused]] void* bottom, [[maybe_unused]] std::size_t size) {
#if defined(HW_ASAN)
  __lsan_register_root_region(bottom, size);
#endif
}

// ThreadSanitizer: fibers are threads that the switch itself does not synchronise, else it would hide every race.
[[nodiscard]] inline void* tsan_current() {
#if defined(HW_TSAN)
  return __tsan_get_current_fiber();
#else
  return nullptr;
#endif
}
[[nodiscard]] inline void* tsan_create() {
#if defined(HW_TSAN)
  __libc_single_threaded = false;  // else libstdc++ counts the references of shared_ptr without atomics
  return __tsan_create_fiber(0);
#else
  return nullptr;
#endif
}
inline void tsan_destroy([[maybe_unused]] void* fiber) {
#if defined(HW_TSAN)
  __tsan_destroy_fiber(fiber);
#endif
}
inline void tsan_switch([[maybe_unused]] void* fiber) {
#if defined(HW_TSAN)
  __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync);
#endif
}
// What a real mutex, thread start or join would order.
inline void tsan_acquire([[maybe_unused]] void* address) {
#if defined(HW_TSAN)
  __tsan_acquire(address);
#endif
}
inline void tsan_release([[maybe_unused]] void* address) {
#if defined(HW_TSAN)
  __tsan_release(address);
#endif
}

using hawser::TsanIgnore;  // the scheduler's own data are used from every fiber with no synchronisation

}  // namespace hawser::rt::explore::sanitizers
