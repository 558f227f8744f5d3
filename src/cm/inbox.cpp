#include "cm/inbox.hpp"

#include <utility>

namespace hawser::cm {

Inbox::Inbox(rt::Dispatcher& dispatcher, CounterSet& counters, std::size_t arrivals_max, Process process)
    : dispatcher_(dispatcher),
      counters_(counters),
      arrivals_max_(arrivals_max),
      process_(std::move(process)),
      work_([this] { run_one(); }) {}

Inbox::~Inbox() { dispatcher_.cancel_sync(work_); }

void Inbox::push_arrival(Arrival arrival) {
  {
    rt::Lock lock(mutex_);
    if (arrivals_ >= arrivals_max_) {
      counters_.dropped_queue_full.count();
      return;
    }
    ++arrivals_;
    items_.emplace_back(std::move(arrival));
  }
  static_cast<void>(dispatcher_.post(work_));  // queued already: that run takes ours too
}

void Inbox::push(Qpn qpn) { push_item(qpn); }
void Inbox::push(Unreachable unreachable) { push_item(unreachable); }
void Inbox::push(std::weak_ptr<Endpoint> endpoint) { push_item(std::move(endpoint)); }

void Inbox::push_item(Item item) {
  {
    rt::Lock lock(mutex_);
    items_.push_back(std::move(item));
  }
  static_cast<void>(dispatcher_.post(work_));
}

// One item a run, so that whoever dispatches may stop between two (a caller whose own event has come).
void Inbox::run_one() {
  Item item;
  {
    rt::Lock lock(mutex_);
    if (items_.empty()) return;
    item = std::move(items_.front());
    items_.pop_front();
    if (std::holds_alternative<Arrival>(item)) --arrivals_;
    if (!items_.empty()) static_cast<void>(dispatcher_.post(work_));
  }
  process_(item);
}

}  // namespace hawser::cm
