// Explorer side of runtime/sync.hpp. Include that one. Every operation is a scheduling point of the explorer when a
// fiber of an exploration runs it; outside of one (set-up, tests that are no scenario) it just happens.
#pragma once

#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>

#include "base/thread_annotations.hpp"
#include "runtime/lock_check.hpp"
#include "runtime/lock_rank.hpp"
#include "runtime/time.hpp"

namespace hawser::rt {

// Identity of the running fiber. Comparable; a default-constructed one is no fiber.
class ThreadId {
 public:
  constexpr ThreadId() = default;
  constexpr explicit ThreadId(std::uint32_t value) : value_(value) {}
  constexpr auto operator<=>(const ThreadId&) const = default;
  [[nodiscard]] constexpr std::uint32_t value() const { return value_; }

 private:
  std::uint32_t value_ = 0;
};
[[nodiscard]] ThreadId this_thread_id() noexcept;

namespace explore {

inline constexpr std::uint32_t alive_magic = 0xA11FE;  // what Object::alive is until it is destroyed
enum class ObjectKind : std::uint8_t { mutex, condvar, atomic };

// What the explorer knows about a mutex, condition variable or atomic.
struct Object {
  explicit Object(ObjectKind k, LockRank r = {}) noexcept;
  ~Object();
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  volatile std::uint32_t alive;  // a magic number until the destructor ran
  ObjectKind kind;
  LockRank rank;
  bool quiet = false;            // its loads are no scheduling points: only the clock writes it
  std::uint32_t number = 0;      // the how-manyth of its kind in this run, for people
  std::uint32_t run = 0;         // the run that `number`, `owner` and the hashes belong to
  std::uint32_t owner = 0;       // mutex: the fiber that holds it; 0 is none
  std::uint64_t write_hash = 0;  // happens-before: the last write, and the sum of the reads since
  std::uint64_t read_hash = 0;
};

enum class Access : std::uint8_t { load, store, update };

void lock(Object& mutex);
[[nodiscard]] bool try_lock(Object& mutex);
void unlock(Object& mutex);
// False when the deadline passed. The mutex is held again in either case.
[[nodiscard]] bool wait(Object& condvar, Object& mutex, Time deadline);
void notify(Object& condvar, bool all);
void access(const Object& atomic, Access how);
// Of the access just made, for people. `text` has static storage duration.
void note_value(const Object& atomic, std::int64_t value, const char* text = nullptr) noexcept;

}  // namespace explore

class HW_CAPABILITY("mutex") Mutex {
 public:
  explicit Mutex(LockRank rank) : object_(explore::ObjectKind::mutex, rank), check_(rank) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() HW_ACQUIRE() {
    check_.before_lock(false);
    explore::lock(object_);
    check_.locked();
  }
  void lock_nested() HW_ACQUIRE() {
    check_.before_lock(true);
    explore::lock(object_);
    check_.locked();
  }
  [[nodiscard]] bool try_lock() HW_TRY_ACQUIRE(true) {
    if (!explore::try_lock(object_)) return false;
    check_.locked();
    return true;
  }
  void unlock() HW_RELEASE() {
    check_.unlocked();
    explore::unlock(object_);
  }
  void assert_held() const HW_ASSERT_CAPABILITY(this) { check_.assert_held(); }

 private:
  friend class CondVar;
  friend explore::Object& object_of(Mutex& mutex) { return mutex.object_; }
  explore::Object object_;
  [[no_unique_address]] LockCheck check_;
};

class CondVar {
 public:
  void wait(Mutex& mutex) HW_REQUIRES(mutex) { (void)wait_until(mutex, time_never); }
  bool wait_until(Mutex& mutex, Time deadline) HW_REQUIRES(mutex) {
    mutex.check_.unlocked();
    const bool in_time = explore::wait(object_, mutex.object_, deadline);
    mutex.check_.locked();
    return in_time;
  }
  void notify_one() { explore::notify(object_, false); }
  void notify_all() { explore::notify(object_, true); }

 private:
  friend explore::Object& object_of(CondVar& condvar) { return condvar.object_; }
  explore::Object object_{explore::ObjectKind::condvar};
};

// As std::atomic<T>; without wait(), notify_*() and is_always_lock_free.
template <class T>
class Atomic {
 public:
  using value_type = T;
  using Difference = std::conditional_t<std::is_pointer_v<T>, std::ptrdiff_t, T>;
  constexpr static auto seq_cst = std::memory_order_seq_cst;

