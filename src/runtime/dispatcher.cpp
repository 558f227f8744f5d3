#include "runtime/dispatcher.hpp"

#include "base/assert.hpp"
#include "base/probe.hpp"

namespace hawser::rt {

Dispatcher::~Dispatcher() {
  Lock lock(mutex_);
  HW_ASSERT(queue_.empty() && timers_.empty() && !dispatching_, "dispatcher-destroyed-with-work");
}

bool Dispatcher::post(Work& work) {
  {
    Lock lock(mutex_);
    if (work.is_linked()) return false;
    queue_.push_back(work);
    if (dispatching_ && dispatching_thread_ == this_thread_id()) return true;
  }
  if (notify_) notify_();
  return true;
}

void Dispatcher::arm(Timer& timer, Time deadline) {
  {
    Lock lock(mutex_);
    if (timer.is_linked()) timers_.erase(timers_.iterator_to(timer));
    timer.deadline_ = deadline;
    timers_.insert(timer);
    const bool earliest = &*timers_.begin() == &timer;
    if (!earliest || (dispatching_ && dispatching_thread_ == this_thread_id())) return;
  }
  if (notify_) notify_();
}

bool Dispatcher::cancel(Work& work) {
  Lock lock(mutex_);
  if (!work.is_linked()) return false;
  queue_.erase(queue_.iterator_to(work));
  return true;
}

bool Dispatcher::cancel(Timer& timer) {
  Lock lock(mutex_);
  if (!timer.is_linked()) return false;
  timers_.erase(timers_.iterator_to(timer));
  return true;
}

bool Dispatcher::cancel_sync(Work& work) {
  Lock lock(mutex_);
  wait_until_not_running(&work);
  if (!work.is_linked()) return false;
  queue_.erase(queue_.iterator_to(work));
  return true;
}

bool Dispatcher::cancel_sync(Timer& timer) {
  Lock lock(mutex_);
  wait_until_not_running(&timer);
  if (!timer.is_linked()) return false;
  timers_.erase(timers_.iterator_to(timer));
  return true;
}

// Waits first and unlinks afterwards: the function may have posted itself again while it ran.
void Dispatcher::wait_until_not_running(const void* item) {
  while (running_ == item && dispatching_thread_ != this_thread_id()) {
    assert_none_held(LockRank::handler);
    HW_PROBE("dispatcher-cancel-waits");
    finished_.wait(mutex_);
  }
}

bool Dispatcher::run(const std::function<bool()>& until) {
  UniqueLock lock(mutex_);
  if (dispatching_) return false;
  dispatching_ = true;
  dispatching_thread_ = this_thread_id();
  for (;;) {
    if (until) {
      lock.unlock();
      const bool enough = until();
      lock.lock();
      if (enough) {
        if (!queue_.empty()) HW_PROBE("dispatcher-left-early");
        break;
      }
    }
    std::function<void()> function;  // a copy: it may end the life of the object that it is stored in
    if (!timers_.empty() && timers_.begin()->deadline_ <= world_.now()) {
      Timer& timer = *timers_.begin();
      timers_.erase(timers_.begin());
      running_ = &timer;
      function = timer.run_;
    } else if (!queue_.empty()) {
      Work& work = queue_.front();
      queue_.pop_front();
      running_ = &work;
      function = work.run_;
    } else {
      break;
    }
    lock.unlock();
    function();
    lock.lock();
    running_ = nullptr;
    finished_.notify_all();
  }
  dispatching_ = false;
  dispatching_thread_ = {};
  return true;
}

bool Dispatcher::has_work(Time now) const {
  Lock lock(mutex_);
  return !queue_.empty() || (!timers_.empty() && timers_.begin()->deadline_ <= now);
}

Time Dispatcher::next_deadline() const {
  Lock lock(mutex_);
  if (!queue_.empty()) return Time();
  return timers_.empty() ? time_never : timers_.begin()->deadline_;
}

bool Dispatcher::on_dispatching_thread() const {
  Lock lock(mutex_);
  return dispatching_ && dispatching_thread_ == this_thread_id();
}

}  // namespace hawser::rt
