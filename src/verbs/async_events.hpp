// Asynchronous events of one device context: what ibv_get_async_event returns.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "base/result.hpp"
#include "runtime/sync.hpp"
#include "verbs/event_fd.hpp"

namespace hawser::verbs {

enum class AsyncEventType : std::uint8_t {  // enum ibv_event_type
  cq_err = 0,
  qp_fatal = 1,
  qp_req_err = 2,
  qp_access_err = 3,
  comm_est = 4,
  sq_drained = 5,
  device_fatal = 8,
  port_active = 9,
  port_err = 10,
  srq_limit_reached = 15,
  qp_last_wqe_reached = 16,
  gid_change = 18,
};

// An object that events are affiliated with (a CQ, a QP, an SRQ). `owner` is what the C ABI knows it by.
class AsyncSource {
 public:
  [[nodiscard]] void* owner() const { return owner_; }
  void set_owner(void* owner) { owner_ = owner; }  // before the object is used

 private:
  friend class AsyncEvents;
  void* owner_ = nullptr;
  std::uint32_t queued_ = 0, unacknowledged_ = 0;  // guarded by the AsyncEvents' mutex
};

struct AsyncEvent {
  AsyncEventType type{};
  AsyncSource* source{};  // null: an event of the port or the device
};

// Thread-safe. No event is lost; those of an object go with it.
class AsyncEvents {
 public:
  explicit AsyncEvents(EventFd fd) : fd_(std::move(fd)) {}

  [[nodiscard]] const EventFd& fd() const { return fd_; }
  [[nodiscard]] bool pending() const { return pending_.load(); }
  void push(AsyncEvent event);
  // The oldest event; its source stays until acknowledge().
  [[nodiscard]] std::optional<AsyncEvent> take();
  void acknowledge(AsyncSource& source);
  // Drops the source's queued events and waits until those that were taken are acknowledged.
  void forget(AsyncSource& source);
  // Drops everything that is queued and makes the descriptor blocking again: the last user of the context has gone.
  void reset();

 private:
  EventFd fd_;
  rt::Atomic<bool> pending_{false};
  rt::Mutex mutex_{rt::LockRank::comp_channel};
  rt::CondVar acknowledged_;
  std::deque<AsyncEvent> queue_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::verbs
