// Deferred work and timers of one Stack: what the kernel has workqueues for. Whatever runs here runs one at a time, in
// the order in which it was posted or fell due; "dispatching" is a role that threads take in turn (DESIGN 1).
// [spec 2.3.1]
#pragma once

#include <cstdint>
#include <functional>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>

#include "runtime/sync.hpp"
#include "runtime/time.hpp"
#include "runtime/world.hpp"

namespace hawser::rt {

namespace bi = boost::intrusive;

// Something a Dispatcher can run: embed one per kind of work in the object that the work concerns. It is queued at
// most once. Whoever owns the object must cancel_sync() it before the object goes, unless the function itself ends the
// object's life: the Dispatcher does not touch a Work after its function has started.
class Work : public bi::list_base_hook<bi::link_mode<bi::safe_link>> {
 public:
  explicit Work(std::function<void()> run) : run_(std::move(run)) {}

 private:
  friend class Dispatcher;
  std::function<void()> run_;
};

// As Work, at a time.
class Timer : public bi::set_base_hook<bi::link_mode<bi::safe_link>> {
 public:
  explicit Timer(std::function<void()> run) : run_(std::move(run)) {}

 private:
  friend class Dispatcher;
  struct Earlier {
    bool operator()(const Timer& a, const Timer& b) const { return a.deadline_ < b.deadline_; }
  };
  std::function<void()> run_;
  Time deadline_{};
};

// Thread-safe. Callbacks run without any lock of the Dispatcher held.
class Dispatcher {
 public:
  explicit Dispatcher(World& world) : world_(world) {}
  ~Dispatcher();  // nothing may be queued, armed or running any more
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  [[nodiscard]] World& world() { return world_; }

  // Queues `work` behind what is queued already. False if it was queued: whoever counted a reference for it takes the
  // reference back [spec 4 #27]. A work may post itself while it runs.
  [[nodiscard]] bool post(Work& work);
  // Runs `timer` once, at or after `deadline`; moves it if it is armed.
  void arm(Timer& timer, Time deadline);

  // True if it was queued (armed) and now will not run. Does not wait: it may be running.
  bool cancel(Work& work);
  bool cancel(Timer& timer);
  // As cancel; if it is running on another thread, waits until it has returned. Must not be called with a lock held
  // that the function takes; from within the function itself it does not wait.
  bool cancel_sync(Work& work);
  bool cancel_sync(Timer& timer);

  // Takes the role and runs what is queued and due now, including what that posts in turn. False if another thread has
  // the role. `until` is asked between two items and ends the run early (a caller whose own event has come).
  bool run(const std::function<bool()>& until = {});
  // Whether something is queued or due at `now`.
  [[nodiscard]] bool has_work(Time now) const;
  // When the next timer is due; Time() (the epoch) if work is queued; time_never if there is nothing.
  [[nodiscard]] Time next_deadline() const;
  [[nodiscard]] bool on_dispatching_thread() const;

  // `notify` is called, with no lock held, by a thread that does not have the role, when work was posted or a timer
  // became the earliest one. Set before the first post.
  void set_notify(std::function<void()> notify) { notify_ = std::move(notify); }

 private:
  using Queue = bi::list<Work, bi::constant_time_size<false>>;
  using Timers = bi::multiset<Timer, bi::compare<Timer::Earlier>, bi::constant_time_size<false>>;

  void wait_until_not_running(const void* item) HW_REQUIRES(mutex_);

  World& world_;
  std::function<void()> notify_;
  mutable Mutex mutex_{LockRank::dispatcher};
  CondVar finished_;
  Queue queue_ HW_GUARDED_BY(mutex_);
  Timers timers_ HW_GUARDED_BY(mutex_);
  const void* running_ HW_GUARDED_BY(mutex_) = nullptr;  // compared, never dereferenced: it may have freed itself
  bool dispatching_ HW_GUARDED_BY(mutex_) = false;
  ThreadId dispatching_thread_ HW_GUARDED_BY(mutex_){};
};

}  // namespace hawser::rt
