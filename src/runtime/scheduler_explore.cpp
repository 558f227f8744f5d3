#include "runtime/scheduler_explore.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <utility>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "runtime/sanitizers_explore.hpp"

namespace hawser::rt::explore {
namespace {

thread_local Scheduler* current_scheduler = nullptr;

[[nodiscard]] std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t h = (a ^ (b + 0x9E3779B97F4A7C15 + (a << 6) + (a >> 2))) * 0xBF58476D1CE4E5B9;
  h = (h ^ h >> 29) * 0x94D049BB133111EB;
  return h ^ h >> 32;
}

void on_bug(const char* name, const char* expression, const char* file, int line) {
  if (Scheduler* scheduler = Scheduler::active()) {
    scheduler->fail(FindingKind::assertion, fmt::format("{} ({}) at {}:{}", name, expression, file, line));
  }
}

}  // namespace

bool independent(const Op& a, const Op& b) {
  if (a.kind == OpKind::advance || b.kind == OpKind::advance) return false;
  const auto touches = [](const Op& op, const Object* object) {
    return object != nullptr && (op.object == object || op.other == object);
  };
  if (a.kind == OpKind::load && b.kind == OpKind::load) return true;
  return !touches(b, a.object) && !touches(b, a.other);
}

Scheduler::Scheduler(Strategy& strategy, const Options& options, std::uint64_t seed, std::uint32_t run)
    : strategy_(strategy), options_(options), seed_(seed), run_(run) {
  HW_ASSERT(current_scheduler == nullptr, "explore-nested");
  current_scheduler = this;
  set_bug_hook(&on_bug);
  world_ = World::simulated(seed);
  in_set_up_ = false;
  now_ = world_->now();
}

Scheduler::~Scheduler() {
  set_bug_hook(nullptr);
  current_scheduler = nullptr;
  for (auto& task : tasks_) {
    if (!task->fiber->ended()) Fiber::abandon(std::move(task->fiber));
  }
}

Scheduler* Scheduler::current() noexcept { return current_scheduler; }

Scheduler* Scheduler::active() noexcept {
  Scheduler* scheduler = current_scheduler;
  return scheduler != nullptr && scheduler->running_ != nullptr && !scheduler->internal_ ? scheduler : nullptr;
}

void Scheduler::run(const std::function<void()>& body) {
  const sanitizers::TsanIgnore ignore;
  strategy_.begin(seed_);
  spawn("main", [this, &body] {
    body();
    join_all();
  });
  next_ = main_id;
  record(main_id, tasks_.front()->pending, false);
  while (next_ != clock_id) {
    running_ = tasks_[next_ - 1].get();
    running_->fiber->resume();
    running_ = nullptr;
  }
  // The hub goes on after all fibers, as if it had joined them; while they ran, nothing passed through it.
  for (const auto& task : tasks_) sanitizers::tsan_acquire(task->fiber.get());
}

// --- Fibers ---------------------------------------------------------------------------------------------------------

FiberId Scheduler::spawn(std::string name, std::function<void()> body) {
  const sanitizers::TsanIgnore ignore;
  HW_ASSERT(tasks_.size() < fiber_id_max, "explore-too-many-fibers");
  auto task = std::make_unique<Task>();
  Task& t = *task;
  t.id = static_cast<FiberId>(tasks_.size() + 1);
  t.name = std::move(name);
  t.history = mix(running_ != nullptr ? running_->history : 0, t.id);
  sanitizers::tsan_release(&t);
  t.fiber = std::make_unique<Fiber>([this, &t, b = std::move(body)]() mutable { task_body(t, std::move(b)); });
  tasks_.push_back(std::move(task));
  return t.id;
}

void Scheduler::task_body(Task& task, std::function<void()> body) {
  sanitizers::tsan_acquire(&task);
  std::string exception;
  try {
    body();
    body = nullptr;  // what it captured ends as part of the fiber's life
  } catch (const std::exception& error) {
    exception = fmt::format("fiber {} ended with an exception: {}", task.name, error.what());
  }
  if (!exception.empty()) fail(FindingKind::exception, std::move(exception));
  sanitizers::tsan_release(&task);
  const sanitizers::TsanIgnore ignore;
  task.finished = true;
  const bool all = std::ranges::all_of(tasks_, [](const auto& t) { return t->finished; });
  next_ = all ? clock_id : pick();
}

void Scheduler::join(FiberId fiber) {
  point({.kind = OpKind::join, .target = fiber});
  const sanitizers::TsanIgnore ignore;
  sanitizers::tsan_acquire(tasks_[fiber - 1].get());
}

void Scheduler::join_all() {
  for (std::size_t i = 1; i < tasks_.size(); ++i) join(static_cast<FiberId>(i + 1));  // may grow meanwhile
}

