// The explorer is able to fail: it finds each kind of mistake in a small program, and finds nothing in the corrected
// one although it explores all of it.
#include <optional>
#include <set>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/assert.hpp"
#include "base/probe.hpp"
#include "runtime/explore.hpp"

namespace hawser::rt::explore {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

Scenario scenario(std::function<void(Execution&)> body) {
  return {.name = "test", .about = "", .probes = {}, .body = std::move(body)};
}

Options with(const char* strategy, std::uint64_t runs_max = 1'000'000) {
  Options options;
  options.runs_max = runs_max;
  EXPECT_TRUE(parse_strategy(strategy, options)) << strategy;
  return options;
}

void expect_found(const Scenario& s, const char* strategy, FindingKind kind) {
  const Report report = run(s, with(strategy));
  ASSERT_TRUE(report.finding) << strategy << ": nothing found in " << report.runs << " runs";
  EXPECT_EQ(report.finding->kind, kind) << strategy << ": " << report.finding->what << "\n" << report.finding->steps;
}

void expect_clean_and_exhausted(const Scenario& s, const char* strategy) {
  const Report report = run(s, with(strategy));
  EXPECT_FALSE(report.finding) << strategy << ": " << report.finding->what << "\n" << report.finding->steps;
  EXPECT_TRUE(report.exhausted) << strategy;
}

// --- Small programs, wrong and right --------------------------------------------------------------------------------

Scenario counter(bool atomic_update) {
  return scenario([atomic_update](Execution& execution) {
    Atomic<int> count{0};
    for (const char* name : {"a", "b"}) {
      execution.spawn(name, [&] {
        if (atomic_update) {
          count.fetch_add(1);
        } else {
          count.store(count.load() + 1);
        }
      });
    }
    execution.join_all();
    execution.check(count.load() == 2, "an update was lost");
  });
}

Scenario two_locks(bool same_order) {
  return scenario([same_order](Execution& execution) {
    // Ranks would find this before it happens; child under parent is the one nesting that they allow.
    Mutex first(LockRank::handler);
    Mutex second(LockRank::handler);
    const auto both = [](Mutex& outer, Mutex& inner) {
      outer.lock();
      inner.lock_nested();
      inner.unlock();
      outer.unlock();
    };
    execution.spawn("a", [&] { both(first, second); });
    execution.spawn("b", [&] { same_order ? both(first, second) : both(second, first); });
    execution.join_all();
  });
}

Scenario mailbox(bool checks_under_lock) {
  return scenario([checks_under_lock](Execution& execution) {
    Mutex mutex(LockRank::dispatcher);
    CondVar arrived;
    Atomic<bool> full{false};
    execution.spawn("reader", [&] {
      if (checks_under_lock) {
        Lock lock(mutex);
        while (!full.load()) arrived.wait(mutex);
      } else if (!full.load()) {  // the notification may come here
        Lock lock(mutex);
        arrived.wait(mutex);
      }
    });
    execution.spawn("writer", [&] {
      Lock lock(mutex);
      full.store(true);
      arrived.notify_one();
    });
    execution.join_all();
  });
}

// Both fibers lock, but not over check and act together: needs one preemption, between the two.
Scenario take_once(bool one_section) {
  return scenario([one_section](Execution& execution) {
    Mutex mutex(LockRank::dispatcher);
    bool taken = false;
    int takers = 0;
    const auto take = [&] {
      UniqueLock lock(mutex);
      const bool free = !taken;
      if (!one_section) {
        lock.unlock();
        lock.lock();
      }
      if (free) {
        taken = true;
        ++takers;
      }
    };
    execution.spawn("a", take);
    execution.spawn("b", take);
    execution.join_all();
    execution.check(takers == 1, "taken twice");
  });
}

Scenario use_after_end(bool joins) {
  return scenario([joins](Execution& execution) {
    std::optional<Mutex> mutex(LockRank::dispatcher);  // its memory outlives it, so that this is no other mistake
    Atomic<int> other{0};
    const ThreadId user = execution.spawn("user", [&other, &m = *mutex] {
      Lock lock(m);
      other.store(1);
    });
    execution.spawn("unrelated", [&] { other.store(2); });
    if (joins) execution.join(user);
    mutex.reset();
    execution.join_all();
  });
}

struct Case {
  const char* name;
  Scenario (*make)(bool right);
  FindingKind kind;
};
const Case cases[] = {
    {"lost update", counter, FindingKind::check},
    {"ABBA", two_locks, FindingKind::deadlock},
    {"lost wake-up", mailbox, FindingKind::lost_wakeup},
    {"check then act", take_once, FindingKind::check},
    {"use after end", use_after_end, FindingKind::destroyed},
};

TEST(Explorer, FindsEachMistakeWithEachStrategy) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    for (const char* strategy : {"random", "pct", "pct:2", "dfs", "dfs:1", "dfs:2", "dfs,full", "dfs:1,full"}) {
      expect_found(c.make(false), strategy, c.kind);
    }
  }
}

