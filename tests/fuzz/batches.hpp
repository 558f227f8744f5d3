// Programs with threads, several at once: what hawser-fuzz-threads and hawser-fuzz-calls have in common. A finding need
// not come again. Exit status: 0 nothing found, 2 usage, 3 a finding, 4 some depth that no program came to, 77 no
// network namespace to be had.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "diary.hpp"
#include "program.hpp"

namespace hawser::fuzz {

struct BatchFuzzer {
  std::string name, about;
  Form form{};
  std::span<const std::string_view> depths, impossible;  // what a run of `enough` programs must come to
  std::uint64_t enough{};
};
// Runs a batch: empty, or what cannot be true of it.
using RunBatch = std::function<std::string(const std::vector<Program>& batch, Tally& tally)>;
// main(): parses the arguments, moves to a network namespace of its own, calls `prepare` (false: it has said why) and
// runs batches until the number or the time that was asked for is reached.
[[nodiscard]] int batch_main(int argc, char** argv, const BatchFuzzer& fuzzer, const std::function<bool()>& prepare,
                             const RunBatch& run);

// One program of a batch: two Hosts in one, which run(thread, diary) and close_all().
template <class Host>
class Performance {
 public:
  template <class Ground>
  Performance(const Program& program, Ground& ground, std::uint8_t number)
      : program_(program), near_(ground.machine(number)), far_(ground.machine(number)) {
    diaries_.resize(program.threads.size());
  }
  void start() {
    for (std::size_t i = 0; i < program_.threads.size(); ++i) {
      const Thread& thread = program_.threads[i];
      Host& on = thread.side == Side::near ? near_ : far_;
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
  Host near_, far_;
  std::vector<Diary> diaries_;
  std::vector<std::jthread> threads_;
};

// On a Ground: make_lossy(), machine(number), and the verdict() on what all programs of the batch did to it.
template <class Host, class Ground>
[[nodiscard]] std::string perform(const std::vector<Program>& batch, Ground& ground, Tally& tally) {
  std::vector<std::unique_ptr<Performance<Host>>> performances;
  for (const Program& program : batch) {
    if (program.lossy) ground.make_lossy();
    const auto number = static_cast<std::uint8_t>(performances.size());
    performances.push_back(std::make_unique<Performance<Host>>(program, ground, number));
  }
  for (const auto& performance : performances) performance->start();
  for (const auto& performance : performances) performance->join();
  std::string wrong = ground.verdict();
  for (const auto& performance : performances) {
    performance->sum_up_to(tally);
    if (wrong.empty()) wrong = performance->verdict();
  }
  return wrong;
}

}  // namespace hawser::fuzz
