#include "hawser/channel.hpp"

#include <algorithm>
#include <deque>

#include "api/id_impl.hpp"
#include "api/stack_impl.hpp"
#include "verbs/event_fd.hpp"

namespace hawser {

// The queue. Thread-safe; its mutex is taken inside of handlers, and nothing is waited for with it held.
class ChannelImpl : public std::enable_shared_from_this<ChannelImpl> {
 public:
  ChannelImpl(StackImpl& stack, verbs::EventFd fd) : stack_(stack), fd_(std::move(fd)) {}

  [[nodiscard]] StackImpl& stack() { return stack_; }
  [[nodiscard]] int fd() const { return fd_.fd(); }
  [[nodiscard]] bool pending() const { return pending_.load(); }
  // The handler of the channel's ids.
  [[nodiscard]] IdImpl::Sink sink();
  [[nodiscard]] std::optional<ChannelEvent> take();
  // Drops the events of an id that has ended, and with a listener's its unfetched requests.
  void forget(const IdImpl* id);
  // Drops those of a membership that was left.
  void forget(const IdImpl* id, MulticastHandle membership);
  Status write(IdImpl& id, CmEventType type, int status, std::uint64_t arg);
  void close();

 private:
  int push(IdImpl& id, CmEvent& event);
  void append(IdImpl& id, CmEvent& event) HW_REQUIRES(mutex_);
  template <class IsIt>
  void drop(IsIt is_it);
  [[nodiscard]] int unfetched_requests(const IdImpl* listener) const HW_REQUIRES(mutex_);

  StackImpl& stack_;
  verbs::EventFd fd_;
  rt::Atomic<bool> pending_{false};
  rt::Mutex mutex_{rt::LockRank::ucm_channel};
  std::deque<ChannelEvent> queue_ HW_GUARDED_BY(mutex_);
  bool closed_ HW_GUARDED_BY(mutex_) = false;
};

IdImpl::Sink ChannelImpl::sink() {
  return {.deliver = [channel = shared_from_this()](IdImpl& id, CmEvent& event) { return channel->push(id, event); },
          .on_end = [channel = shared_from_this()](const IdImpl& id) { channel->forget(&id); },
          .channel = this,
          .on_leave = [channel = shared_from_this()](const IdImpl& id,
                                                     MulticastHandle left) { channel->forget(&id, left); }};
}

int ChannelImpl::unfetched_requests(const IdImpl* listener) const {
  return static_cast<int>(std::ranges::count_if(queue_, [&](const ChannelEvent& event) {
    return event.type == CmEventType::connect_request && event.listener().impl_ == listener;
  }));
}

// 0 and the event is queued. Who asks in vain for a place in the backlog asks again [spec 1.9].
int ChannelImpl::push(IdImpl& id, CmEvent& event) {
  rt::Lock lock(mutex_);
  if (closed_) return event.type == CmEventType::connect_request ? -ECONNABORTED : 0;
  if (event.type == CmEventType::connect_request) {
    IdImpl* const listener = event.listener().impl_;
    if (unfetched_requests(listener) >= std::max(listener->backlog.load(), 1)) return -ENOMEM;
  }
  append(id, event);
  return 0;
}

void ChannelImpl::append(IdImpl& id, CmEvent& event) {
  ChannelEvent queued(std::move(event));
  queued.bytes_.assign(queued.private_data.begin(), queued.private_data.end());
  queued.private_data = queued.bytes_;
  queued.id_ = IdRef(&id);
  queue_.push_back(std::move(queued));
  pending_.store(true);
  fd_.add();
}

// [spec 6.2]
Status ChannelImpl::write(IdImpl& id, CmEventType type, int status, std::uint64_t arg) {
  if ((type != CmEventType::user && type != CmEventType::internal) || !id.is_of(*this)) return fail(EINVAL);
  CmEvent event;
  event.type = type;
  event.status = status;
  event.arg = arg;
  rt::Lock lock(mutex_);
  append(id, event);
  return {};
}

std::optional<ChannelEvent> ChannelImpl::take() {
  rt::Lock lock(mutex_);
  if (queue_.empty()) return std::nullopt;
  ChannelEvent event = std::move(queue_.front());
  queue_.pop_front();
  pending_.store(!queue_.empty());
  fd_.take();
  return event;
}

void ChannelImpl::forget(const IdImpl* id) {
  drop([id](const ChannelEvent& event) { return event.id().impl_ == id || event.listener().impl_ == id; });
}

void ChannelImpl::forget(const IdImpl* id, MulticastHandle membership) {
  drop([=](const ChannelEvent& event) { return event.id().impl_ == id && event.multicast == membership; });
}

template <class IsIt>
void ChannelImpl::drop(IsIt is_it) {
  std::deque<ChannelEvent> dropped;  // ends the ids of unfetched requests, without the mutex
  rt::UniqueLock lock(mutex_);
  for (auto event = queue_.begin(); event != queue_.end();) {
    if (!is_it(*event)) {
      ++event;
      continue;
    }
    dropped.push_back(std::move(*event));
    event = queue_.erase(event);
    fd_.take();
  }
  pending_.store(!queue_.empty());
  lock.unlock();
}

void ChannelImpl::close() {
  std::deque<ChannelEvent> dropped;
  rt::UniqueLock lock(mutex_);
  closed_ = true;
  dropped.swap(queue_);
  for (std::size_t i = 0; i < dropped.size(); ++i) fd_.take();
  pending_.store(false);
  lock.unlock();
}

EventChannel::EventChannel(std::shared_ptr<ChannelImpl> impl) : impl_(std::move(impl)) {}
EventChannel::EventChannel(EventChannel&&) noexcept = default;
EventChannel& EventChannel::operator=(EventChannel&& other) noexcept {
  if (impl_ && impl_ != other.impl_) impl_->close();
  impl_ = std::move(other.impl_);
  return *this;
}
EventChannel::~EventChannel() {
  if (impl_) impl_->close();
}

Result<EventChannel> EventChannel::create(Stack& stack) {
  auto fd = verbs::EventFd::create();
  if (!fd) return fail(fd.error());
  return EventChannel(std::make_shared<ChannelImpl>(stack.impl(), std::move(*fd)));
}

Result<Id> EventChannel::create_id(PortSpace port_space, std::optional<QpType> qp_type) {
  const auto type = qp_type_of(port_space, qp_type);
  if (!type) return fail(type.error());
  return Id(IdImpl::create(impl_->stack(), port_space, *type, impl_->sink()));
}

Status EventChannel::write_cm_event(IdRef id, CmEventType type, int status, std::uint64_t arg) {
  return id ? impl_->write(*id.impl_, type, status, arg) : fail(EINVAL);
}

Result<ChannelEvent> EventChannel::try_get_event() {
  if (auto event = impl_->take()) return std::move(*event);
  return fail(EAGAIN);
}

Result<ChannelEvent> EventChannel::get_event() {
  for (;;) {
    if (auto event = impl_->take()) return std::move(*event);
    const auto& handling = impl_->stack().ids_with_handlers;
    const bool dispatches = handling.load() == 0;
    const Status waited = impl_->stack()->engine().wait(
        dispatches ? stack::WaitKind::cm_events : stack::WaitKind::completions, impl_->fd(),
        // Ids with handlers that come meanwhile are not for this thread.
        [&] { return impl_->pending() || (dispatches && handling.load() > 0); });
    if (!waited) return fail(waited.error());
  }
}

int EventChannel::fd() const { return impl_->fd(); }

}  // namespace hawser
