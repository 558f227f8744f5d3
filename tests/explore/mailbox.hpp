// From handlers to the fiber that owns the id, as ucm's channel.
#pragma once

#include <deque>
#include <optional>

#include "runtime/sync.hpp"

namespace hawser::scenarios {

template <class T>
class Mailbox {
 public:
  void put(T item) {
    rt::Lock lock(mutex_);
    items_.push_back(item);
    changed_.notify_all();
  }
  // Waits; nullopt when nothing came until then.
  std::optional<T> take(rt::Time deadline = rt::time_never) {
    rt::Lock lock(mutex_);
    for (bool in_time = true; items_.empty() && in_time;) in_time = changed_.wait_until(mutex_, deadline);
    if (items_.empty()) return std::nullopt;
    const T item = items_.front();
    items_.pop_front();
    return item;
  }

 private:
  rt::Mutex mutex_{rt::LockRank::ucm_channel};
  rt::CondVar changed_;
  std::deque<T> items_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::scenarios
