// The explorer: runs a scenario on fibers under a scheduler that owns every interleaving, again and again, until a run
// fails or the bounds are reached. Sequentially consistent. In *_sim libraries only; docs/verification.md is the guide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "runtime/sync.hpp"
#include "runtime/world.hpp"

namespace hawser::rt::explore {

class Scheduler;

// One run of a scenario, seen by its fibers. The scenario's function runs on the fiber "main".
class Execution {
 public:
  explicit Execution(Scheduler& scheduler) : scheduler_(scheduler) {}

  // Starts a fiber; it runs when the scheduler chooses it. At most 62.
  ThreadId spawn(std::string name, std::function<void()> body);
  void join(ThreadId fiber);
  void join_all();  // everything that main has spawned; done for a scenario that returns without

  // The world of this run. Its time moves only when nothing else can run (or, with Clock::eager, at any point), to
  // the next deadline that a fiber waits for.
  [[nodiscard]] World& world();
  void sleep_until(Time time);
  [[nodiscard]] bool eager_clock() const;
  // A point where another fiber may go on, at no cost in preemptions. No way to wait: a loop that spins has no end.
  void yield();
  // 0 … n-1: an event outside of the code that may turn out either way (a datagram is lost). Explored like a schedule.
  [[nodiscard]] std::size_t choose(std::size_t n);
  // While calm, the strategy is not asked and the fibers run in one fixed order: for setting the stage and clearing it.
  // (Not with plain dfs, whose sleep sets know nothing of it.)
  void set_calm(bool calm);
  // What must be true; a finding if not.
  void check(bool condition, std::string_view what);

  // The name of a mutex, condition variable or atomic in schedules.
  template <class T>
  void name(T& object, std::string text) {
    name_object(object_of(object), std::move(text));
  }

 private:
  void name_object(Object& object, std::string text);
  Scheduler& scheduler_;
};

struct Scenario {
  std::string name;
  std::string about;                // one line
  std::vector<std::string> probes;  // HW_PROBEs that exploring it must reach
  std::function<void(Execution&)> body;
};

enum class StrategyKind : std::uint8_t {
  random,      // any enabled fiber, at every point
  pct,         // probabilistic concurrency testing: priorities, `depth - 1` changes of them (Burckhardt et al. 2010)
  exhaustive,  // depth first, all schedules of at most `preemptions` preemptions
  replay,      // `schedule`
};

enum class Clock : std::uint8_t {
  idle,   // moves when nothing else can run
  eager,  // a timer may also fire while others could still run: a slow machine
};

struct Options {
  StrategyKind strategy = StrategyKind::random;
  std::uint64_t seed = 1;  // of the first run; later runs count up. Also seeds the World
  std::uint64_t runs_max = 1000;
  Duration time_max = Duration::max();  // of the wall clock
  std::uint64_t steps_max = 20000;      // of one run; more is a finding
  std::uint32_t pct_depth = 3;
  std::uint32_t pct_length = 0;                // steps of a run, for the change points; 0 learns it from earlier runs
  std::optional<std::uint32_t> preemptions{};  // nullopt: unbounded
  bool reduce = true;  // exhaustive: skip schedules that differ in the order of independent steps only
  Clock clock = Clock::idle;
  std::string schedule{};  // replay: what a finding printed
};

enum class FindingKind : std::uint8_t {
  assertion,    // HW_ASSERT, HW_BUG, lock discipline
  check,        // Execution::check
  exception,    // left a fiber
  deadlock,     // a cycle of fibers that wait for mutexes
  lost_wakeup,  // nothing can run, and no timer is armed
  endless,      // steps_max
  destroyed,    // a mutex, condition variable or atomic used after its end, or ended in use
  mismatch,     // a schedule that does not fit the scenario, or a scenario that is not deterministic
};
[[nodiscard]] std::string_view to_string(FindingKind kind);

struct Finding {
  FindingKind kind{};
  std::string what;      // one line
  std::string steps;     // the readable schedule
  std::string strategy;  // with `seed`: reproduces it in one run, see parse_strategy()
  std::uint64_t seed{};
  std::string schedule;  // with the seed: reproduces it without the strategy
};

struct Report {
  std::uint64_t runs{};
  std::uint64_t steps{};
  std::uint64_t pruned{};  // runs cut short (in what they explored) by the reduction
  std::uint64_t steps_longest{};
  bool exhausted = false;  // every schedule within the bounds was explored
  std::optional<Finding> finding{};
};

// One exploration at a time on a thread.
[[nodiscard]] Report run(const Scenario& scenario, const Options& options);

// "random", "pct", "pct:DEPTH", "pct:DEPTH:LENGTH", "dfs" (unbounded), "dfs:PREEMPTIONS", each with an optional
// ",eager" (clock) and dfs with ",full" (no reduction).
[[nodiscard]] Status parse_strategy(std::string_view text, Options& options);
[[nodiscard]] std::string strategy_text(const Options& options);

// Writes the schedule so far of the run that is under way to stderr: for handlers of crashes.
void print_run_under_way();

}  // namespace hawser::rt::explore
