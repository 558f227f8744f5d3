// A thread that may sleep in ppoll() and be woken by another: an eventfd and the time it plans to wake.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "base/assert.hpp"
#include "runtime/time.hpp"

namespace hawser::stack {

// kick() and plan() are thread-safe; the rest belongs to the sleeping thread.
class Sleeper {
 public:
  Sleeper() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { HW_ASSERT(fd_ >= 0, "sleeper-no-descriptor"); }
  ~Sleeper() { close(fd_); }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  void kick() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto ignored = write(fd_, &one, sizeof one);  // EAGAIN: it is readable already
  }
  // Whether there was a kick.
  bool drain() {
    std::uint64_t count = 0;
    return read(fd_, &count, sizeof count) == static_cast<ssize_t>(sizeof count);
  }

  // Announced before the last look for work; whoever makes work afterwards sees it and kicks. rt::Time() while awake.
  void plan(rt::Time wake_at) { wake_at_.store(wake_at.time_since_epoch().count()); }
  void awake() { plan(rt::Time()); }
  // Whether this thread would sleep past `deadline`.
  [[nodiscard]] bool sleeps_past(rt::Time deadline) const {
    return wake_at_.load() > deadline.time_since_epoch().count();
  }

 private:
  const int fd_;
  std::atomic<rt::Duration::rep> wake_at_{0};
};

}  // namespace hawser::stack
