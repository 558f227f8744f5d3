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

void LookupResult::set(rdma_addrinfo* info) {
  rt::Lock lock(mutex_);
  std::swap(info_, info);
  rdma_freeaddrinfo(info);
}

rdma_addrinfo* LookupResult::take() {
  rt::Lock lock(mutex_);
  return std::exchange(info_, nullptr);
}

CmId::CmId(std::shared_ptr<Channel> channel, bool on_its_own) : sync(on_its_own), channel_(std::move(channel)) {
  pub.channel = &channel_->pub;
}

std::shared_ptr<Channel> CmId::channel() const {
  rt::Lock lock(mutex_);
  return channel_;
}

// [spec 6.4.14]
Result<unsigned> CmId::move(ucm::Manager& ucm, std::shared_ptr<Channel>& to, bool to_sync) {
  rt::Lock lock(mutex_);
  const auto fetched = ucm.migrate_id(to->file, *channel_->file, handle);
  if (!fetched) return fetched;
  channel_.swap(to);
  pub.channel = &channel_->pub;
  sync.store(to_sync);
  return fetched;
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
