#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include <fmt/format.h>

#include "runtime/explore.hpp"
#include "runtime/sanitizers_explore.hpp"
#include "runtime/scheduler_explore.hpp"

namespace hawser::rt::explore {

ThreadId Execution::spawn(std::string name, std::function<void()> body) {
  return ThreadId(scheduler_.spawn(std::move(name), std::move(body)));
}
void Execution::join(ThreadId fiber) { scheduler_.join(fiber.value()); }
void Execution::join_all() { scheduler_.join_all(); }
World& Execution::world() { return scheduler_.world(); }
void Execution::sleep_until(Time time) { scheduler_.point({.kind = OpKind::sleep, .deadline = time}); }
bool Execution::eager_clock() const { return scheduler_.options().clock == Clock::eager; }
void Execution::yield() { scheduler_.point({.kind = OpKind::yield}); }
std::size_t Execution::choose(std::size_t n) { return scheduler_.choose(n); }
void Execution::set_calm(bool calm) { scheduler_.set_calm(calm); }
void Execution::check(bool condition, std::string_view what) {
  if (!condition) scheduler_.fail(FindingKind::check, std::string(what));
}
void Execution::name_object(Object& object, std::string text) { scheduler_.name_object(object, std::move(text)); }

namespace {

// What reproduces a run: the strategy with all that earlier runs had taught it.
[[nodiscard]] std::string reproducing_strategy(Options options, std::uint64_t steps_longest) {
  if (options.strategy == StrategyKind::pct && options.pct_length == 0) {
    options.pct_length = static_cast<std::uint32_t>(std::max<std::uint64_t>(steps_longest, 20));
  }
  return strategy_text(options);
}

template <class T>
[[nodiscard]] bool parse_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// The text up to `separator`, taken off `text`.
[[nodiscard]] std::string_view take_until(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return part;
}

}  // namespace

Report run(const Scenario& scenario, const Options& options) {
  static thread_local std::uint32_t run_number = 0;  // objects remember the run that they were numbered in
  const bool counts_seeds = options.strategy == StrategyKind::random || options.strategy == StrategyKind::pct;
  const auto start = std::chrono::steady_clock::now();
  Report report;
  const auto strategy = make_strategy(options, report.steps_longest);
  while (report.runs < options.runs_max) {
    const std::uint64_t seed = options.seed + (counts_seeds ? report.runs : 0);
    ++report.runs;
    const std::uint64_t longest_before = report.steps_longest;
    {
      Scheduler scheduler(*strategy, options, seed, ++run_number);
      Execution execution(scheduler);
      scheduler.run([&] { scenario.body(execution); });
      report.steps += scheduler.steps();
      report.steps_longest = std::max(report.steps_longest, scheduler.steps());
      report.finding = std::move(scheduler.finding());
    }
    if (report.finding) {
      report.finding->strategy = reproducing_strategy(options, longest_before);
      return report;
    }
    if (strategy->pruned()) ++report.pruned;
    if (!strategy->next()) {
      report.exhausted = options.strategy == StrategyKind::exhaustive;
      return report;
    }
    if (options.time_max != Duration::max() && std::chrono::steady_clock::now() - start > options.time_max) break;
  }
  return report;
}

Status parse_strategy(std::string_view text, Options& options) {
  std::string_view rest = text;
  std::string_view main = take_until(rest, ',');
  const std::string_view name = take_until(main, ':');
  const std::string_view first = take_until(main, ':');
  bool good = true;
  if (name == "random") {
    options.strategy = StrategyKind::random;
    good = first.empty();
  } else if (name == "pct") {
    options.strategy = StrategyKind::pct;
    good = (first.empty() || parse_number(first, options.pct_depth)) && options.pct_depth > 0;
    if (!main.empty()) good = good && parse_number(take_until(main, ':'), options.pct_length);
  } else if (name == "dfs") {
    options.strategy = StrategyKind::exhaustive;
    options.preemptions.reset();
    if (!first.empty()) good = parse_number(first, options.preemptions.emplace());
  } else {
    good = false;
  }
  while (good && !rest.empty()) {
    const std::string_view flag = take_until(rest, ',');
    if (flag == "eager") {
      options.clock = Clock::eager;
    } else if (flag == "full" && name == "dfs") {
      options.reduce = false;
    } else {
      good = false;
    }
  }
  if (!good || !main.empty()) return fail(EINVAL);
  return {};
}

std::string strategy_text(const Options& options) {
  std::string text;
  switch (options.strategy) {
    case StrategyKind::random: text = "random"; break;
    case StrategyKind::pct:
      text = fmt::format("pct:{}", options.pct_depth);
      if (options.pct_length != 0) text += fmt::format(":{}", options.pct_length);
      break;
    case StrategyKind::exhaustive:
      text = options.preemptions ? fmt::format("dfs:{}", *options.preemptions) : "dfs";
      if (!options.reduce) text += ",full";
      break;
    case StrategyKind::replay: text = "replay"; break;
  }
  if (options.clock == Clock::eager) text += ",eager";
  return text;
}

void print_run_under_way() {
  const Scheduler* scheduler = Scheduler::current();
  if (scheduler == nullptr) return;
  const std::string text = fmt::format("the explored run was at:\n{}schedule: {}\nseed: {}\n", scheduler->steps_text(),
                                       scheduler->schedule_text(), scheduler->seed());
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace hawser::rt::explore
