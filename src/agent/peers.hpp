// What a process knows of the others on its host: whether they run (DESIGN 1). The agent is asked, and never waited
// for.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "base/types.hpp"
#include "roce/rc_qp.hpp"
#include "runtime/sync.hpp"
#include "runtime/world.hpp"

namespace hawser::agent {

// Thread-safe; never blocks. A process is known by the chunk of its QPNs and communication ids.
class Peers {
 public:
  // Sends the question, or does not: the answer is a call of on_answer(), or none.
  using Ask = std::function<void(std::uint32_t chunk)>;
  Peers(rt::World& world, Ask ask) : world_(world), ask_(std::move(ask)) {}

  // From what was answered last; an answer that is no longer fresh is asked for again. `stopped` holds until the agent
  // says otherwise or says nothing at all, `running` becomes `unknown` when it is old.
  [[nodiscard]] roce::PeerActivity activity(std::uint32_t chunk);
  void on_answer(std::uint32_t chunk, bool stopped);

 private:
  struct Entry {
    rt::Time asked{};  // the first question that is not answered yet, if later than `answered`
    rt::Time asked_last{};
    rt::Time answered{};
    bool stopped{};
  };
  rt::World& world_;
  const Ask ask_;
  rt::Mutex mutex_{rt::LockRank::agent_event};
  std::map<std::uint32_t, Entry> entries_ HW_GUARDED_BY(mutex_);  // as many as there are chunks at most
};

}  // namespace hawser::agent
