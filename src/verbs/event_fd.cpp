#include "verbs/event_fd.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace hawser::verbs {

Result<EventFd> EventFd::create() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
  if (fd < 0) return fail(errno);
  return EventFd(fd);
}

EventFd::EventFd(EventFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

EventFd::~EventFd() {
  if (fd_ >= 0) close(fd_);
}

bool EventFd::non_blocking() const { return (fcntl(fd_, F_GETFL) & O_NONBLOCK) != 0; }

void EventFd::set_blocking() {
  const int flags = fcntl(fd_, F_GETFL);
  if (flags >= 0) fcntl(fd_, F_SETFL, flags & ~O_NONBLOCK);
}

// The counter cannot fill up, and a program that closed the descriptor has only itself to blame: nothing to do on
// error.
void EventFd::add() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof one);
}

void EventFd::take() {
  std::uint64_t one = 0;
  [[maybe_unused]] const ssize_t got = read(fd_, &one, sizeof one);
}

}  // namespace hawser::verbs
