// hawser-explore: runs the scenarios. Exit status: 0 nothing found, 2 usage, 3 a finding, 4 not all explored (a probe
// that was not reached, an exhaustive strategy that did not come to its end).
#include <fnmatch.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/probe.hpp"
#include "runtime/explore.hpp"
#include "runtime/sanitizers_explore.hpp"
#include "scenarios.hpp"

namespace hawser::scenarios {
namespace {

using rt::explore::Options;
using rt::explore::Report;
using rt::explore::Scenario;

enum ExitStatus : int { clean = 0, usage = 2, found = 3, incomplete = 4 };

struct Arguments {
  std::vector<std::string> scenarios;
  std::vector<std::string> strategies;
  std::uint64_t seed = 1;
  std::uint64_t runs = 0;
  std::uint64_t percent = 100;
  std::size_t every = 1;
  double seconds = 0;
  double within = 0;
  std::string replay;
  bool list = false;
  bool stop = false;
};

const char* scenario_under_way = "none";

// What a group of small scenarios has cost; printed once for all of them.
struct Sum {
  std::uint64_t scenarios = 0, runs = 0, steps = 0, findings = 0;
  double seconds = 0;
};
Sum total;

void print_where() {
  rt::explore::print_run_under_way();
  fmt::print(stderr, "scenario: {}\nschedules before: {}\n", scenario_under_way, total.runs);
}

void on_crash(int signal_number) {
  print_where();
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

// A crash loses the process; the schedule that led to it must not be lost.
void explain_crashes() {
#if defined(HW_ASAN) || defined(HW_TSAN)
  __sanitizer_set_death_callback(print_where);
#else
  for (const int signal_number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal_number, on_crash);
#endif
  std::signal(SIGABRT, on_crash);
}

void print_finding(const Scenario& scenario, const rt::explore::Finding& finding) {
  fmt::print("{}: FOUND {}: {}\n{}", scenario.name, to_string(finding.kind), finding.what, finding.steps);
  if (finding.strategy != "replay") {
    fmt::print("reproduce: hawser-explore --scenario {} --strategy {} --seed {}\n", scenario.name, finding.strategy,
               finding.seed);
  }
  fmt::print("replay:    hawser-explore --scenario {} --seed {} --replay '{}'\n", scenario.name, finding.seed,
             finding.schedule);
}

std::set<std::string_view> probes_reached;

// `partly`: within bounds that nobody expects an exhaustive strategy to come to its end in.
[[nodiscard]] ExitStatus explore_once(const Scenario& scenario, const Options& options, bool partly = false,
                                      Sum* sum = nullptr) {
  scenario_under_way = scenario.name.c_str();
  const auto start = std::chrono::steady_clock::now();
  const Report report = rt::explore::run(scenario, options);
  scenario_under_way = "none";
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const bool exhaustive = options.strategy == rt::explore::StrategyKind::exhaustive;
  for (Sum* const to : {sum, &total}) {
    if (to == nullptr) continue;
    to->runs += report.runs;
    to->steps += report.steps;
    to->seconds += took.count();
    if (report.finding) ++to->findings;
  }
  if (sum == nullptr || report.finding) {
    fmt::print("{}: {} from seed {}: {} runs ({} pruned), {} steps, longest {}, {:.2f} s{}\n", scenario.name,
               strategy_text(options), options.seed, report.runs, report.pruned, report.steps, report.steps_longest,
               took.count(), report.exhausted ? ", all explored" : "");
  }
  if (report.finding) {
    print_finding(scenario, *report.finding);
    return found;
  }
  if (exhaustive && !report.exhausted && options.time_max == rt::Duration::max() && !partly) {
    fmt::print("{}: not all was explored within {} runs\n", scenario.name, options.runs_max);
    return incomplete;
  }
  return clean;
}

// The fibers of a run that failed are never freed.
constexpr std::uint64_t findings_max = 200;
constexpr std::uint64_t unlimited = ~std::uint64_t{0};

[[nodiscard]] std::uint64_t runs_of(const Plan& plan, const Options& options, const Arguments& arguments) {
  if (arguments.runs != 0) return arguments.runs;
  if (arguments.seconds > 0) return unlimited;
  std::uint64_t runs = plan.runs_max;
  if (runs == 0 && options.strategy == rt::explore::StrategyKind::exhaustive && arguments.percent == 100) {
    return unlimited;
  }
  if (runs == 0) runs = 1000;
  return std::max<std::uint64_t>(1, runs * arguments.percent / 100);
}

[[nodiscard]] ExitStatus explore(const Planned& planned, const Arguments& arguments, Sum* sum) {
  std::vector<Plan> plans = planned.plans;
  if (!arguments.strategies.empty()) {
    plans.clear();
    for (const std::string& strategy : arguments.strategies) plans.push_back({.strategy = strategy});
  }
  reset_probes();
  const bool partly = arguments.percent < 100;
  for (const Plan& plan : plans) {
    Options options;
    if (!parse_strategy(plan.strategy, options)) {
      fmt::print(stderr,
                 "hawser-explore: \"{}\" is no strategy: random, pct[:DEPTH[:LENGTH]], dfs[:PREEMPTIONS][,full], "
                 "each with [,eager]\n",
                 plan.strategy);
      return usage;
    }
    options.seed = arguments.seed;
    options.runs_max = runs_of(plan, options, arguments);
    if (arguments.seconds > 0) {
      options.time_max = std::chrono::duration_cast<rt::Duration>(std::chrono::duration<double>(arguments.seconds));
    }
    if (const ExitStatus status = explore_once(planned.scenario, options, partly, sum); status != clean) return status;
  }
  for (const auto& [probe, hits] : probe_hits()) probes_reached.insert(probe);
  if (!arguments.strategies.empty() || partly) return clean;  // a part of the plan need not reach everything
  ExitStatus status = clean;
  for (const std::string& probe : planned.scenario.probes) {
    if (probe_hits().contains(probe)) continue;
    fmt::print("{}: the probe {} was never reached\n", planned.scenario.name, probe);
    status = incomplete;
  }
  return status;
}

// All scenarios together must reach every probe that there is.
[[nodiscard]] ExitStatus check_probes() {
  ExitStatus status = clean;
  for (const std::string_view probe : known_probes()) {
    if (probes_reached.contains(probe)) continue;
    fmt::print("the probe {} was reached by no scenario\n", probe);
    status = incomplete;
  }
  return status;
}

[[nodiscard]] ExitStatus replay(const Planned& planned, const Arguments& arguments) {
  Options options;
  options.strategy = rt::explore::StrategyKind::replay;
  options.seed = arguments.seed;
  options.schedule = arguments.replay;
  if (options.schedule.starts_with('@')) {
    std::ifstream file(options.schedule.substr(1));
    options.schedule.assign(std::istreambuf_iterator<char>(file), {});
    while (options.schedule.ends_with('\n')) options.schedule.pop_back();
  }
  const ExitStatus status = explore_once(planned.scenario, options);
  if (status == clean) fmt::print("{}: the schedule ends with nothing found\n", planned.scenario.name);
  return status;
}

void list(const std::vector<Planned>& scenarios) {
  for (const Planned& planned : scenarios) {
    std::string plans;
    for (const Plan& plan : planned.plans) plans += " " + plan.strategy;
    fmt::print("{:<32} {} [{} ]\n", planned.scenario.name, planned.scenario.about, plans);
  }
}

// The scenarios that the command line asks for; empty, and said why, if it asks for one that there is not.
[[nodiscard]] std::vector<Planned> wanted(const Arguments& arguments) {
  std::vector<Planned> scenarios = all();
  if (arguments.scenarios.empty()) return scenarios;
  std::vector<Planned> chosen;
  for (const std::string& pattern : arguments.scenarios) {
    const std::size_t before = chosen.size();
    for (const Planned& planned : scenarios) {
      if (::fnmatch(pattern.c_str(), planned.scenario.name.c_str(), 0) == 0) chosen.push_back(planned);
    }
    if (chosen.size() > before) continue;
    fmt::print(stderr, "hawser-explore: there is no scenario {}\n", pattern);
    return {};
  }
  return chosen;
}

[[nodiscard]] std::ptrdiff_t random_offset(std::size_t size, std::uint64_t seed) {
  return static_cast<std::ptrdiff_t>(seed * 0x9E3779B97F4A7C15 % size);
}

[[nodiscard]] ExitStatus run_all(const Arguments& arguments) {
  std::vector<Planned> scenarios = wanted(arguments);
  if (scenarios.empty()) return usage;
  if (arguments.list) {
    list(scenarios);
    return clean;
  }
  if (!arguments.replay.empty()) {
    if (scenarios.size() == 1) return replay(scenarios.front(), arguments);
    fmt::print(stderr, "hawser-explore: --replay needs one --scenario\n");
    return usage;
  }
  // Not always the same ones, when there is no time for all.
  if (arguments.within > 0)
    std::ranges::rotate(scenarios, scenarios.begin() + random_offset(scenarios.size(), arguments.seed));
  const auto start = std::chrono::steady_clock::now();
  bool all = true;
  std::size_t generated = 0;
  ExitStatus worst = clean;
  std::map<std::string, Sum> sums;
  for (const Planned& planned : scenarios) {
    all = arguments.within <= 0 ||
          std::chrono::steady_clock::now() - start < std::chrono::duration<double>(arguments.within);
    if (!all) break;
    if (!planned.group.empty() && (++generated + arguments.seed) % arguments.every != 0) continue;
    Sum* const sum = planned.group.empty() ? nullptr : &sums[planned.group];
    if (sum != nullptr) ++sum->scenarios;
    ++total.scenarios;
    const ExitStatus status = explore(planned, arguments, sum);
    if (status == usage) return usage;
    if (worst == clean || status == found) worst = status == clean ? worst : status;
    if (status == found && arguments.stop) break;
    if (total.findings < findings_max) continue;
    fmt::print("no more than {} findings at once: the rest was not explored\n", findings_max);
    break;
  }
  for (const auto& [group, sum] : sums) {
    fmt::print("{}: {} scenarios, {} runs, {} steps, {:.2f} s\n", group, sum.scenarios, sum.runs, sum.steps,
               sum.seconds);
  }
  fmt::print("total: {} scenarios, {} schedules, {} findings\n", total.scenarios, total.runs, total.findings);
  const bool whole = all && arguments.every == 1 && arguments.scenarios.empty() && arguments.strategies.empty() &&
                     arguments.percent == 100;
  if (whole && worst == clean) worst = check_probes();
  return worst;
}

}  // namespace
}  // namespace hawser::scenarios

int main(int argc, char** argv) {
  hawser::scenarios::Arguments arguments;
  CLI::App app("Explores the interleavings of Hawser's concurrent code.", "hawser-explore");
  app.add_option("--scenario", arguments.scenarios, "this one only, or a pattern as of the shell (may be repeated)")
      ->type_name("NAME");
  app.add_flag("--stop", arguments.stop, "at the first finding");
  app.add_option(
         "--strategy", arguments.strategies,
         "random, pct[:DEPTH[:LENGTH]] or dfs[:PREEMPTIONS][,full], each with [,eager]; default: the scenario's own")
      ->type_name("STRATEGY");
  app.add_option("--seed", arguments.seed, "of the first run; also of the simulated world")->capture_default_str();
  app.add_option("--runs", arguments.runs, "at most so many runs of each strategy");
  app.add_option("--percent", arguments.percent,
                 "so many percent of the runs of each strategy, and of 1000 runs of an exhaustive one: slow builds")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--every", arguments.every,
                 "of the scenarios that are generated only each so-manyth; which ones, the seed says")
      ->check(CLI::PositiveNumber);
  app.add_option("--time", arguments.seconds, "at most so many seconds for each strategy")->type_name("SECONDS");
  app.add_option("--within", arguments.within,
                 "no scenario begins later than so many seconds; where to begin, the seed says")
      ->type_name("SECONDS");
  app.add_option("--replay", arguments.replay, "a schedule as a finding prints it, or @FILE")->type_name("SCHEDULE");
  app.add_flag("--list", arguments.list, "the scenarios with their strategies");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : hawser::scenarios::usage;
  }
  hawser::scenarios::explain_crashes();
  return hawser::scenarios::run_all(arguments);
}
