// hawser-fuzz-simulated: random programs on the explored runtime. A finding replays by its seed, and is shrunk. Exit
// status: 0 nothing found, 2 usage, 3 a finding, 4 some depth that no program came to.
#include <chrono>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/probe.hpp"
#include "execute.hpp"
#include "generate.hpp"
#include "report.hpp"
#include "shrink.hpp"
#include "simulation.hpp"

namespace hawser::fuzz {
namespace {

enum ExitStatus : int { clean = 0, usage = 2, found = 3, incomplete = 4 };

struct Arguments {
  std::uint64_t seed = 1;
  std::uint64_t runs = 1000;
  double seconds = 0;
  std::vector<std::string> files;
  std::uint64_t schedules = 20;
  bool print = false;
  bool no_shrink = false;
};

// Fewer programs than this need not come everywhere.
constexpr std::uint64_t programs_that_reach_all = 3000;
// Rare paths of ucm that programs must come to [spec 4 #39, #40, #43].
constexpr auto probes = std::to_array<std::string_view>(
    {"ucm-destroy-waits", "ucm-id-without-device", "ucm-close-waits", "ucm-migrate-too-late", "ucm-migrate-to-closed",
     "ucm-unfetched-destroyed", "cma-request-for-claimed"});

class Run {
 public:
  explicit Run(const Arguments& arguments) : arguments_(arguments) {}

  ExitStatus random_programs() {
    const auto start = std::chrono::steady_clock::now();
    const auto over = [&](std::uint64_t done) {
      if (arguments_.seconds <= 0) return done >= arguments_.runs;
      return std::chrono::steady_clock::now() - start > std::chrono::duration<double>(arguments_.seconds);
    };
    for (; !over(programs_); ++programs_) {
      const std::uint64_t seed = arguments_.seed + programs_;
      if (!run(generate(seed), seed, fmt::format("--seed {} --runs 1", seed))) break;
    }
    return report();
  }

  ExitStatus files() {
    const auto programs = read_programs(arguments_.files);
    if (!programs) {
      fmt::print(stderr, "hawser-fuzz-simulated: {}\n", programs.error());
      return usage;
    }
    for (const NamedProgram& named : *programs) {
      ++programs_;
      for (std::uint64_t seed = arguments_.seed; seed < arguments_.seed + arguments_.schedules; ++seed) {
        if (!run(named.program, seed, fmt::format("--seed {} --schedules 1 {}", seed, named.name))) break;
      }
    }
    return report();
  }

 private:
  // False: a finding, which has been printed.
  bool run(const Program& program, std::uint64_t seed, const std::string& replay) {
    ++schedules_;
    set_under_way(fmt::format("replay: hawser-fuzz-simulated {}\n{}", replay, text_of(program)));
    const auto finding = run_simulated(program, seed, tally_);
    if (!finding) return true;
    ++findings_;
    fmt::print("FOUND {}: {}\n{}replay: hawser-fuzz-simulated {}\n", rt::explore::to_string(finding->kind),
               finding->what, finding->steps, replay);
    fmt::print("the program:\n{}", text_of(program));
    if (!arguments_.no_shrink) print_shrunk(program, seed);
    return false;
  }

  // Any finding counts: a smaller program has other schedules, so it may need another seed.
  void print_shrunk(const Program& program, std::uint64_t seed) {
    std::fflush(stdout);
    const auto fails = [&](const Program& candidate) {
      return fails_in_child([&] {
        Tally ignored;
        for (std::uint64_t i = 0; i < arguments_.schedules; ++i) {
          if (run_simulated(candidate, seed + i * 8, ignored)) return true;
        }
        return false;
      });
    };
    fmt::print("the program, shrunk (any of {} schedules, --seed {}, {} …):\n{}", arguments_.schedules, seed, seed + 8,
               text_of(shrink(program, fails)));
  }

  ExitStatus report() {
    print(tally_);
    ExitStatus status = findings_ == 0 ? clean : found;
    if (status == clean && programs_ >= programs_that_reach_all) {
      for (const std::string_view name : never_reached(tally_, depths())) {
        fmt::print("no program came to: {}\n", name);
        status = incomplete;
      }
      for (const std::string_view probe : probes) {
        if (probe_hits().contains(probe)) continue;
        fmt::print("the probe {} was never reached\n", probe);
        status = incomplete;
      }
    }
    fmt::print("total: {} programs, {} schedules from seed {}, {} findings\n", programs_, schedules_, arguments_.seed,
               findings_);
    return status;
  }

  const Arguments& arguments_;
  Tally tally_;
  std::uint64_t programs_ = 0, schedules_ = 0, findings_ = 0;
};

}  // namespace
}  // namespace hawser::fuzz

int main(int argc, char** argv) {
  using namespace hawser::fuzz;
  Arguments arguments;
  CLI::App app("Runs random programs of the connection manager's commands on the explored runtime.",
               "hawser-fuzz-simulated");
  app.add_option("FILE", arguments.files, "programs to run instead, or folders of them");
  app.add_option("--seed", arguments.seed, "of the first program, or schedule; the others count up")
      ->capture_default_str();
  app.add_option("--runs", arguments.runs, "so many programs")->capture_default_str();
  app.add_option("--time", arguments.seconds, "programs for so many seconds instead")->type_name("SECONDS");
  app.add_option("--schedules", arguments.schedules, "of each FILE, and of each attempt to shrink")
      ->capture_default_str();
  app.add_flag("--print", arguments.print, "only print the program of the seed");
  app.add_flag("--no-shrink", arguments.no_shrink, "print a failing program as it is");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : usage;
  }
  if (arguments.print) {
    fmt::print("{}", text_of(generate(arguments.seed)));
    return clean;
  }
  explain_crashes();
  Run run(arguments);
  return arguments.files.empty() ? run.random_programs() : run.files();
}
