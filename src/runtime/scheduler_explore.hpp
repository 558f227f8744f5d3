// One run of a scenario: its fibers, what each is about to do, and the choice of who does it next. Fibers announce an
// operation, the strategy chooses among those that are possible now, and the chosen fiber carries it out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/explore.hpp"
#include "runtime/fiber_explore.hpp"
#include "runtime/held_locks.hpp"

namespace hawser::rt::explore {

// Fibers count from 1 (main). 0 is the clock, which the strategies see as one more fiber.
using FiberId = std::uint32_t;
inline constexpr FiberId clock_id = 0;
inline constexpr FiberId main_id = 1;
inline constexpr FiberId fiber_id_max = 63;  // sets of fibers are 64-bit masks

enum class OpKind : std::uint8_t {
  start,
  lock,
  try_lock,
  unlock,
  wait,
  relock,
  notify_one,
  notify_all,
  load,
  store,
  update,
  destroy,
  join,
  sleep,
  yield,
  choose,
  advance,
};

struct Op {
  OpKind kind = OpKind::start;
  Object* object = nullptr;  // relock and wait: the mutex
  Object* other = nullptr;   // relock and wait: the condition variable
  Time deadline = time_never;
  FiberId target = 0;  // join
};

// Whether the two orders of `a` and `b`, done by different fibers, lead to the same state.
[[nodiscard]] bool independent(const Op& a, const Op& b);

struct Task {
  FiberId id = 0;
  std::string name;
  std::unique_ptr<Fiber> fiber;
  Op pending;
  bool finished = false;
  bool waiting = false;       // on a condition variable, not notified
  std::uint64_t history = 0;  // hash of all that happened before its next step
  HeldLocks held;
};

class Scheduler;

// What a strategy decides on.
struct View {
  const Scheduler& scheduler;
  std::span<const FiberId> enabled;  // ascending, not empty
  FiberId current;                   // who made the last step
  bool current_may_go_on;            // enabled, and not at a yield(): to choose another one is a preemption
};

// Chooses. A run begins with begin(); next() prepares another one, or returns false when all is explored.
class Strategy {
 public:
  virtual ~Strategy() = default;
  virtual void begin(std::uint64_t seed) = 0;
  [[nodiscard]] virtual FiberId pick(const View& view) = 0;
  [[nodiscard]] virtual std::size_t choose(std::size_t n) = 0;
  [[nodiscard]] virtual bool next() = 0;
  [[nodiscard]] virtual bool pruned() const { return false; }             // this run: what follows was explored already
  [[nodiscard]] virtual const char* mismatch() const { return nullptr; }  // why the run cannot be what it should
};

class Scheduler {
 public:
  Scheduler(Strategy& strategy, const Options& options, std::uint64_t seed, std::uint32_t run);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Runs `body` on the fiber main until all fibers have ended or something was found.
  void run(const std::function<void()>& body);
  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] std::uint64_t steps() const { return step_count_; }
  [[nodiscard]] std::optional<Finding>& finding() { return finding_; }

  // The scheduler whose fiber is running on this thread; nullptr outside of explored code.
  [[nodiscard]] static Scheduler* active() noexcept;
  // As active(), also during the set-up of a run: for the numbering of objects.
  [[nodiscard]] static Scheduler* current() noexcept;

  // --- Called on fibers ---
  FiberId spawn(std::string name, std::function<void()> body);
  void join(FiberId fiber);
  void join_all();
  // Announces `op` and returns when the strategy has chosen it.
  void point(const Op& op);
  std::size_t choose(std::size_t n);
  void set_calm(bool calm) { calm_ = calm; }
  [[nodiscard]] bool wait_and_relock(Object& condvar, Object& mutex, Time deadline);
  void notify(Object& condvar, bool all);
  [[noreturn]] void fail(FindingKind kind, std::string what);
  void note_value(std::int64_t value, const char* text = nullptr) noexcept;

  void adopt(Object& object) noexcept;  // gives it a number in this run
  void name_object(Object& object, std::string text);
  [[nodiscard]] World& world() { return *world_; }
  [[nodiscard]] Task& running() { return *running_; }

  // --- For strategies ---
  [[nodiscard]] const Op& pending(FiberId fiber) const;
  [[nodiscard]] std::uint64_t state_hash() const { return state_hash_; }
  [[nodiscard]] const Options& options() const { return options_; }

  // --- For people ---
  [[nodiscard]] std::string steps_text() const;
  [[nodiscard]] std::string schedule_text() const;  // what replay reads

 private:
  struct Label {
    ObjectKind kind{};
    LockRank rank{};
    std::uint32_t number = 0;  // 0: no object
  };
  struct Step {
    FiberId fiber;
    OpKind kind;
    bool decided;  // there was a choice
    bool has_value;
    Label object;
    Label other;
    std::int64_t value;
    const char* text;  // of the value, if it has a name
  };

  [[nodiscard]] FiberId pick();
  [[nodiscard]] FiberId calmly(bool may_go_on) const;
  void collect_enabled();
  [[nodiscard]] bool enabled(const Task& task) const;
  [[nodiscard]] Time next_deadline() const;
  void advance_clock();
  void record(FiberId fiber, const Op& op, bool decided);
  void commit(Task& task);
  void check_destroyed(const Task& destroyer, const Object& object);
  void require_alive(const Object* object, const char* use);
  void task_body(Task& task, std::function<void()> body);
  [[nodiscard]] std::string describe_blocked(FindingKind& kind) const;
  [[nodiscard]] std::string task_name(FiberId fiber) const;
  [[nodiscard]] std::string label_text(const Label& label) const;
  [[nodiscard]] std::string op_text(const Step& step) const;
  [[nodiscard]] std::string standing_text() const;
  [[nodiscard]] static Label label_of(const Object* object);

  Strategy& strategy_;
  const Options& options_;
  const std::uint64_t seed_;
  const std::uint32_t run_;
  std::unique_ptr<World> world_;
  std::vector<std::unique_ptr<Task>> tasks_;
  Task* running_ = nullptr;
  FiberId next_ = 0;        // whom the hub resumes; 0: nobody
  FiberId last_ = main_id;  // who made the last step
  bool in_set_up_ = true;
  bool calm_ = false;
  bool internal_ = false;  // the scheduler itself uses explored objects
  Time now_{};
  std::vector<FiberId> enabled_;
  std::vector<Step> steps_;
  std::uint64_t step_count_ = 0;
  std::uint64_t state_hash_ = 0;
  std::uint32_t numbers_[3] = {};
  std::unordered_map<std::uint64_t, std::string> names_;  // by kind and number
  std::optional<Finding> finding_;
};

// The strategy that `options` ask for. `steps_longest` is what PCT has learnt of the length of runs.
[[nodiscard]] std::unique_ptr<Strategy> make_strategy(const Options& options, const std::uint64_t& steps_longest);

}  // namespace hawser::rt::explore
