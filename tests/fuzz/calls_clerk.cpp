#include <poll.h>

#include "calls.hpp"

namespace hawser::fuzz {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int round_ms = 1;

}  // namespace

Clerk::Clerk() : thread_([this] { run(); }) {}
Clerk::~Clerk() { stop(); }

void Clerk::stop() {
  over_ = true;
  if (thread_.joinable()) thread_.join();
}

void Clerk::hand_over(rdma_cm_event* event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(event);
}

int Clerk::acknowledge() {
  rdma_cm_event* event = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (events_.empty()) return EAGAIN;
    event = events_.front();
    events_.pop_front();
  }
  return rdma_ack_cm_event(event) == 0 ? 0 : errno;
}

void Clerk::wake() {
  const std::lock_guard lock(mutex_);
  const Clock::time_point now = Clock::now();
  for (Entry& entry : waiting_) {
    if (now < entry.next) continue;
    if (c::write_cm_event(entry.id->raw, c::own_event, 0, 0) != 0) ::pthread_kill(entry.thread, signal_number);
    entry.next = now + entry.patience;
  }
}

void Clerk::run() {
  for (;;) {
    const bool last = over_;
    for (int error = 0; (error = acknowledge()) != EAGAIN;) {
      if (error != 0) diary_.note_wrong("rdma_ack_cm_event refuses an event that was fetched");
    }
    wake();
    if (last) return;
    ::poll(nullptr, 0, round_ms);
  }
}

Clerk::Waiting::Waiting(Clerk& clerk, CallsId& id, std::chrono::milliseconds patience) : clerk_(clerk) {
  const std::lock_guard lock(clerk_.mutex_);
  entry_ = clerk_.waiting_.insert(clerk_.waiting_.end(), {&id, ::pthread_self(), patience, Clock::now() + patience});
}

Clerk::Waiting::~Waiting() {
  const std::lock_guard lock(clerk_.mutex_);
  clerk_.waiting_.erase(entry_);
}

}  // namespace hawser::fuzz
