// A counting descriptor: readable while events pend, one event one read. Programs poll it, set O_NONBLOCK on it behind
// our back, and never read it themselves.
#pragma once

#include "base/result.hpp"

namespace hawser::verbs {

// The owner's lock orders add() and take(); take() only when an event that was added pends.
class EventFd {
 public:
  [[nodiscard]] static Result<EventFd> create();
  EventFd(EventFd&& other) noexcept;
  EventFd& operator=(EventFd&&) = delete;
  ~EventFd();

  [[nodiscard]] int fd() const { return fd_; }
  // Whether the program has set O_NONBLOCK, asked at each call.
  [[nodiscard]] bool non_blocking() const;
  void set_blocking();
  void add();
  void take();

 private:
  explicit EventFd(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace hawser::verbs
