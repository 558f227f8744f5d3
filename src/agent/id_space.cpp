#include "agent/id_space.hpp"

#include <algorithm>

namespace hawser::agent {
namespace {
constexpr auto timewait = std::chrono::seconds(1);
}

void IdSpace::add_chunk(std::uint32_t chunk) {
  rt::Lock lock(mutex_);
  chunks_.push_back({chunk, world_.random32() & ((1U << bits_) - 1), 0});
}

bool IdSpace::take(std::uint32_t& number, bool even_fresh_ones) {
  for (Chunk& chunk : chunks_) {
    if (chunk.handed >> bits_ != 0) continue;
    number = chunk.number << bits_ | ((chunk.start + chunk.handed++) & ((1U << bits_) - 1));
    return true;
  }
  if (freed_.empty() || (!even_fresh_ones && world_.now() - freed_.front().when < timewait)) return false;
  number = freed_.front().number;
  freed_.pop_front();
  return true;
}

Result<std::uint32_t> IdSpace::allocate() {
  std::uint32_t number = 0;
  {
    rt::Lock lock(mutex_);
    if (take(number, false)) return number;
  }
  const Status leased = more_();
  rt::Lock lock(mutex_);
  // With every chunk of the host leased, the one freed longest ago must do.
  if (take(number, !leased)) return number;
  return fail(ENOMEM);
}

bool IdSpace::owns(std::uint32_t number) {
  rt::Lock lock(mutex_);
  return std::ranges::find(chunks_, number >> bits_, &Chunk::number) != chunks_.end();
}

void IdSpace::release(std::uint32_t number) {
  rt::Lock lock(mutex_);
  freed_.push_back({world_.now(), number});
}

}  // namespace hawser::agent
