#include "cm/timewait.hpp"

#include <utility>
#include <vector>

namespace hawser::cm {

Timewait::Timewait(rt::Dispatcher& dispatcher, Over over)
    : dispatcher_(dispatcher), over_(std::move(over)), timer_([this] { on_timer(); }) {}

Timewait::~Timewait() { dispatcher_.cancel_sync(timer_); }

void Timewait::add(Entry entry, rt::Duration duration) {
  rt::Lock lock(mutex_);
  entries_.emplace(dispatcher_.world().now() + duration, std::move(entry));
  rearm();
}

std::size_t Timewait::end_all() {
  rt::Lock lock(mutex_);
  const rt::Time now = dispatcher_.world().now();
  std::multimap<rt::Time, Entry> ended;
  for (auto& [time, entry] : entries_) ended.emplace(now, std::move(entry));
  entries_.swap(ended);
  rearm();
  return entries_.size();
}

std::size_t Timewait::size() const {
  rt::Lock lock(mutex_);
  return entries_.size();
}

void Timewait::rearm() {
  const rt::Time first = entries_.empty() ? rt::time_never : entries_.begin()->first;
  if (first == armed_) return;
  armed_ = first;
  if (first != rt::time_never) dispatcher_.arm(timer_, first);
}

void Timewait::on_timer() {
  std::vector<Entry> over;
  {
    rt::Lock lock(mutex_);
    armed_ = rt::time_never;
    const rt::Time now = dispatcher_.world().now();
    while (!entries_.empty() && entries_.begin()->first <= now) {
      over.push_back(std::move(entries_.begin()->second));
      entries_.erase(entries_.begin());
    }
    rearm();
  }
  for (const Entry& entry : over) {
    if (const auto endpoint = entry.owner.lock()) over_(*endpoint, entry.remote_qpn);
  }
}

}  // namespace hawser::cm
