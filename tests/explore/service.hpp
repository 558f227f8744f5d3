// The service thread of a scenario: what stack::Engine is in production, with explored objects only. It dispatches when
// it is woken or a deadline has come, and sleeps otherwise.
#pragma once

#include <algorithm>
#include <functional>
#include <utility>

#include "runtime/dispatcher.hpp"
#include "runtime/explore.hpp"

namespace hawser::scenarios {

// Its fiber runs from start() to stop().
class Service {
 public:
  // `poll` is called before each round of dispatching (the simulated network's receive); `deadline` says when it next
  // needs a call.
  Service(rt::explore::Execution& execution, rt::Dispatcher& dispatcher, std::function<void()> poll = {},
          std::function<rt::Time()> deadline = {})
      : execution_(execution), dispatcher_(dispatcher), poll_(std::move(poll)), deadline_(std::move(deadline)) {
    execution_.name(woken_, "service woken");
    dispatcher_.set_notify([this] { wake(); });
  }
  void start() {
    fiber_ = execution_.spawn("service", [this] { loop(); });
  }
  // Returns when the fiber has ended; what is due by then has run.
  void stop() {
    {
      rt::Lock lock(mutex_);
      stop_ = true;
      woken_.notify_one();
    }
    execution_.join(fiber_);
  }
  // Work has come, or the thread that had the dispatching role has left it. With no lock of a higher rank held.
  void wake() {
    rt::Lock lock(mutex_);
    work_ = true;
    woken_.notify_one();
  }

 private:
  void loop() {
    for (bool stop = false; !stop;) {
      if (poll_) poll_();
      // Somebody else may have the role; he wakes us when he leaves it.
      rt::Time deadline = dispatcher_.run() ? dispatcher_.next_deadline() : rt::time_never;
      if (deadline_) deadline = std::min(deadline, deadline_());
      rt::Lock lock(mutex_);
      bool in_time = true;
      while (!work_ && !stop_ && in_time) in_time = woken_.wait_until(mutex_, deadline);
      stop = stop_ && !work_;
      work_ = false;
    }
  }

  rt::explore::Execution& execution_;
  rt::Dispatcher& dispatcher_;
  const std::function<void()> poll_;
  const std::function<rt::Time()> deadline_;
  rt::ThreadId fiber_;
  rt::Mutex mutex_{rt::LockRank::engine};
  rt::CondVar woken_;
  bool work_ HW_GUARDED_BY(mutex_) = false;
  bool stop_ HW_GUARDED_BY(mutex_) = false;
};

}  // namespace hawser::scenarios