void Scheduler::fail(FindingKind kind, std::string what) {
  const sanitizers::TsanIgnore ignore;
  finding_ = Finding{.kind = kind,
                     .what = std::move(what),
                     .steps = steps_text(),
                     .strategy = {},
                     .seed = seed_,
                     .schedule = schedule_text()};
  next_ = clock_id;
  running_->fiber->suspend();  // the hub leaves the run and never comes back
  std::abort();
}

// --- Operations -----------------------------------------------------------------------------------------------------

void Scheduler::point(const Op& op) {
  const sanitizers::TsanIgnore ignore;
  Task& self = *running_;
  require_alive(op.object, "used");
  require_alive(op.other, "used");
  self.pending = op;
  const FiberId next = pick();
  if (next == self.id) return;
  next_ = next;
  self.fiber->suspend();
}

std::size_t Scheduler::choose(std::size_t n) {
  const sanitizers::TsanIgnore ignore;
  HW_ASSERT(n > 0 && n < 1000, "explore-choose-range");
  if (n == 1) return 0;
  const std::size_t choice = strategy_.choose(n);
  if (strategy_.mismatch() != nullptr || choice >= n) {
    fail(FindingKind::mismatch, strategy_.mismatch() != nullptr ? strategy_.mismatch() : "no such choice");
  }
  record(running_->id, {.kind = OpKind::choose}, true);
  note_value(static_cast<std::int64_t>(choice));
  running_->history = mix(running_->history, choice);
  state_hash_ += running_->history;
  return choice;
}

bool Scheduler::wait_and_relock(Object& condvar, Object& mutex, Time deadline) {
  point({.kind = OpKind::wait, .object = &mutex, .other = &condvar});
  Task& self = *running_;
  {
    const sanitizers::TsanIgnore ignore;
    mutex.owner = 0;
    self.waiting = true;
  }
  point({.kind = OpKind::relock, .object = &mutex, .other = &condvar, .deadline = deadline});
  const sanitizers::TsanIgnore ignore;
  const bool notified = !self.waiting;
  self.waiting = false;
  mutex.owner = self.id;
  note_value(notified ? 1 : 0);
  return notified;
}

void Scheduler::notify(Object& condvar, bool all) {
  point({.kind = all ? OpKind::notify_all : OpKind::notify_one, .object = &condvar});
  const sanitizers::TsanIgnore ignore;
  std::vector<Task*> waiters;
  for (const auto& task : tasks_) {
    if (task->waiting && task->pending.other == &condvar) waiters.push_back(task.get());
  }
  note_value(static_cast<std::int64_t>(waiters.size()));
  if (waiters.empty()) return;
  if (all) {
    for (Task* waiter : waiters) waiter->waiting = false;
    return;
  }
  const std::size_t chosen = choose(waiters.size());
  waiters[chosen]->waiting = false;
  condvar.write_hash = mix(condvar.write_hash, chosen);
}

void Scheduler::note_value(std::int64_t value, const char* text) noexcept {
  const sanitizers::TsanIgnore ignore;
  Step& step = steps_.back();
  step.value = value;
  step.text = text;
  step.has_value = true;
}

// --- Choosing -------------------------------------------------------------------------------------------------------

bool Scheduler::enabled(const Task& task) const {
  if (task.finished) return false;
  const Op& op = task.pending;
  switch (op.kind) {
    case OpKind::lock: return op.object->run != run_ || op.object->owner == 0;
    case OpKind::relock: return (!task.waiting || op.deadline <= now_) && op.object->owner == 0;
    case OpKind::join: return tasks_[op.target - 1]->finished;
    case OpKind::sleep: return op.deadline <= now_;
    default: return true;
  }
}

Time Scheduler::next_deadline() const {
  Time next = time_never;
  for (const auto& task : tasks_) {
    if (!task->finished && task->pending.deadline > now_ && (task->waiting || task->pending.kind == OpKind::sleep)) {
      next = std::min(next, task->pending.deadline);
    }
  }
  return next;
}

void Scheduler::collect_enabled() {
  enabled_.clear();
  for (const auto& task : tasks_) {
    if (enabled(*task)) enabled_.push_back(task->id);
  }
  if ((enabled_.empty() || options_.clock == Clock::eager) && next_deadline() != time_never) {
    enabled_.insert(enabled_.begin(), clock_id);
  }
}