TEST(Explorer, FindsNothingInTheCorrectProgramsAndExploresAllOfThem) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    for (const char* strategy : {"dfs", "dfs:1", "dfs:2", "dfs:2,full"}) {
      expect_clean_and_exhausted(c.make(true), strategy);
    }
    for (const char* strategy : {"random", "pct"}) {
      const Report report = run(c.make(true), with(strategy, 2000));
      EXPECT_FALSE(report.finding) << report.finding->what << "\n" << report.finding->steps;
      EXPECT_EQ(report.runs, 2000U);
    }
  }
}

TEST(Explorer, CheckThenActNeedsExactlyOnePreemption) {
  expect_clean_and_exhausted(take_once(false), "dfs:0");
  expect_found(take_once(false), "dfs:1", FindingKind::check);
}

TEST(Explorer, AFoundSeedReproducesTheFindingExactly) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    for (const char* strategy : {"random", "pct"}) {
      const Report found = run(c.make(false), with(strategy));
      ASSERT_TRUE(found.finding);
      Options again = with(found.finding->strategy.c_str(), 1);
      again.seed = found.finding->seed;
      const Report reproduced = run(c.make(false), again);
      ASSERT_TRUE(reproduced.finding) << found.finding->strategy << " seed " << found.finding->seed;
      EXPECT_EQ(reproduced.finding->steps, found.finding->steps);
      EXPECT_EQ(reproduced.finding->what, found.finding->what);
    }
  }
}

TEST(Explorer, AFoundScheduleReproducesTheFindingExactly) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    for (const char* strategy : {"random", "dfs", "dfs:2"}) {
      const Report found = run(c.make(false), with(strategy));
      ASSERT_TRUE(found.finding);
      Options again;
      again.strategy = StrategyKind::replay;
      again.seed = found.finding->seed;
      again.schedule = found.finding->schedule;
      const Report reproduced = run(c.make(false), again);
      ASSERT_TRUE(reproduced.finding) << found.finding->schedule;
      EXPECT_EQ(reproduced.finding->steps, found.finding->steps);
      EXPECT_EQ(reproduced.runs, 1U);
    }
  }
}

TEST(Explorer, AScheduleThatDoesNotFitIsToldSo) {
  for (const char* schedule : {"9", "=1", "x", "2*", "1*2*3"}) {
    Options options;
    options.strategy = StrategyKind::replay;
    options.schedule = schedule;
    const Report report = run(counter(true), options);
    ASSERT_TRUE(report.finding) << schedule;
    EXPECT_EQ(report.finding->kind, FindingKind::mismatch) << schedule;
  }
}

// --- The reduction skips only what is equivalent ---------------------------------------------------------------------

// All final outcomes of a program, as found by one strategy.
std::set<std::string> outcomes(const char* strategy, const std::function<std::string(Execution&)>& body,
                               std::uint64_t* runs = nullptr) {
  std::set<std::string> seen;
  const Report report = run(scenario([&](Execution& execution) { seen.insert(body(execution)); }), with(strategy));
  EXPECT_FALSE(report.finding) << report.finding->what << report.finding->steps;
  EXPECT_TRUE(report.exhausted);
  if (runs != nullptr) *runs = report.runs;
  return seen;
}

