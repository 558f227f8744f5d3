// hawser-fuzz-threads: random programs with real threads, on a Stack of its own over the sockets of a network namespace
// of its own. What the sanitizers see here no schedule of the explorer shows; a finding need not come again. Several
// programs run at once, each on an address of its own. Exit status: as hawser-fuzz-simulated; 77: no namespace to be
// had.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "agent/netns_test_support.hpp"
#include "generate.hpp"
#include "report.hpp"
#include "stack/stack.hpp"

namespace hawser::fuzz {
namespace {

using namespace std::chrono_literals;

enum ExitStatus : int { clean = 0, usage = 2, found = 3, incomplete = 4, skipped = 77 };

struct Arguments {
  std::uint64_t seed = 1;
  std::uint64_t runs = 100;
  double seconds = 0;
  std::uint64_t parallel = 6;
  std::vector<std::string> files;
};

constexpr std::uint64_t programs_that_reach_all = 3000;
// No subnet administrator, one device, whose last address must not go: what needs these is the simulation's.
constexpr auto impossible =
    std::to_array<std::string_view>({"services found", "services not found", "route error", "address change",
                                     "timewait exit", "connect error", "address error"});
// In real time nobody waits long: what does not come soon is not worth the wait.
constexpr rt::Duration patience_max = 50ms, pause_max = 5ms;
constexpr unsigned hang_after_seconds = 240;
constexpr std::uint16_t service_port = 7471;  // and the next; each program of a batch has its own
constexpr std::uint64_t batches_per_stack = 8;

// A Stack and what all programs of a batch do to it.
class Ground {
 public:
  explicit Ground(std::unique_ptr<stack::Stack> stack)
      : stack_(std::move(stack)), ucm_(stack_->cma(), stack_->dispatcher()) {
    stack_->engine().ensure_service();
    stack_->cma().contract().watch([this](const cma::ContractReport& report) {
      const std::lock_guard lock(mutex_);
      if (wrong_.empty()) wrong_ = report.text();
    });
  }
  [[nodiscard]] static Result<std::unique_ptr<Ground>> make() {
    auto host = stack::lone_host({});
    if (!host) return fail(host.error());
    auto stack = stack::Stack::create(std::move(*host));
    if (!stack) return fail(stack.error());
    return std::make_unique<Ground>(std::move(*stack));
  }

  [[nodiscard]] Machine machine(std::uint8_t number) {
    return {.ucm = ucm_,
            .world = stack_->world(),
            .address = [number](Place place, std::uint16_t port) { return resolve(place, port, number); },
            .happen = [this, number](Happening happening) { happen(happening, number); },
            .pause = [this](rt::Duration time) { pause(std::min(time, pause_max)); },
            .patience_max = patience_max};
  }
  void make_lossy() {
    for (const char* kind : {"REQ", "REP", "RTU", "REJ", "DREQ", "DREP", "SIDR_REQ", "SIDR_REP"}) {
      set_fault(fmt::format("drop={}:chance=10%", kind));
      set_fault(fmt::format("duplicate={}:chance=10%", kind));
    }
  }
  // Of the batch: empty, or what cannot be true when all its channels are closed.
  [[nodiscard]] std::string verdict() {
    stack_->faults().clear_all();
    if (const std::size_t left = stack_->cma().live_ids(); left != 0) return fmt::format("{} ids are left", left);
    const std::lock_guard lock(mutex_);
    return wrong_;
  }

 private:
  static SocketAddress resolve(Place place, std::uint16_t port, std::uint8_t number) {
    if (port == service_port || port == service_port + 1) port = static_cast<std::uint16_t>(port + 10 * number);
    const auto v4 = [port](std::uint32_t ip) { return SocketAddress{Family::inet, IpAddress::v4(ip), port, 0, 0}; };
    const auto v6 = [port](const char* ip) { return SocketAddress{Family::inet6, *IpAddress::parse(ip), port, 0, 0}; };
    constexpr std::uint32_t loopback = 0x7F000001;
    switch (place) {
      case Place::unset: return {};
      case Place::here:
      case Place::peer: return v4(loopback + number);
      case Place::here_too:
      case Place::peer_too: return v4(loopback + 100 + number);
      case Place::here6:
      case Place::peer6:
      case Place::loopback6: return v6("::1");
      case Place::nobody: return v4(0x0A000063);
      case Place::any: return v4(0);
      case Place::any6: return v6("::");
      case Place::loopback: return v4(loopback);
      case Place::mapped: return {Family::inet6, IpAddress::v4(loopback + number), port, 0, 0};
      case Place::unscoped: return v6("fe80::1");
      case Place::group: return v4(0xEF010101);
      case Place::group_too: return v4(0xEF010102);
      case Place::group6: return v6("ff0e::1");
      case Place::infiniband: return {Family::ib, {}, port, 0, 0};
    }
    return {};
  }
  void set_fault(const std::string& text) {
    if (const auto fault = cm::parse_fault(text)) stack_->faults().set(*fault);
  }
  void happen(Happening happening, std::uint8_t number) {
    const std::string peer = resolve(Place::peer, 0, number).ip.text();
    switch (happening) {
      case Happening::device_goes:
      case Happening::both_devices_go: return set_fault("remove=hw_lo");
      case Happening::device_flaps: set_fault("remove=hw_lo"); [[fallthrough]];
      case Happening::devices_return: return stack_->faults().clear_all();
      case Happening::neighbour_moves: return set_fault("move-neighbour=" + peer);
      case Happening::neighbour_silent: return set_fault("silence-neighbour=" + peer);
      case Happening::bond_fails_over: return set_fault("change-mac=hw_lo");
    }
  }
  void pause(rt::Duration time) {
    rt::Mutex mutex{rt::LockRank::engine};
    rt::CondVar never;
    const rt::Time end = stack_->world().now() + time;
    rt::Lock lock(mutex);
    while (never.wait_until(mutex, end)) {
    }
  }

