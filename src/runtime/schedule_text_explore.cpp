// How a run is shown to people, and written so that it can be replayed.
#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/tsan_ignore.hpp"
#include "runtime/scheduler_explore.hpp"

namespace hawser::rt::explore {
namespace {

constexpr std::size_t steps_shown_max = 400;

[[nodiscard]] std::string_view verb(OpKind kind) {
  switch (kind) {
    case OpKind::start: return "start";
    case OpKind::lock: return "lock";
    case OpKind::try_lock: return "try_lock";
    case OpKind::unlock: return "unlock";
    case OpKind::wait: return "wait";
    case OpKind::relock: return "wake up";
    case OpKind::notify_one: return "notify_one";
    case OpKind::notify_all: return "notify_all";
    case OpKind::load: return "load";
    case OpKind::store: return "store";
    case OpKind::update: return "update";
    case OpKind::destroy: return "destroy";
    case OpKind::join: return "join";
    case OpKind::sleep: return "sleep";
    case OpKind::yield: return "yield";
    case OpKind::choose: return "choose";
    case OpKind::advance: return "time moves to";
  }
  HW_BUG("explore-unknown-operation");
}

[[nodiscard]] std::string_view rank_name(LockRank rank) {
  switch (rank) {
    case LockRank::process: return "process";
    case LockRank::user_id: return "user_id";
    case LockRank::handler: return "handler";
    case LockRank::cma_global: return "cma_global";
    case LockRank::port_space: return "port_space";
    case LockRank::options: return "options";
    case LockRank::ucm_channel: return "ucm_channel";
    case LockRank::ucm_table: return "ucm_table";
    case LockRank::cm_connection: return "cm_connection";
    case LockRank::cm_tables: return "cm_tables";
    case LockRank::cm_window: return "cm_window";
    case LockRank::addr: return "addr";
    case LockRank::dispatcher: return "dispatcher";
    case LockRank::device_table: return "device_table";
    case LockRank::verbs_object: return "verbs_object";
    case LockRank::qp: return "qp";
    case LockRank::srq: return "srq";
    case LockRank::cq: return "cq";
    case LockRank::comp_channel: return "comp_channel";
    case LockRank::memory: return "memory";
    case LockRank::agent_client: return "agent_client";
    case LockRank::ledger: return "ledger";
    case LockRank::engine: return "engine";
    case LockRank::fabric: return "fabric";
    case LockRank::state: return "state";
    default:  // a rank that is newer than this table
      return "mutex";
  }
}

[[nodiscard]] std::uint64_t name_key(ObjectKind kind, std::uint32_t number) {
  return static_cast<std::uint64_t>(kind) << 32 | number;
}

}  // namespace

std::string_view to_string(FindingKind kind) {
  switch (kind) {
    case FindingKind::assertion: return "assertion";
    case FindingKind::check: return "check";
    case FindingKind::exception: return "exception";
    case FindingKind::deadlock: return "deadlock";
    case FindingKind::lost_wakeup: return "lost wake-up";
    case FindingKind::endless: return "no end";
    case FindingKind::destroyed: return "use of a destroyed object";
    case FindingKind::mismatch: return "schedule does not fit";
  }
  HW_BUG("explore-unknown-finding");
}

void Scheduler::name_object(Object& object, std::string text) {
  const TsanIgnore ignore;
  if (object.run != run_) adopt(object);
  names_[name_key(object.kind, object.number)] = std::move(text);
}

std::string Scheduler::task_name(FiberId fiber) const {
  if (fiber == clock_id) return "(clock)";
  return fiber <= tasks_.size() ? tasks_[fiber - 1]->name : fmt::format("fiber {}", fiber);
}

std::string Scheduler::label_text(const Label& label) const {
  if (const auto name = names_.find(name_key(label.kind, label.number)); name != names_.end()) return name->second;
  switch (label.kind) {
    case ObjectKind::mutex: return fmt::format("{}#{}", rank_name(label.rank), label.number);
    case ObjectKind::condvar: return fmt::format("condvar#{}", label.number);
    case ObjectKind::atomic: return fmt::format("atomic#{}", label.number);
  }
  HW_BUG("explore-unknown-object");
}

std::string Scheduler::op_text(const Step& step) const {
  std::string text(verb(step.kind));
  if (step.other.number != 0) {
    text += fmt::format(" {} ({})", label_text(step.other), label_text(step.object));
  } else if (step.object.number != 0) {
    text += " " + label_text(step.object);
  }
  if (!step.has_value) return text;
  if (step.text != nullptr) return text + " = " + step.text;
  switch (step.kind) {
    case OpKind::relock: return text + (step.value != 0 ? ": notified" : ": timed out");
    case OpKind::notify_one:
    case OpKind::notify_all: return text + fmt::format(": {} waiting", step.value);
    case OpKind::advance: return text + fmt::format(" {} us", step.value);
    case OpKind::choose: return text + fmt::format(" {}", step.value);
    default: return text + fmt::format(" = {}", step.value);
  }
}

std::string Scheduler::steps_text() const {
  std::size_t width = 7;
  for (const auto& task : tasks_) width = std::max(width, task->name.size());
  const std::size_t first = steps_.size() > steps_shown_max ? steps_.size() - steps_shown_max : 0;
  std::string text;
  if (first > 0) text += fmt::format("   (the first {} steps are left out)\n", first);
  FiberId previous = clock_id;
  for (std::size_t i = first; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    const bool switched = i > first && step.fiber != previous;
    previous = step.fiber;
    fmt::format_to(std::back_inserter(text), "{:>6} {} {:<{}}  {}\n", i + 1, switched ? '>' : ' ',
                   task_name(step.fiber), width, op_text(step));
  }
  return text + standing_text();
}

// Where each fiber that has not ended stands, and with which locks.
std::string Scheduler::standing_text() const {
  std::string text;
  for (const auto& task : tasks_) {
    if (task->finished) continue;
    const Op& op = task->pending;
    text +=
        fmt::format("{} at: {}", task->name,
                    op_text({task->id, op.kind, false, false, label_of(op.object), label_of(op.other), 0, nullptr}));
    for (const HeldLock& lock : task->held)
      text += fmt::format("{}{}", &lock == task->held.begin() ? "; holds " : ", ", rank_name(lock.rank));
    text += '\n';
  }
  return text;
}

// "2*5,3,=1": fiber 2 five times, fiber 3, the second alternative of a choose(). Only where there was a choice.
std::string Scheduler::schedule_text() const {
  std::string text;
  const auto token = [](const Step& step) {
    return step.kind == OpKind::choose ? fmt::format("={}", step.value) : fmt::format("{}", step.fiber);
  };
  std::string pending_token;
  std::size_t count = 0;
  const auto flush = [&] {
    if (count == 0) return;
    if (!text.empty()) text += ',';
    text += count == 1 ? pending_token : fmt::format("{}*{}", pending_token, count);
  };
  for (const Step& step : steps_) {
    if (!step.decided) continue;
    std::string next = token(step);
    if (next != pending_token) {
      flush();
      pending_token = std::move(next);
      count = 0;
    }
    ++count;
  }
  flush();
  return text;
}

// Why nothing can run. A fiber that waits for a mutex whose owner cannot run either is a deadlock; else somebody waits
// on a condition variable that nobody will notify.
std::string Scheduler::describe_blocked(FindingKind& kind) const {
  std::string text;
  bool waits_for_notify = false;
  bool waits_for_owner = false;
  for (const auto& task : tasks_) {
    if (task->finished) continue;
    const Op& op = task->pending;
    if (!text.empty()) text += "; ";
    if (op.kind == OpKind::join) {
      text += fmt::format("{} joins {}", task->name, task_name(op.target));
    } else if (op.kind == OpKind::relock && task->waiting) {
      waits_for_notify = true;
      text += fmt::format("{} waits on {}", task->name, label_text(label_of(op.other)));
    } else if (op.kind == OpKind::sleep) {
      text += fmt::format("{} sleeps for ever", task->name);
    } else {
      waits_for_owner = true;
      text += fmt::format("{} waits for {} held by {}", task->name, label_text(label_of(op.object)),
                          task_name(op.object->owner));
    }
  }
  kind = waits_for_notify && !waits_for_owner ? FindingKind::lost_wakeup : FindingKind::deadlock;
  return text;
}

}  // namespace hawser::rt::explore