// Three fibers write to, and read from, two atomics under and outside of a lock.
std::string jumble(Execution& execution) {
  Mutex mutex(LockRank::dispatcher);
  Atomic<int> x{0};
  Atomic<int> y{0};
  std::string log[3];
  execution.spawn("a", [&] {
    x.store(1);
    log[0] += std::to_string(y.load());
    Lock lock(mutex);
    log[0] += std::to_string(x.fetch_add(10));
  });
  execution.spawn("b", [&] {
    y.store(1);
    log[1] += std::to_string(x.load());
  });
  execution.spawn("c", [&] {
    if (mutex.try_lock()) {
      log[2] += std::to_string(y.exchange(5));
      mutex.unlock();
    } else {
      log[2] += "busy";
    }
  });
  execution.join_all();
  return log[0] + "/" + log[1] + "/" + log[2] + "/" + std::to_string(x.load()) + std::to_string(y.load());
}

TEST(Reduction, SleepSetsLoseNoOutcome) {
  std::uint64_t all = 0;
  std::uint64_t reduced = 0;
  EXPECT_EQ(outcomes("dfs,full", jumble, &all), outcomes("dfs", jumble, &reduced));
  EXPECT_LT(reduced * 2, all);
}

TEST(Reduction, TheStateCacheLosesNoOutcomeUnderAnyBound) {
  for (const char* bound : {"0", "1", "2", "3"}) {
    SCOPED_TRACE(bound);
    std::uint64_t all = 0;
    std::uint64_t reduced = 0;
    const std::string strategy = std::string("dfs:") + bound;
    EXPECT_EQ(outcomes((strategy + ",full").c_str(), jumble, &all), outcomes(strategy.c_str(), jumble, &reduced));
    EXPECT_LE(reduced, all);
  }
  EXPECT_EQ(outcomes("dfs:30", jumble), outcomes("dfs", jumble));
}

// --- Time -----------------------------------------------------------------------------------------------------------

TEST(Clock, MovesOnlyWhenNothingElseCanRunAndToTheNextDeadline) {
  const Scenario s = scenario([](Execution& execution) {
    const Time start = execution.world().now();
    Atomic<int> order{0};
    execution.spawn("late", [&] {
      execution.sleep_until(start + 20ms);
      execution.check(order.fetch_add(1) == 2 && execution.world().now() == start + 20ms, "late");
    });
    execution.spawn("early", [&] {
      Mutex mutex(LockRank::dispatcher);
      CondVar never;
      Lock lock(mutex);
      execution.check(!never.wait_until(mutex, start + 10ms), "notified by nobody");
      execution.check(order.fetch_add(1) == 1 && execution.world().now() == start + 10ms, "early");
    });
    execution.spawn("now", [&] {
      for (int i = 0; i < 3; ++i) execution.yield();
      execution.check(order.fetch_add(1) == 0 && execution.world().now() == start, "now");
    });
    execution.join_all();
  });
  expect_clean_and_exhausted(s, "dfs:2");
}

// A retry timer against the answer that stops it.
Scenario answer_or_timeout() {
  return scenario([](Execution& execution) {
    Mutex mutex(LockRank::dispatcher);
    CondVar answered;
    bool answer = false;
    execution.spawn("peer", [&] {
      Lock lock(mutex);
      answer = true;
      answered.notify_all();
    });
    Lock lock(mutex);
    const Time deadline = execution.world().now() + 1s;
    while (!answer) {
      if (!answered.wait_until(mutex, deadline)) execution.check(answer, "timed out with the peer about to answer");
    }
  });
}

TEST(Clock, AnEagerClockLetsTimersFireWhileOthersCouldRun) {
  expect_clean_and_exhausted(answer_or_timeout(), "dfs");
  expect_found(answer_or_timeout(), "dfs,eager", FindingKind::check);
  expect_found(answer_or_timeout(), "dfs:1,eager", FindingKind::check);
  expect_found(answer_or_timeout(), "random,eager", FindingKind::check);
}

// --- Findings --------------------------------------------------------------------------------------------------------

TEST(Findings, AnAssertionEndsTheRunAndNotTheProcess) {
  const Report report = run(scenario([](Execution& execution) {
                              execution.spawn("wrong", [] { HW_ASSERT(1 + 1 == 3, "explore-test-sum"); });
                            }),
                            with("random"));
  ASSERT_TRUE(report.finding);
  EXPECT_EQ(report.finding->kind, FindingKind::assertion);
  EXPECT_THAT(report.finding->what, HasSubstr("explore-test-sum (1 + 1 == 3)"));
  EXPECT_THAT(report.finding->steps, HasSubstr("wrong"));
}

