#include "verbs/cq.hpp"

namespace hawser::verbs {

Cq::Cq(AsyncEvents& events, std::shared_ptr<CompChannel> channel, std::uint32_t capacity)
    : events_(events), channel_(std::move(channel)), entries_(capacity) {
  if (channel_) ++channel_->users;
}

Cq::~Cq() { leave_channel(); }

// When it is closed, not when nobody holds it any more: the data path may still be at work for a queue pair of it.
void Cq::leave_channel() {
  if (channel_ && !left_channel_.exchange(true)) --channel_->users;
}

void Cq::request_notification(bool solicited_only) {
  rt::Lock lock(mutex_);
  if (!solicited_only) {
    armed_ = Armed::any;
  } else if (armed_ == Armed::no) {
    armed_ = Armed::solicited;
  }
}

bool Cq::push(const roce::Completion& completion, Qpn qpn) {
  rt::Lock lock(mutex_);
  if (entries_.full()) {
    if (!overrun_) events_.push({.type = AsyncEventType::cq_err, .source = this});
    overrun_ = true;
    return false;
  }
  entries_.push({.completion = completion, .qpn = qpn});
  size_.store(entries_.size(), std::memory_order_release);
  const bool solicited = completion.solicited || completion.status != roce::WcStatus::success;
  if (armed_ == Armed::any || (armed_ == Armed::solicited && solicited)) {
    armed_ = Armed::no;
    if (channel_) channel_->push(*this);
  }
  return true;
}

std::uint32_t Cq::capacity() const {
  rt::Lock lock(mutex_);
  return static_cast<std::uint32_t>(entries_.capacity());
}

Status Cq::resize(std::uint32_t capacity) {
  rt::Lock lock(mutex_);
  if (capacity < entries_.size()) return fail(EINVAL);
  entries_.set_capacity(capacity);
  return {};
}

Status Cq::close() {
  if (users.load() > 0) return fail(EBUSY);
  if (channel_) channel_->forget(*this);
  events_.forget(*this);
  leave_channel();
  return {};
}

}  // namespace hawser::verbs
