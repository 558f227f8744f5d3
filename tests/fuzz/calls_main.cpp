// hawser-fuzz-calls: random programs of the C calls of librdmacm and libibverbs, with threads, on the libraries
// themselves and the agent of a network namespace of its own. Several programs run at once, each on an address of its
// own.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>

#include <fmt/format.h>

#include "agent/netns_test_support.hpp"
#include "batches.hpp"
#include "calls.hpp"
#include "loopback.hpp"
#include "stack/stack.hpp"

namespace hawser::fuzz {
namespace {

// The agent beside this program: what starts one from inside a program that has threads is more than ThreadSanitizer
// can follow. False if it does not serve.
bool start_agent() {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return false;
  if (::fork() == 0) {
    const auto agent = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "hawserd";
    ::execl(agent.c_str(), "hawserd", "--ready-fd", std::to_string(ends[1]).c_str(), nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  int error = -1;
  const bool told = ::read(ends[0], &error, sizeof error) == sizeof error;
  ::close(ends[0]);
  return told && error == 0;
}

// How many there are of each kind: "anon_inode:[eventfd]", "socket:[".
std::map<std::string, std::size_t> open_descriptors() {
  std::map<std::string, std::size_t> counts;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // the one that reads the folder
    const std::string what = std::filesystem::read_symlink(entry.path(), gone).string();
    if (!gone) ++counts[what.substr(0, what.find_first_of("0123456789"))];
  }
  return counts;
}

// The process's own Stack, as the C libraries make it, and what no program may leave behind in it.
class Ground {
 public:
  Ground() : stack_(*stack::process_stack().value()) {
    stack_.cma().contract().watch([this](const cma::ContractReport& report) { note_wrong(report.text()); });
  }
  [[nodiscard]] CallsMachine machine(std::uint8_t number) {
    return {.address = [number](Place place, std::uint16_t port) { return loopback::address(place, port, number); },
            .happen = [this, number](Happening happening) { happen(happening, number); },
            .report = [this](const std::string& wrong) { note_wrong(wrong); }};
  }
  void make_lossy() { loopback::make_lossy(stack_.faults()); }
  // Of the batch: empty, or what cannot be true when all its programs are over.
  [[nodiscard]] std::string verdict() {
    stack_.faults().clear_all();
    if (const std::size_t left = stack_.cma().live_ids(); left != 0) return fmt::format("{} ids are left", left);
    const std::lock_guard lock(mutex_);
    if (!wrong_.empty()) return wrong_;
    ++batches_;
    // A thread that was in the middle of a datagram still has its queues.
    std::string left;
    if (agent::test::eventually([&] { return (left = left_open()).empty(); })) return {};
    return left;
  }

 private:
  void happen(Happening happening, std::uint8_t number) {
    if (happening == Happening::device_goes || happening == Happening::both_devices_go ||
        happening == Happening::device_flaps) {
      ++removals_;
    }
    loopback::happen(happening, number, stack_.faults());
  }
  void note_wrong(const std::string& what) {
    const std::lock_guard lock(mutex_);
    if (wrong_.empty()) wrong_ = what;
  }
  // What the Stack opens once it keeps; so it does one for each of the threads that ever waited at once, and librdmacm
  // keeps the context of a device that has gone.
  static constexpr std::uint64_t warm_up = 3;
  static constexpr std::size_t waiting_max = 40;
  [[nodiscard]] std::string left_open() {
    for (const auto& [kind, count] : open_descriptors()) {
      std::size_t& known = descriptors_[kind];
      if (batches_ <= warm_up) known = std::max(known, count);
      const std::size_t kept = kind.ends_with("[eventfd]") ? waiting_max + removals_ : 0;
      if (count > known + kept) return fmt::format("{} descriptors are left open: {}", count - known, kind);
    }
    return {};
  }
  stack::Stack& stack_;
  std::mutex mutex_;
  std::string wrong_;
  std::map<std::string, std::size_t> descriptors_;
  std::uint64_t batches_ = 0;
  std::atomic<std::size_t> removals_{0};
};

}  // namespace
}  // namespace hawser::fuzz

int main(int argc, char** argv) {
  using namespace hawser::fuzz;
  std::optional<Ground> ground;
  const auto prepare = [&] {
    // Half a second until a peer that does not answer is given up.
    setenv("HAWSER_CM_RESPONSE_TIMEOUT", "15", 1);
    setenv("HAWSER_CM_RETRIES", "3", 1);
    struct sigaction interrupt{};
    interrupt.sa_handler = [](int) {};  // without SA_RESTART: calls that wait end with EINTR
    ::sigaction(Clerk::signal_number, &interrupt, nullptr);
    if (!start_agent()) {
      fmt::print(stderr, "hawser-fuzz-calls: the hawserd beside this program does not serve\n");
      return false;
    }
    ground.emplace();
    return true;
  };
  return batch_main(
      argc, argv,
      {.name = "hawser-fuzz-calls",
       .about = "Runs random programs of the calls of librdmacm and libibverbs with threads.",
       .form = Form::calls,
       .depths = call_depths(),
       .impossible = {},
       .enough = 1000},
      prepare, [&](const std::vector<Program>& batch, Tally& tally) { return perform<Caller>(batch, *ground, tally); });
}
