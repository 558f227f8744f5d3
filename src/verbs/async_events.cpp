#include "verbs/async_events.hpp"

#include <algorithm>

namespace hawser::verbs {

void AsyncEvents::push(AsyncEvent event) {
  rt::Lock lock(mutex_);
  if (event.source != nullptr) ++event.source->queued_;
  queue_.push_back(event);
  pending_.store(true);
  fd_.add();
}

std::optional<AsyncEvent> AsyncEvents::take() {
  rt::Lock lock(mutex_);
  if (queue_.empty()) return std::nullopt;
  const AsyncEvent event = queue_.front();
  queue_.pop_front();
  pending_.store(!queue_.empty());
  fd_.take();
  if (event.source != nullptr) {
    --event.source->queued_;
    ++event.source->unacknowledged_;
  }
  return event;
}

void AsyncEvents::acknowledge(AsyncSource& source) {
  rt::Lock lock(mutex_);
  if (source.unacknowledged_ > 0) --source.unacknowledged_;
  acknowledged_.notify_all();
}

void AsyncEvents::forget(AsyncSource& source) {
  rt::Lock lock(mutex_);
  if (source.queued_ > 0) {
    std::erase_if(queue_, [&](const AsyncEvent& event) { return event.source == &source; });
    for (; source.queued_ > 0; --source.queued_) fd_.take();
    pending_.store(!queue_.empty());
  }
  while (source.unacknowledged_ > 0) acknowledged_.wait(mutex_);
}

void AsyncEvents::reset() {
  rt::Lock lock(mutex_);
  for (const AsyncEvent& event : queue_) {
    if (event.source != nullptr) --event.source->queued_;
    fd_.take();
  }
  queue_.clear();
  pending_.store(false);
  fd_.set_blocking();
}

}  // namespace hawser::verbs