FiberId Scheduler::pick() {
  for (;;) {
    collect_enabled();
    if (enabled_.empty()) {
      FindingKind kind = FindingKind::deadlock;
      std::string what = describe_blocked(kind);
      fail(kind, std::move(what));
    }
    if (++step_count_ > options_.steps_max) {
      fail(FindingKind::endless, fmt::format("no end after {} steps", options_.steps_max));
    }
    const bool may_go_on = last_ != clock_id && std::ranges::binary_search(enabled_, last_) &&
                           tasks_[last_ - 1]->pending.kind != OpKind::yield;
    const FiberId chosen = calm_ ? calmly(may_go_on) : strategy_.pick({*this, enabled_, last_, may_go_on});
    if (strategy_.mismatch() != nullptr) fail(FindingKind::mismatch, strategy_.mismatch());
    if (!std::ranges::binary_search(enabled_, chosen)) {
      fail(FindingKind::mismatch, fmt::format("{} cannot run here", task_name(chosen)));
    }
    last_ = chosen;
    record(chosen, pending(chosen), enabled_.size() > 1 && !calm_);
    if (chosen != clock_id) {
      commit(*tasks_[chosen - 1]);
      return chosen;
    }
    advance_clock();
  }
}

// Goes on with who ran last; time moves when nobody else can.
FiberId Scheduler::calmly(bool may_go_on) const {
  if (may_go_on) return last_;
  const auto next = std::ranges::upper_bound(enabled_, last_);
  if (next != enabled_.end()) return *next;
  return enabled_.front() == clock_id && enabled_.size() > 1 ? enabled_[1] : enabled_.front();
}

void Scheduler::advance_clock() {
  now_ = next_deadline();
  internal_ = true;
  world_->advance_to(now_);
  internal_ = false;
  note_value(now_.time_since_epoch().count() / 1000);
  // Whoever reads the clock from now on reads something else: the step happens before everything that follows.
  const auto time = static_cast<std::uint64_t>(now_.time_since_epoch().count());
  for (const auto& task : tasks_) task->history = mix(task->history, time);
  state_hash_ = mix(state_hash_, time);
}

const Op& Scheduler::pending(FiberId fiber) const {
  static constexpr Op advance{.kind = OpKind::advance};
  return fiber == clock_id ? advance : tasks_[fiber - 1]->pending;
}

// Adds the step to the happens-before relation, whose hash identifies the state that the run has reached: two runs
// with the same events in the same partial order are in the same state [Musuvathi, Qadeer 2007].
void Scheduler::commit(Task& task) {
  const Op& op = task.pending;
  for (Object* object : {op.object, op.other}) {
    if (object != nullptr && object->run != run_) adopt(*object);
  }
  if (op.kind == OpKind::destroy) check_destroyed(task, *op.object);
  std::uint64_t event = mix(task.history, static_cast<std::uint64_t>(op.kind) << 8 | task.id);
  for (const Object* object : {op.object, op.other}) {
    if (object == nullptr) continue;
    event = mix(event, object->write_hash);
    if (op.kind != OpKind::load) event = mix(event, object->read_hash);
  }
  if (op.kind == OpKind::join) event = mix(event, tasks_[op.target - 1]->history);
  for (Object* object : {op.object, op.other}) {
    if (object == nullptr) continue;
    if (op.kind == OpKind::load) {
      object->read_hash += event;
    } else {
      object->write_hash = event;
      object->read_hash = 0;
    }
  }
  task.history = event;
  state_hash_ += event;
}

// --- Objects --------------------------------------------------------------------------------------------------------

void Scheduler::adopt(Object& object) noexcept {
  const sanitizers::TsanIgnore ignore;
  object.run = run_;
  object.number = ++numbers_[static_cast<std::size_t>(object.kind)];
  object.quiet = in_set_up_;
  object.owner = 0;
  object.write_hash = 0;
  object.read_hash = 0;
}

void Scheduler::require_alive(const Object* object, const char* use) {
  if (object == nullptr || object->alive == alive_magic) return;
  fail(FindingKind::destroyed, fmt::format("{}: {} after its end", label_text(label_of(object)), use));
}

void Scheduler::check_destroyed(const Task& destroyer, const Object& object) {
  if (object.kind == ObjectKind::mutex && object.owner != 0) {
    fail(FindingKind::destroyed,
         fmt::format("{} ended while {} held it", label_text(label_of(&object)), task_name(object.owner)));
  }
  for (const auto& task : tasks_) {
    if (task->finished || task.get() == &destroyer) continue;
    if (task->pending.object != &object && task->pending.other != &object) continue;
    fail(FindingKind::destroyed,
         fmt::format("{} ended while {} is about to use it", label_text(label_of(&object)), task->name));
  }
}

Scheduler::Label Scheduler::label_of(const Object* object) {
  return object == nullptr ? Label{} : Label{object->kind, object->rank, object->number};
}

void Scheduler::record(FiberId fiber, const Op& op, bool decided) {
  for (Object* object : {op.object, op.other}) {
    if (object != nullptr && object->run != run_) adopt(*object);
  }
  steps_.push_back({fiber, op.kind, decided, false, label_of(op.object), label_of(op.other), 0, nullptr});
}

}  // namespace hawser::rt::explore
