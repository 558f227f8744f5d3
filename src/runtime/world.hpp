// Where a Stack gets its time and its chance from: the machine, or a simulation with virtual time and a seed.
#pragma once

#include <cstdint>
#include <memory>

#include "runtime/time.hpp"

namespace hawser::rt {

// Thread-safe. Outlives everything that was given a reference to it.
class World {
 public:
  // The machine's monotonic clock and the kernel's random numbers.
  World();
  // Virtual time, starting at `start`, moved only by advance_to(); random numbers from `seed` alone.
  [[nodiscard]] static std::unique_ptr<World> simulated(std::uint64_t seed);

  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  [[nodiscard]] Time now() const;
  [[nodiscard]] std::uint64_t random();
  [[nodiscard]] std::uint32_t random32() { return static_cast<std::uint32_t>(random()); }

  [[nodiscard]] bool is_simulated() const { return simulation_ != nullptr; }
  // Simulated worlds only; never backwards.
  void advance_to(Time time);

 private:
  struct Simulation;
  explicit World(std::unique_ptr<Simulation> simulation);
  std::unique_ptr<Simulation> simulation_;
};

}  // namespace hawser::rt
