// hawser-fuzz-threads: random programs with real threads, on a Stack of its own over the sockets of a network namespace
// of its own. What the sanitizers see here no schedule of the explorer shows. Several programs run at once, each on an
// address of its own.
#include <chrono>
#include <mutex>

#include <fmt/format.h>

#include "batches.hpp"
#include "execute.hpp"
#include "loopback.hpp"
#include "stack/stack.hpp"

namespace hawser::fuzz {
namespace {

using namespace std::chrono_literals;

// No subnet administrator, one device, whose last address must not go: what needs these is the simulation's.
constexpr auto impossible =
    std::to_array<std::string_view>({"services found", "services not found", "route error", "address change",
                                     "timewait exit", "connect error", "address error"});
// In real time nobody waits long: what does not come soon is not worth the wait.
constexpr rt::Duration patience_max = 50ms, pause_max = 5ms;
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
            .address = [number](Place place, std::uint16_t port) { return loopback::address(place, port, number); },
            .happen = [this, number](Happening happening) { loopback::happen(happening, number, stack_->faults()); },
            .pause = [this](rt::Duration time) { pause(std::min(time, pause_max)); },
            .patience_max = patience_max};
  }
  void make_lossy() { loopback::make_lossy(stack_->faults()); }
  // Of the batch: empty, or what cannot be true when all its channels are closed.
  [[nodiscard]] std::string verdict() {
    stack_->faults().clear_all();
    if (const std::size_t left = stack_->cma().live_ids(); left != 0) return fmt::format("{} ids are left", left);
    const std::lock_guard lock(mutex_);
    return wrong_;
  }

 private:
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

// A new one now and then.
class Grounds {
 public:
  std::string run(const std::vector<Program>& batch, Tally& tally) {
    if (batches_++ % batches_per_stack == 0) {
      ground_.reset();
      auto made = Ground::make();
      if (!made) return "no Stack: " + made.error().message();
      ground_ = std::move(*made);
    }
    return perform<Executor>(batch, *ground_, tally);
  }

 private:
  std::unique_ptr<Ground> ground_;
  std::uint64_t batches_ = 0;
};

}  // namespace
}  // namespace hawser::fuzz

int main(int argc, char** argv) {
  using namespace hawser::fuzz;
  Grounds grounds;
  return batch_main(
      argc, argv,
      {.name = "hawser-fuzz-threads",
       .about = "Runs random programs of the connection manager's commands with threads.",
       .form = Form::commands,
       .depths = depths(),
       .impossible = impossible,
       .enough = 3000},
      [] { return true; }, [&](const std::vector<Program>& batch, Tally& tally) { return grounds.run(batch, tally); });
}
