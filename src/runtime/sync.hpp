// Mutexes, condition variables and atomics: the seam that the explorer replaces. Under HAWSER_EXPLORE every operation
// is a scheduling point of the explorer; otherwise these are the standard library's, with lock order and ownership
// verified in checked builds (HAWSER_CHECKED).
#pragma once

#include "runtime/lock_rank.hpp"

#if defined(HAWSER_EXPLORE)
#include "runtime/sync_explore.hpp"  // IWYU pragma: export
#else
#include "runtime/sync_posix.hpp"  // IWYU pragma: export
#endif

namespace hawser::rt {

// Holds a mutex for a scope.
class HW_SCOPED_CAPABILITY Lock {
 public:
  explicit Lock(Mutex& mutex) HW_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~Lock() HW_RELEASE() { mutex_.unlock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  Mutex& mutex_;
};

// Holds a mutex for a scope and may let go of it in between.
class HW_SCOPED_CAPABILITY UniqueLock {
 public:
  explicit UniqueLock(Mutex& mutex) HW_ACQUIRE(mutex) : mutex_(mutex), held_(true) { mutex_.lock(); }
  ~UniqueLock() HW_RELEASE() {
    if (held_) mutex_.unlock();
  }
  void unlock() HW_RELEASE() {
    mutex_.unlock();
    held_ = false;
  }
  void lock() HW_ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }
  UniqueLock(const UniqueLock&) = delete;
  UniqueLock& operator=(const UniqueLock&) = delete;

 private:
  Mutex& mutex_;
  bool held_;
};

}  // namespace hawser::rt
