// QPNs and communication ids for a Stack without an agent: all that there are, a chunk after the other as an agent
// would lease them.
#pragma once

#include "agent/id_space.hpp"
#include "agent/steering.hpp"
#include "cm/manager.hpp"
#include "runtime/sync.hpp"
#include "verbs/data_path.hpp"

namespace hawser::stack {

// Thread-safe. The first chunk is chosen by `world`: a Stack that was here before may have used others.
template <class Space, class Number, unsigned Bits>
class OwnSpace final : public Space {
 public:
  explicit OwnSpace(rt::World& world)
      : next_(world.random32() % chunks), numbers_(world, Bits, [this] { return more(); }) {}

  Result<Number> allocate() override {
    const auto number = numbers_.allocate();
    if (!number) return fail(number.error());
    return Number(*number);
  }
  void release(Number number) override { numbers_.release(number.value); }

 private:
  static constexpr std::uint32_t chunks = agent::chunk_count - 1;  // chunk 0 has the QPNs 0 and 1

  Status more() {
    if (added_.fetch_add(1) >= chunks) return fail(ENOMEM);
    numbers_.add_chunk(1 + next_.fetch_add(1) % chunks);
    return {};
  }

  rt::Atomic<std::uint32_t> next_;
  rt::Atomic<std::uint64_t> added_{0};
  agent::IdSpace numbers_;
};

using OwnQpns = OwnSpace<verbs::QpnSpace, Qpn, agent::qpn_chunk_bits>;
using OwnCommIds = OwnSpace<cm::CommIdSpace, CommId, agent::comm_id_chunk_bits>;

}  // namespace hawser::stack
