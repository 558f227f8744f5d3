#include "agent/peers.hpp"

#include <chrono>

namespace hawser::agent {
namespace {

constexpr auto answer_lasts =
    std::chrono::milliseconds(250);  // how long an answer holds, and a question is not repeated
constexpr auto agent_patience = std::chrono::milliseconds(1000);  // with an agent that does not answer

}  // namespace

roce::PeerActivity Peers::activity(std::uint32_t chunk) {
  using roce::PeerActivity;
  const rt::Time now = world_.now();
  bool ask = false;
  PeerActivity known = PeerActivity::unknown;
  {
    rt::Lock lock(mutex_);
    Entry& entry = entries_[chunk];
    const bool answered = entry.answered != rt::Time() && entry.answered >= entry.asked;
    if (answered && now < entry.answered + answer_lasts) {
      return entry.stopped ? PeerActivity::stopped : PeerActivity::running;
    }
    if (answered || entry.asked == rt::Time()) entry.asked = now;
    ask = now >= entry.asked_last + answer_lasts || entry.asked_last == rt::Time();
    if (ask) entry.asked_last = now;
    if (entry.stopped && now < entry.asked + agent_patience) known = PeerActivity::stopped;
  }
  if (ask) ask_(chunk);
  return known;
}

void Peers::on_answer(std::uint32_t chunk, bool stopped) {
  rt::Lock lock(mutex_);
  const auto entry = entries_.find(chunk);
  if (entry == entries_.end()) return;  // nobody asked
  entry->second.answered = world_.now();
  entry->second.stopped = stopped;
}

}  // namespace hawser::agent
