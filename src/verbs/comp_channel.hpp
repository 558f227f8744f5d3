// A completion event channel: which CQs have something new for whoever asked to be told.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "base/result.hpp"
#include "runtime/sync.hpp"
#include "verbs/event_fd.hpp"

namespace hawser::verbs {

class Cq;

// Thread-safe.
class CompChannel {
 public:
  [[nodiscard]] static Result<std::shared_ptr<CompChannel>> create();
  explicit CompChannel(EventFd fd) : fd_(std::move(fd)) {}

  [[nodiscard]] const EventFd& fd() const { return fd_; }
  [[nodiscard]] bool pending() const { return pending_.load(); }
  // The CQ of the oldest event, or null. It stays until acknowledge().
  [[nodiscard]] Cq* take();
  void acknowledge(Cq& cq, std::uint32_t count);

  // For Cq. push() may be called with the CQ's lock held.
  void push(Cq& cq);
  // Drops the CQ's queued events and waits until those that were taken are acknowledged.
  void forget(Cq& cq);

  // CQs that use the channel: it cannot be destroyed under them.
  rt::Atomic<std::uint32_t> users{0};

 private:
  EventFd fd_;
  rt::Atomic<bool> pending_{false};
  rt::Mutex mutex_{rt::LockRank::comp_channel};
  rt::CondVar acknowledged_;
  std::deque<Cq*> queue_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::verbs