  Atomic() noexcept : value_(T{}) {}
  Atomic(T value) noexcept : value_(value) {}  // NOLINT(google-explicit-constructor): as std::atomic
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  T load(std::memory_order order = seq_cst) const {
    explore::access(object_, explore::Access::load);
    return note(value_.load(order));
  }
  void store(T value, std::memory_order order = seq_cst) {
    explore::access(object_, explore::Access::store);
    value_.store(note(value), order);
  }
  T exchange(T value, std::memory_order order = seq_cst) {
    explore::access(object_, explore::Access::update);
    note(value);
    return value_.exchange(value, order);
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order order = seq_cst) {
    explore::access(object_, explore::Access::update);
    const bool done = value_.compare_exchange_strong(expected, desired, order);
    note(done ? desired : expected);
    return done;
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure) {
    explore::access(object_, explore::Access::update);
    const bool done = value_.compare_exchange_strong(expected, desired, success, failure);
    note(done ? desired : expected);
    return done;
  }
  // Never fails spuriously here.
  bool compare_exchange_weak(T& expected, T desired, std::memory_order order = seq_cst) {
    return compare_exchange_strong(expected, desired, order);
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order success, std::memory_order failure) {
    return compare_exchange_strong(expected, desired, success, failure);
  }
  operator T() const { return load(); }  // NOLINT(google-explicit-constructor): as std::atomic
  T operator=(T value) {                 // NOLINT(misc-unconventional-assign-operator): as std::atomic
    store(value);
    return value;
  }

  T fetch_add(Difference n, std::memory_order order = seq_cst) {
    explore::access(object_, explore::Access::update);
    const T old = value_.fetch_add(n, order);
    note(value_.load(std::memory_order_relaxed));
    return old;
  }
  T fetch_sub(Difference n, std::memory_order order = seq_cst) {
    explore::access(object_, explore::Access::update);
    const T old = value_.fetch_sub(n, order);
    note(value_.load(std::memory_order_relaxed));
    return old;
  }
  T fetch_and(T bits, std::memory_order order = seq_cst) {
    explore::access(object_, explore::Access::update);
    const T old = value_.fetch_and(bits, order);
    note(value_.load(std::memory_order_relaxed));
    return old;
  }
  T fetch_or(T bits, std::memory_order order = seq_cst) {
    explore::access(object_, explore::Access::update);
    const T old = value_.fetch_or(bits, order);
    note(value_.load(std::memory_order_relaxed));
    return old;
  }
  T fetch_xor(T bits, std::memory_order order = seq_cst) {
    explore::access(object_, explore::Access::update);
    const T old = value_.fetch_xor(bits, order);
    note(value_.load(std::memory_order_relaxed));
    return old;
  }
  T operator++() { return static_cast<T>(fetch_add(1) + 1); }
  T operator++(int) { return fetch_add(1); }
  T operator--() { return static_cast<T>(fetch_sub(1) - 1); }
  T operator--(int) { return fetch_sub(1); }
  T operator+=(T n) { return static_cast<T>(fetch_add(n) + n); }
  T operator-=(T n) { return static_cast<T>(fetch_sub(n) - n); }
  T operator|=(T bits) { return static_cast<T>(fetch_or(bits) | bits); }
  T operator&=(T bits) { return static_cast<T>(fetch_and(bits) & bits); }

 private:
  friend explore::Object& object_of(Atomic& atomic) { return atomic.object_; }
  T note(T value) const {
    if constexpr (requires { static_cast<const char*>(name(value)); }) {  // as name(cma::State)
      explore::note_value(object_, static_cast<std::int64_t>(value), name(value));
    } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
      explore::note_value(object_, static_cast<std::int64_t>(value));
    }
    return value;
  }
  explore::Object object_{explore::ObjectKind::atomic};
  std::atomic<T> value_;  // truly atomic, so that the thread sanitizer sees the orders that the program asked for
};

}  // namespace hawser::rt

template <>
struct std::hash<hawser::rt::ThreadId> {
  std::size_t operator()(hawser::rt::ThreadId id) const noexcept { return id.value(); }
};
