#include "verbs/comp_channel.hpp"

#include <algorithm>

#include "verbs/cq.hpp"

namespace hawser::verbs {

Result<std::shared_ptr<CompChannel>> CompChannel::create() {
  auto fd = EventFd::create();
  if (!fd) return fail(fd.error());
  return std::make_shared<CompChannel>(std::move(*fd));
}

void CompChannel::push(Cq& cq) {
  rt::Lock lock(mutex_);
  ++cq.events_queued_;
  queue_.push_back(&cq);
  pending_.store(true);
  fd_.add();
}

Cq* CompChannel::take() {
  rt::Lock lock(mutex_);
  if (queue_.empty()) return nullptr;
  Cq* cq = queue_.front();
  queue_.pop_front();
  pending_.store(!queue_.empty());
  fd_.take();
  --cq->events_queued_;
  ++cq->events_unacknowledged_;
  return cq;
}

void CompChannel::acknowledge(Cq& cq, std::uint32_t count) {
  rt::Lock lock(mutex_);
  cq.events_unacknowledged_ -= std::min(count, cq.events_unacknowledged_);
  acknowledged_.notify_all();
}

void CompChannel::forget(Cq& cq) {
  rt::Lock lock(mutex_);
  if (cq.events_queued_ > 0) {
    std::erase(queue_, &cq);
    for (; cq.events_queued_ > 0; --cq.events_queued_) fd_.take();
    pending_.store(!queue_.empty());
  }
  while (cq.events_unacknowledged_ > 0) acknowledged_.wait(mutex_);
}

}  // namespace hawser::verbs
