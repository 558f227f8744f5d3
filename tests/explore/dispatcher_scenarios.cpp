// runtime's Dispatcher: whoever cancels synchronously may end the object afterwards, and nothing that was posted or
// armed is forgotten.
#include <memory>

#include "runtime/dispatcher.hpp"
#include "scenarios.hpp"
#include "service.hpp"

namespace hawser::scenarios {
namespace {

using namespace std::chrono_literals;
using rt::explore::Execution;

// Something with deferred work, as an id or a connection is. Odd: a function is in the middle of it.
struct Object {
  explicit Object(Execution& execution) {
    execution.name(worked, "uses by the work");
    execution.name(timed, "uses by the timer");
  }
  static void use_twice(rt::Atomic<int>& uses) {
    ++uses;
    ++uses;
  }
  rt::Atomic<int> worked{0};
  rt::Atomic<int> timed{0};
  rt::Work work{[this] { use_twice(worked); }};
  rt::Timer timer{[this] { use_twice(timed); }};
};

// An owner posts the work and arms the timer of an object, cancels both and ends the object, while a service thread may
// be running either.
void cancel_sync(Execution& execution) {
  rt::Dispatcher dispatcher(execution.world());
  Service service(execution, dispatcher);
  service.start();
  {
    Object object(execution);
    execution.check(dispatcher.post(object.work), "post() of a work that is not queued");
    dispatcher.arm(object.timer, execution.world().now());
    const bool work_cancelled = dispatcher.cancel_sync(object.work);
    execution.check(object.worked.load() == (work_cancelled ? 0 : 2), "the work ran in part, or although cancelled");
    const bool timer_cancelled = dispatcher.cancel_sync(object.timer);
    execution.check(object.timed.load() == (timer_cancelled ? 0 : 2), "the timer ran in part, or although cancelled");
  }
  service.stop();
}

// A work that posts itself again must be gone for good after cancel_sync(), which waits for the run under way first.
// Another work in the queue makes a gap between its runs.
void cancel_sync_of_a_repeating_work(Execution& execution) {
  rt::Dispatcher dispatcher(execution.world());
  Service service(execution, dispatcher);
  service.start();
  rt::Work other([&] { execution.yield(); });
  {
    int left = 2;
    rt::Atomic<int> runs{0};
    execution.name(runs, "runs of the work");
    rt::Work work([&] {
      ++runs;
      if (--left > 0) (void)dispatcher.post(work);
    });
    (void)dispatcher.post(work);
    (void)dispatcher.post(other);
    (void)dispatcher.cancel_sync(work);
    execution.check(!work.is_linked(), "queued after cancel_sync()");
  }
  service.stop();
}

// Two threads arm timers, earlier and later than what the service thread sleeps for: each runs when it is due.
void timers_are_on_time(Execution& execution) {
  rt::Dispatcher dispatcher(execution.world());
  Service service(execution, dispatcher);
  const rt::Time start = execution.world().now();
  const auto on_time = [&](rt::Duration delay) {
    return [&execution, due = start + delay] {
      execution.check(execution.world().now() == due, "a timer is late, or early");
    };
  };
  rt::Timer early(on_time(1ms));
  rt::Timer middle(on_time(2ms));
  rt::Timer late(on_time(3ms));
  service.start();
  dispatcher.arm(middle, start + 2ms);
  execution.spawn("armer", [&] { dispatcher.arm(early, start + 1ms); });
  execution.spawn("armer 2", [&] {
    dispatcher.arm(late, start + 1ms);
    dispatcher.arm(late, start + 3ms);  // moved
  });
  execution.sleep_until(start + 4ms);
  execution.check(dispatcher.next_deadline() == rt::time_never, "a timer did not run");
  service.stop();
}

// Two threads post, one of the works arms a timer, and a third thread borrows the dispatching role and leaves it early:
// all of it runs.
void nothing_is_forgotten(Execution& execution) {
  rt::Dispatcher dispatcher(execution.world());
  Service service(execution, dispatcher);
  rt::Mutex mutex(rt::LockRank::fabric);
  rt::CondVar done;
  rt::Atomic<int> ran{0};
  execution.name(ran, "number of works run");
  const auto finished = [&] {
    rt::Lock lock(mutex);
    if (++ran == 3) done.notify_all();
  };
  rt::Timer timer(finished);
  rt::Work first([&] {
    dispatcher.arm(timer, execution.world().now() + 1ms);
    finished();
  });
  rt::Work second(finished);

  service.start();
  const auto a = execution.spawn(
      "poster", [&] { execution.check(dispatcher.post(first), "post() of a work that is not queued"); });
  const auto b = execution.spawn(
      "poster 2", [&] { execution.check(dispatcher.post(second), "post() of a work that is not queued"); });
  const auto c = execution.spawn("borrower", [&] {
    if (dispatcher.run([&] { return ran.load() == 1; })) service.wake();
  });
  {
    rt::Lock lock(mutex);
    while (ran.load() < 3) done.wait(mutex);
  }
  execution.check(ran.load() == 3, "something ran twice");
  for (const rt::ThreadId fiber : {a, b, c}) execution.join(fiber);
  service.stop();
}

}  // namespace

std::vector<Planned> dispatcher_scenarios() {
  return {
      {.scenario = {.name = "dispatcher-cancel-sync",
                    .about = "whoever cancels synchronously may end the object",
                    .probes = {"dispatcher-cancel-waits"},
                    .body = cancel_sync},
       .plans = {{"dfs:2", 0}, {"pct:3", 2000}, {"random,eager", 2000}}},
      {.scenario = {.name = "dispatcher-cancel-repeating",
                    .about = "a work that posts itself is gone after cancel_sync",
                    .probes = {"dispatcher-cancel-waits"},
                    .body = cancel_sync_of_a_repeating_work},
       .plans = {{"dfs:2", 0}, {"pct:3", 2000}}},
      {.scenario = {.name = "dispatcher-timers",
                    .about = "timers run when they are due, whoever arms them",
                    .probes = {},
                    .body = timers_are_on_time},
       .plans = {{"dfs:2", 0}, {"pct:3", 2000}}},
      {.scenario = {.name = "dispatcher-nothing-forgotten",
                    .about = "what is posted or armed runs, whoever has the role",
                    .probes = {"dispatcher-left-early"},
                    .body = nothing_is_forgotten},
       .plans = {{"dfs:1", 0}, {"pct:3", 5000}, {"random,eager", 5000}}},
  };
}

}  // namespace hawser::scenarios
