#include "runtime/world.hpp"

#include <sys/random.h>

#include "base/assert.hpp"
#include "runtime/sync.hpp"

namespace hawser::rt {

struct World::Simulation {
  explicit Simulation(std::uint64_t seed) : random_state(seed) {}
  // An arbitrary non-zero origin, so that a forgotten default Time is noticed.
  Atomic<Duration::rep> now{Duration(std::chrono::hours(1)).count()};
  Atomic<std::uint64_t> random_state;
};

World::World() = default;
World::World(std::unique_ptr<Simulation> simulation) : simulation_(std::move(simulation)) {}
World::~World() = default;

std::unique_ptr<World> World::simulated(std::uint64_t seed) {
  return std::unique_ptr<World>(new World(std::make_unique<Simulation>(seed)));
}

Time World::now() const {
  if (simulation_) return Time(Duration(simulation_->now.load()));
  return std::chrono::steady_clock::now();
}

std::uint64_t World::random() {
  std::uint64_t value = 0;
  if (!simulation_) {
    const auto got = getrandom(&value, sizeof value, 0);
    HW_ASSERT(got == static_cast<ssize_t>(sizeof value), "world-no-random-numbers");
    return value;
  }
  // SplitMix64 (Steele, Lea, Flood 2014): one atomic step, good enough for a simulation.
  value = simulation_->random_state.fetch_add(0x9E3779B97F4A7C15) + 0x9E3779B97F4A7C15;
  value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9;
  value = (value ^ value >> 27) * 0x94D049BB133111EB;
  return value ^ value >> 31;
}

void World::advance_to(Time time) {
  HW_ASSERT(simulation_ != nullptr, "world-advance-real-time");
  const auto target = time.time_since_epoch().count();
  HW_ASSERT(target >= simulation_->now.load(), "world-time-backwards");
  simulation_->now.store(target);
}

}  // namespace hawser::rt
