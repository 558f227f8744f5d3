// What checked builds verify at each acquisition and each wait: every report is provoked. [spec 2.1.1, 2.1.3, 7 I14]
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host.hpp"
#include "runtime/explore.hpp"
#include "ucm/table.hpp"

namespace hawser::scenarios {
namespace {

using rt::Lock;
using rt::LockRank;
using rt::Mutex;
using rt::explore::Execution;
using testing::AllOf;
using testing::HasSubstr;

// What the exploration of `body` finds, or nothing.
std::string found(std::function<void(Execution&)> body) {
  rt::explore::Options options;
  options.runs_max = 1000;
  EXPECT_TRUE(rt::explore::parse_strategy("random", options));
  const auto report = rt::explore::run({.name = "test", .about = "", .probes = {}, .body = std::move(body)}, options);
  return report.finding ? report.finding->what : "";
}

TEST(LockCheck, RanksAreTakenInOrder) {
  const auto take = [](LockRank first, LockRank second) {
    return found([=](Execution&) {
      Mutex a(first), b(second);
      Lock outer(a);
      Lock inner(b);
    });
  };
  EXPECT_EQ(take(LockRank::handler, LockRank::dispatcher), "");
  EXPECT_THAT(take(LockRank::dispatcher, LockRank::handler),
              AllOf(HasSubstr("lock-discipline"), HasSubstr("only take mutexes in order of rank"),
                    HasSubstr("mutex of rank 20; held: 90")));
  EXPECT_THAT(take(LockRank::qp, LockRank::qp), HasSubstr("in order of rank")) << "nor two of one rank";
}

TEST(LockCheck, OnlyNestingTakesTwoOfOneRank) {
  const auto nest = [](LockRank first, LockRank second) {
    return found([=](Execution&) HW_NO_THREAD_SAFETY_ANALYSIS {  // no scoped lock nests
      Mutex a(first), b(second);
      a.lock();
      b.lock_nested();
      b.unlock();
      a.unlock();
    });
  };
  EXPECT_EQ(nest(LockRank::handler, LockRank::handler), "");
  EXPECT_THAT(nest(LockRank::cma_global, LockRank::handler), HasSubstr("in order of rank"));
}

// The next three are mistakes that clang's analysis refuses to compile; the run finds them where it cannot look.
TEST(LockCheck, NobodyTakesAMutexTwice) {
  EXPECT_THAT(found([](Execution&) HW_NO_THREAD_SAFETY_ANALYSIS {
                Mutex mutex(LockRank::handler);
                mutex.lock();
                mutex.lock_nested();
              }),
              HasSubstr("may not take a mutex that it holds"));
}

TEST(LockCheck, OnlyItsOwnerReleasesAMutex) {
  EXPECT_THAT(found([](Execution& execution) HW_NO_THREAD_SAFETY_ANALYSIS {
                Mutex mutex(LockRank::handler);
                mutex.lock();
                execution.spawn("another", [&]() HW_NO_THREAD_SAFETY_ANALYSIS { mutex.unlock(); });
                execution.join_all();
                mutex.unlock();
              }),
              HasSubstr("only its owner may release a mutex"));
}

TEST(LockCheck, WhatSaysThatItNeedsAMutexIsBelievedOnlyIfItIsHeld) {
  const auto assert_held = [](bool holds) {
    return found([holds](Execution&) HW_NO_THREAD_SAFETY_ANALYSIS {
      Mutex mutex(LockRank::handler);
      if (holds) mutex.lock();
      mutex.assert_held();
      mutex.unlock();
    });
  };
  EXPECT_EQ(assert_held(true), "");
  EXPECT_THAT(assert_held(false), HasSubstr("this mutex must be held here"));
}

// --- Nobody waits for a handler with a handler_mutex held: each place that waits for one -----------------------------

template <class Wait>
std::string waiting_under_a_handler_mutex(Wait&& wait) {
  return found([&wait](Execution& execution) {
    fabric::SimNetwork network(execution.world());
    Host host(execution, network, 1);
    Mutex handler_mutex(LockRank::handler);
    wait(execution, host, handler_mutex);
  });
}
const auto refused = HasSubstr("no mutex of this rank may be held during a wait; mutex of rank 20; held:");

TEST(LockCheck, CancellingAWorkThatRuns) {
  EXPECT_THAT(waiting_under_a_handler_mutex([](Execution& execution, Host& host, Mutex& handler_mutex) {
                rt::Atomic<bool> runs{false};
                rt::Work work([&] {
                  runs.store(true);
                  execution.yield();
                });
                static_cast<void>(host.dispatcher.post(work));
                host.service.start();
                {
                  Lock lock(handler_mutex);
                  static_cast<void>(host.dispatcher.cancel_sync(work));
                }
                host.service.stop();
              }),
              refused);
}

TEST(LockCheck, DestroyingAConnection) {
  EXPECT_THAT(waiting_under_a_handler_mutex([](Execution&, Host& host, Mutex& handler_mutex) {
                const auto connection = host.connections.create([](cm::Connection&, const cm::Event&) { return 0; });
                Lock lock(handler_mutex);
                host.connections.destroy(*connection);
              }),
              refused);
}

TEST(LockCheck, ClosingAListener) {
  EXPECT_THAT(waiting_under_a_handler_mutex([](Execution&, Host& host, Mutex& handler_mutex) {
                const auto listener =
                    host.connections.listen(nullptr, ServiceId(1), [](cm::Connection&, const cm::Event&) { return 0; });
                Lock lock(handler_mutex);
                host.connections.unlisten(*listener);
              }),
              refused);
}

TEST(LockCheck, DrainingAUserId) {
  EXPECT_THAT(waiting_under_a_handler_mutex([](Execution&, Host&, Mutex& handler_mutex) {
                ucm::Table table;
                Lock lock(handler_mutex);
                table.drain(1);
              }),
              refused);
}

// The id's own, or another one's: taking its handler_mutex is the first thing that the end of an id does.
TEST(LockCheck, DestroyingAnId) {
  const auto destroy = [](bool own) {
    return waiting_under_a_handler_mutex([own](Execution&, Host& host, Mutex&) HW_NO_THREAD_SAFETY_ANALYSIS {
      const auto make = [&] {
        return host.manager->create_id(
            cma::PortSpace::tcp, cma::QpType::rc, [](cma::Id&, const cma::Event&) { return 0; }, nullptr);
      };
      cma::Id* const held = make();
      cma::Id* const ends = own ? held : make();
      held->lock_handler();
      host.manager->destroy_id(ends);
    });
  };
  EXPECT_THAT(destroy(true), HasSubstr("may not take a mutex that it holds"));
  EXPECT_THAT(destroy(false), HasSubstr("in order of rank"));
}

}  // namespace
}  // namespace hawser::scenarios
