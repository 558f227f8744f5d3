// Production side of runtime/sync.hpp. Include that one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "base/thread_annotations.hpp"
#include "runtime/lock_check.hpp"
#include "runtime/lock_rank.hpp"
#include "runtime/time.hpp"

namespace hawser::rt {

template <class T>
using Atomic = std::atomic<T>;

class HW_CAPABILITY("mutex") Mutex {
 public:
  explicit Mutex([[maybe_unused]] LockRank rank) : check_(rank) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() HW_ACQUIRE() {
    check_.before_lock(false);
    mutex_.lock();
    check_.locked();
  }
  // For a mutex of the same rank as one that is held: a child's handler_mutex under its listener's.
  void lock_nested() HW_ACQUIRE() {
    check_.before_lock(true);
    mutex_.lock();
    check_.locked();
  }
  [[nodiscard]] bool try_lock() HW_TRY_ACQUIRE(true) {
    if (!mutex_.try_lock()) return false;
    check_.locked();
    return true;
  }
  void unlock() HW_RELEASE() {
    check_.unlocked();
    mutex_.unlock();
  }
  // Checked builds abort unless the calling thread holds the mutex; tells the analysis that it does.
  void assert_held() const HW_ASSERT_CAPABILITY(this) { check_.assert_held(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
  [[no_unique_address]] LockCheck check_;
};

class CondVar {
 public:
  // Spurious wake-ups happen; wait in a loop.
  void wait(Mutex& mutex) HW_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    mutex.check_.unlocked();
    condition_.wait(lock);
    mutex.check_.locked();
    lock.release();
  }
  // False when `deadline` passed.
  bool wait_until(Mutex& mutex, Time deadline) HW_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    mutex.check_.unlocked();
    const bool in_time = condition_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    mutex.check_.locked();
    lock.release();
    return in_time;
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

// Identity of the running thread (fiber, under the explorer). Comparable; a default-constructed one is no thread.
using ThreadId = std::thread::id;
[[nodiscard]] inline ThreadId this_thread_id() noexcept { return std::this_thread::get_id(); }

}  // namespace hawser::rt
