// libFuzzer: programs, as text, on the explored runtime. Inputs that reach new code are kept and changed again, call by
// call; hawser-fuzz-simulated makes new ones up. The text decides the schedule too.
#include <algorithm>
#include <cstdio>
#include <functional>

#include "base/assert.hpp"
#include "generate.hpp"
#include "simulation.hpp"

using namespace hawser;

namespace {

std::string_view text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

std::size_t put(const fuzz::Program& program, std::uint8_t* data, std::size_t size, std::size_t size_max) {
  const std::string written = fuzz::text_of(program);
  if (written.size() > size_max) return size;
  std::ranges::copy(written, data);
  return written.size();
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t size_max,
                                               unsigned seed) {
  fuzz::Chance chance(seed);
  auto program = fuzz::parse(text(data, size));
  if (!program || program->threads.empty()) program = fuzz::generate(seed);
  for (std::size_t changes = 1 + chance.below(4); changes > 0; --changes) fuzz::mutate(*program, chance);
  return put(*program, data, size, size_max);
}

// A thread of the second takes the place of one of the first, or joins them.
extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* one, std::size_t one_size, const std::uint8_t* two,
                                                 std::size_t two_size, std::uint8_t* out, std::size_t out_size,
                                                 unsigned seed) {
  fuzz::Chance chance(seed);
  auto program = fuzz::parse(text(one, one_size));
  const auto other = fuzz::parse(text(two, two_size));
  if (!program || !other || program->threads.empty() || other->threads.empty()) return 0;
  const fuzz::Thread& taken = other->threads[chance.below(other->threads.size())];
  if (program->threads.size() < fuzz::threads_max && chance.percent(50)) {
    program->threads.push_back(taken);
  } else {
    program->threads[chance.below(program->threads.size())] = taken;
  }
  return put(*program, out, 0, out_size);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto program = fuzz::parse(text(data, size));
  if (!program) return -1;  // not worth keeping
  fuzz::Tally tally;
  const auto finding = fuzz::run_simulated(*program, std::hash<std::string_view>{}(text(data, size)), tally);
  if (!finding) return 0;
  std::fprintf(stderr, "FOUND %s\n%s", finding->what.c_str(), finding->steps.c_str());
  HW_BUG("fuzz-program-finding");
}
