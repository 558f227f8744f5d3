#include "batches.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "agent/netns_test_support.hpp"
#include "generate.hpp"
#include "report.hpp"

namespace hawser::fuzz {
namespace {

enum ExitStatus : int { clean = 0, usage = 2, found = 3, incomplete = 4, skipped = 77 };
constexpr unsigned hang_after_seconds = 240;

struct Arguments {
  std::uint64_t seed = 1;
  std::uint64_t runs = 100;
  double seconds = 0;
  std::uint64_t parallel = 6;
  std::vector<std::string> files;
  bool print = false;
};

class Run {
 public:
  Run(const Arguments& arguments, const BatchFuzzer& fuzzer, std::vector<NamedProgram> named, const RunBatch& run)
      : arguments_(arguments), fuzzer_(fuzzer), named_(std::move(named)), run_(run) {}

  ExitStatus all() {
    while (!over()) {
      std::vector<Program> batch;
      while (batch.size() < arguments_.parallel && (named_.empty() || programs_ < named_.size())) {
        batch.push_back(named_.empty() ? generate(arguments_.seed + programs_, fuzzer_.form)
                                       : named_[programs_].program);
        ++programs_;
      }
      if (!run(batch)) break;
    }
    return report();
  }

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] bool over() const {
    if (!named_.empty()) return programs_ >= named_.size();
    if (arguments_.seconds <= 0) return programs_ >= arguments_.runs;
    return Clock::now() - start_ > std::chrono::duration<double>(arguments_.seconds);
  }
  // False: a finding, which has been printed.
  bool run(const std::vector<Program>& batch) {
    std::string text = fmt::format("of a batch that ends with seed {}:\n", arguments_.seed + programs_ - 1);
    for (const Program& program : batch) text += text_of(program) + "\n";
    set_under_way(text);
    alarm(hang_after_seconds);
    const std::string wrong = run_(batch, tally_);
    alarm(0);
    if (wrong.empty()) return true;
    ++findings_;
    fmt::print("FOUND {}\n{}", wrong, text);
    return false;
  }
  ExitStatus report() {
    print(tally_, fuzzer_.form);
    ExitStatus status = findings_ == 0 ? clean : found;
    if (status == clean && programs_ >= fuzzer_.enough) {
      for (const std::string_view name : never_reached(tally_, fuzzer_.depths, fuzzer_.impossible)) {
        fmt::print("no program came to: {}\n", name);
        status = incomplete;
      }
    }
    fmt::print("total: {} programs from seed {}, {} findings\n", programs_, arguments_.seed, findings_);
    return status;
  }

  const Arguments& arguments_;
  const BatchFuzzer& fuzzer_;
  const std::vector<NamedProgram> named_;
  const RunBatch& run_;
  const Clock::time_point start_ = Clock::now();
  Tally tally_;
  std::uint64_t programs_ = 0, findings_ = 0;
};

}  // namespace

int batch_main(int argc, char** argv, const BatchFuzzer& fuzzer, const std::function<bool()>& prepare,
               const RunBatch& run) {
  Arguments arguments;
  CLI::App app(fuzzer.about, fuzzer.name);
  app.add_option("FILE", arguments.files, "programs to run instead, once each, or folders of them");
  app.add_option("--seed", arguments.seed, "of the first program; the others count up")->capture_default_str();
  app.add_option("--runs", arguments.runs, "so many programs")->capture_default_str();
  app.add_option("--time", arguments.seconds, "programs for so many seconds instead")->type_name("SECONDS");
  app.add_option("--parallel", arguments.parallel, "programs at once")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_flag("--print", arguments.print, "only print the program of the seed");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : usage;
  }
  if (arguments.print) {
    fmt::print("{}", text_of(generate(arguments.seed, fuzzer.form)));
    return clean;
  }
  auto named = read_programs(arguments.files);
  if (!named) {
    fmt::print(stderr, "{}: {}\n", fuzzer.name, named.error());
    return usage;
  }
  setenv("HAWSER_CHECK", "1", 1);
  if (const std::string skip = agent::test::enter_own_netns(); !skip.empty()) {
    fmt::print("{}\n", skip);
    return skipped;
  }
  explain_crashes();
  if (!prepare()) return usage;
  return Run(arguments, fuzzer, std::move(*named), run).all();
}

}  // namespace hawser::fuzz
