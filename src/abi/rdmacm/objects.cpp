#include "abi/rdmacm/objects.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace hawser::abi::rdmacm {

std::shared_ptr<EventDescriptor> EventDescriptor::create() {
  const int fd = ::eventfd(0, EFD_CLOEXEC);
  if (fd < 0) return nullptr;
  return std::shared_ptr<EventDescriptor>(new EventDescriptor(fd));
}

EventDescriptor::~EventDescriptor() { ::close(fd_); }

// The counter is 1 while events pend and else 0, so neither call blocks, unless the program reads the descriptor
// itself: then poll() keeps the read from blocking.
void EventDescriptor::set_pending(bool pending) {
  std::uint64_t value = 1;
  if (pending) {
    [[maybe_unused]] const auto written = ::write(fd_, &value, sizeof(value));
    return;
  }
  pollfd readable{fd_, POLLIN, 0};
  if (::poll(&readable, 1, 0) == 1) {
    [[maybe_unused]] const auto read_bytes = ::read(fd_, &value, sizeof(value));
  }
}

void CmId::acknowledge() {
  rt::Lock lock(mutex_);
  ++completed_;
  acknowledged_.notify_all();
}

// [spec 6.4.7]
void CmId::wait_until_acknowledged(unsigned fetched) { (void)acknowledged_by(fetched, rt::time_never); }

bool CmId::acknowledged_by(unsigned fetched, rt::Time deadline) {
  rt::Lock lock(mutex_);
  while (completed_ < fetched) {
    if (!acknowledged_.wait_until(mutex_, deadline)) return completed_ >= fetched;
  }
  return true;
}

}  // namespace hawser::abi::rdmacm
