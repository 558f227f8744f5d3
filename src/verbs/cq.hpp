// A completion queue.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.hpp"
#include "base/types.hpp"
#include "roce/work.hpp"
#include "runtime/sync.hpp"
#include "verbs/async_events.hpp"
#include "verbs/comp_channel.hpp"
#include "verbs/ring.hpp"

namespace hawser::verbs {

struct CqEntry {
  roce::Completion completion;
  Qpn qpn;
};

// Thread-safe. push() is called under a QP's lock.
class Cq : public AsyncSource {
 public:
  // `channel` may be null.
  Cq(AsyncEvents& events, std::shared_ptr<CompChannel> channel, std::uint32_t capacity);
  ~Cq();
  Cq(const Cq&) = delete;
  Cq& operator=(const Cq&) = delete;

  // Takes up to `max` completions, oldest first, and shows each to `visit(const CqEntry&)`. Returns how many.
  template <class Visit>
  int poll(int max, Visit&& visit) {
    if (size_.load(std::memory_order_acquire) == 0) return 0;
    rt::Lock lock(mutex_);
    int taken = 0;
    for (; taken < max && !entries_.empty(); ++taken) visit(entries_.pop());
    size_.store(entries_.size(), std::memory_order_release);
    return taken;
  }
  [[nodiscard]] bool empty() const { return size_.load(std::memory_order_acquire) == 0; }
  // One event for the next completion, or for the next solicited one (errors count as such). A request for any
  // completion is not narrowed by a later one for solicited ones (IBTA 11.4.2.2).
  void request_notification(bool solicited_only);

  // False if the queue was full: the completion is lost, and an asynchronous CQ_ERR says so, once.
  bool push(const roce::Completion& completion, Qpn qpn);

  [[nodiscard]] std::uint32_t capacity() const;
  Status resize(std::uint32_t capacity);  // EINVAL if more than that are in it
  [[nodiscard]] const std::shared_ptr<CompChannel>& channel() const { return channel_; }

  // EBUSY while QPs use it. Waits until every event that was taken is acknowledged.
  Status close();
  // QPs that use it.
  rt::Atomic<std::uint32_t> users{0};

 private:
  friend class CompChannel;
  void leave_channel();

  enum class Armed : std::uint8_t { no, solicited, any };

  AsyncEvents& events_;
  const std::shared_ptr<CompChannel> channel_;
  rt::Atomic<bool> left_channel_{false};
  std::uint32_t events_queued_ = 0, events_unacknowledged_ = 0;  // guarded by the channel's mutex
  rt::Atomic<std::size_t> size_{0};  // of entries_: an empty queue is polled without the lock
  mutable rt::Mutex mutex_{rt::LockRank::cq};
  Ring<CqEntry> entries_ HW_GUARDED_BY(mutex_);
  Armed armed_ HW_GUARDED_BY(mutex_) = Armed::no;
  bool overrun_ HW_GUARDED_BY(mutex_) = false;
};

}  // namespace hawser::verbs
