// Makes programs up. Most of a program are phrases (what a server, a client, a member of a group does, step by step),
// so that it gets somewhere; then calls are put in, taken out and given other arguments, and threads use each other's
// ids.
#pragma once

#include <cstdint>

#include "program.hpp"

namespace hawser::fuzz {

// Numbers from a seed alone, the same on every machine (splitmix64).
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }
  bool percent(unsigned p) { return below(100) < p; }

 private:
  std::uint64_t state_;
};

[[nodiscard]] Program generate(std::uint64_t seed, Form form = Form::commands);
// One small change.
void mutate(Program& program, Chance& chance, Form form = Form::commands);

}  // namespace hawser::fuzz