TEST(Findings, AnExceptionThatLeavesAFiber) {
  expect_found(scenario([](Execution&) { throw std::runtime_error("from main"); }), "random", FindingKind::exception);
}

TEST(Findings, AFiberThatNeverEnds) {
  expect_found(scenario([](Execution& execution) {
                 Atomic<bool> never{false};
                 execution.spawn("spins", [&] {
                   while (!never.load()) {
                   }
                 });
                 execution.join_all();
               }),
               "random", FindingKind::endless);
}

TEST(Findings, AScenarioThatIsNotDeterministic) {
  int runs = 0;
  expect_found(scenario([&](Execution& execution) {
                 Atomic<int> x{0};
                 if (++runs % 2 == 0) execution.spawn("sometimes", [&] { x.store(1); });
                 execution.spawn("always", [&] { x.store(2); });
                 execution.spawn("always too", [&] { x.store(2); });
                 execution.join_all();
               }),
               "dfs", FindingKind::mismatch);
}

TEST(Findings, NameWhatTheyAreAbout) {
  const Scenario s = scenario([](Execution& execution) {
    Mutex mutex(LockRank::handler);
    execution.name(mutex, "handler_mutex of the listener");
    mutex.lock();
    execution.spawn("destroyer", [&] { Lock lock(mutex); });
    execution.join_all();
    mutex.unlock();
  });
  const Report report = run(s, with("random"));
  ASSERT_TRUE(report.finding);
  EXPECT_EQ(report.finding->what,
            "main joins destroyer; destroyer waits for handler_mutex of the listener held by main");
}

// --- The rest of the interface
// ----------------------------------------------------------------------------------------

TEST(Choose, EveryAlternativeIsExplored) {
  std::uint64_t runs = 0;
  const auto body = [](Execution& execution) {
    const std::size_t a = execution.choose(3);
    const std::size_t b = execution.choose(2);
    return std::to_string(a) + std::to_string(b);
  };
  EXPECT_EQ(outcomes("dfs", body, &runs), (std::set<std::string>{"00", "01", "10", "11", "20", "21"}));
  EXPECT_EQ(runs, 6U);
}

TEST(Choose, NotifyOneMayWakeAnyWaiter) {
  const auto body = [](Execution& execution) {
    Mutex mutex(LockRank::dispatcher);
    CondVar condvar;
    CondVar both_wait;
    int waiting = 0;
    std::string woken;
    for (const char* name : {"a", "b"}) {
      execution.spawn(name, [&, name] {
        Lock lock(mutex);
        if (++waiting == 2) both_wait.notify_one();
        condvar.wait(mutex);
        woken += name;
        condvar.notify_one();
      });
    }
    {
      Lock lock(mutex);
      while (waiting < 2) both_wait.wait(mutex);
      condvar.notify_one();
    }
    execution.join_all();
    return woken;
  };
  EXPECT_EQ(outcomes("dfs:1", body), (std::set<std::string>{"ab", "ba"}));
}

TEST(Probe, CountsWhatWasReached) {
  reset_probes();
  const Scenario s = scenario([](Execution& execution) {
    if (execution.choose(2) == 1) HW_PROBE("explore-test-rare");
  });
  expect_clean_and_exhausted(s, "dfs");
  EXPECT_EQ(probe_hits().at("explore-test-rare"), 1U);
}

TEST(Strategy, TextIsReadAndWritten) {
  for (const char* text :
       {"random", "pct:3", "pct:5:200", "dfs", "dfs:2", "dfs,full", "dfs:0,full,eager", "random,eager"}) {
    EXPECT_EQ(strategy_text(with(text)), text);
  }
  for (const char* text : {"", "pct:0", "pct:x", "dfs:", "dfs:-1", "random:1", "random,full", "dfs:1:2", "depth"}) {
    Options options;
    EXPECT_EQ(parse_strategy(text, options).has_value(), text == std::string("dfs:")) << text;
  }
}

TEST(OutsideOfAnExploration, TheObjectsAreOrdinary) {
  Mutex mutex(LockRank::dispatcher);
  Atomic<int> count{1};
  {
    Lock lock(mutex);
    ++count;
    EXPECT_FALSE(mutex.try_lock());
  }
  EXPECT_EQ(count.load(), 2);
  EXPECT_NE(this_thread_id(), ThreadId());
}

}  // namespace
}  // namespace hawser::rt::explore