  std::unique_ptr<stack::Stack> stack_;
  ucm::Manager ucm_;
  std::mutex mutex_;
  std::string wrong_;
};

// One program of a batch: two hosts in one.
class Performance {
 public:
  Performance(const Program& program, Ground& ground, std::uint8_t number)
      : program_(program), near_(ground.machine(number)), far_(ground.machine(number)) {
    diaries_.resize(program.threads.size());
  }
  void start() {
    for (std::size_t i = 0; i < program_.threads.size(); ++i) {
      const Thread& thread = program_.threads[i];
      Executor& on = thread.side == Side::near ? near_ : far_;
      threads_.emplace_back([&on, &thread, &diary = diaries_[i]] { on.run(thread, diary); });
    }
  }
  void join() {
    threads_.clear();
    near_.close_all();
    far_.close_all();
  }
  [[nodiscard]] std::string verdict() const { return verify(diaries_); }
  void sum_up_to(Tally& tally) const { sum_up(diaries_, tally); }

 private:
  const Program& program_;
  Executor near_, far_;
  std::vector<Diary> diaries_;
  std::vector<std::jthread> threads_;
};

class Run {
 public:
  explicit Run(const Arguments& arguments) : arguments_(arguments) {}

  ExitStatus all() {
    auto programs = read_programs(arguments_.files);
    if (!programs) {
      fmt::print(stderr, "hawser-fuzz-threads: {}\n", programs.error());
      return usage;
    }
    const auto start = std::chrono::steady_clock::now();
    const auto over = [&] {
      if (!arguments_.files.empty()) return programs_ >= programs->size();
      if (arguments_.seconds <= 0) return programs_ >= arguments_.runs;
      return std::chrono::steady_clock::now() - start > std::chrono::duration<double>(arguments_.seconds);
    };
    while (!over()) {
      std::vector<Program> batch;
      while (batch.size() < arguments_.parallel && (arguments_.files.empty() || programs_ < programs->size())) {
        batch.push_back(arguments_.files.empty() ? generate(arguments_.seed + programs_)
                                                 : (*programs)[programs_].program);
        ++programs_;
      }
      if (!run(batch)) break;
    }
    return report();
  }

 private:
  // False: a finding, which has been printed.
  bool run(const std::vector<Program>& batch) {
    std::string text = fmt::format("of a batch that ends with seed {}:\n", arguments_.seed + programs_ - 1);
    for (const Program& program : batch) text += text_of(program) + "\n";
    set_under_way(text);
    alarm(hang_after_seconds);
    if (batches_++ % batches_per_stack == 0) {
      ground_.reset();
      auto made = Ground::make();
      if (!made) return fail_with("no Stack: " + made.error().message(), text);
      ground_ = std::move(*made);
    }
    std::vector<std::unique_ptr<Performance>> performances;
    for (const Program& program : batch) {
      if (program.lossy) ground_->make_lossy();
      performances.push_back(
          std::make_unique<Performance>(program, *ground_, static_cast<std::uint8_t>(performances.size())));
    }
    for (const auto& performance : performances) performance->start();
    for (const auto& performance : performances) performance->join();
    std::string wrong = ground_->verdict();
    for (const auto& performance : performances) {
      performance->sum_up_to(tally_);
      if (wrong.empty()) wrong = performance->verdict();
    }
    alarm(0);
    return wrong.empty() || fail_with(wrong, text);
  }
  bool fail_with(const std::string& what, const std::string& text) {
    ++findings_;
    fmt::print("FOUND {}\n{}", what, text);
    return false;
  }

  ExitStatus report() {
    print(tally_);
    ExitStatus status = findings_ == 0 ? clean : found;
    if (status == clean && programs_ >= programs_that_reach_all) {
      for (const std::string_view name : never_reached(tally_, impossible)) {
        fmt::print("no program came to: {}\n", name);
        status = incomplete;
      }
    }
    fmt::print("total: {} programs from seed {}, {} findings\n", programs_, arguments_.seed, findings_);
    return status;
  }

  const Arguments& arguments_;
  std::unique_ptr<Ground> ground_;
  Tally tally_;
  std::uint64_t programs_ = 0, batches_ = 0, findings_ = 0;
};

}  // namespace
}  // namespace hawser::fuzz

int main(int argc, char** argv) {
  using namespace hawser::fuzz;
  Arguments arguments;
  CLI::App app("Runs random programs of the connection manager's commands with threads.", "hawser-fuzz-threads");
  app.add_option("FILE", arguments.files, "programs to run instead, once each, or folders of them");
  app.add_option("--seed", arguments.seed, "of the first program; the others count up")->capture_default_str();
  app.add_option("--runs", arguments.runs, "so many programs")->capture_default_str();
  app.add_option("--time", arguments.seconds, "programs for so many seconds instead")->type_name("SECONDS");
  app.add_option("--parallel", arguments.parallel, "programs at once")->check(CLI::Range(1, 64))->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : usage;
  }
  setenv("HAWSER_CHECK", "1", 1);
  if (const std::string skip = hawser::agent::test::enter_own_netns(); !skip.empty()) {
    fmt::print("{}\n", skip);
    return skipped;
  }
  explain_crashes();
  return Run(arguments).all();
}
