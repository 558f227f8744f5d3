#include "ucm/file.hpp"

#include "base/assert.hpp"
#include "base/log.hpp"

namespace hawser::ucm {

File::File(std::unique_ptr<Notifier> notifier) : notifier_(std::move(notifier)) {}

File::~File() {
  rt::Lock lock(mutex_);
  HW_ASSERT(members_.empty(), "ucm-file-freed-with-members");
}

std::optional<EventRecord> File::pop() {
  rt::Lock lock(mutex_);
  if (events_.empty()) return std::nullopt;
  EventRecord event = std::move(events_.front());
  events_.pop_front();
  tell(true);
  if (auto owner = members_.find(event.owner); owner != members_.end()) {
    --owner->second.queued;
    ++owner->second.reported;
    if (event.multicast != 0) ++owner->second.multicast_reported[event.multicast];
    if (event.type == cma::EventType::connect_request) ++owner->second.backlog;
  }
  return event;
}

bool File::pending() const {
  rt::Lock lock(mutex_);
  return !events_.empty();
}

bool File::join(Handle id, const std::function<void()>& then) {
  rt::Lock lock(mutex_);
  if (closed_) return false;
  members_[id];
  then();
  return true;
}

bool File::join(Handle id, Departure luggage) {
  rt::Lock lock(mutex_);
  if (closed_) return false;
  const bool was_pending = !events_.empty();
  Member& member = members_[id];
  member.reported = luggage.reported;
  member.multicast_reported = std::move(luggage.multicast_reported);
  member.backlog = luggage.backlog;
  for (EventRecord& event : luggage.events) queue(std::move(event), member);
  tell(was_pending);
  return true;
}

File::Departure File::leave(Handle id) {
  rt::Lock lock(mutex_);
  const auto found = members_.find(id);
  if (found == members_.end()) return {};
  Departure luggage{found->second.reported, std::move(found->second.multicast_reported), found->second.backlog, {}};
  if (found->second.queued > 0) {
    std::deque<EventRecord> others;
    for (EventRecord& event : events_) (event.owner == id ? luggage.events : others).push_back(std::move(event));
    events_ = std::move(others);
    tell(true);
  }
  members_.erase(found);
  left_.notify_all();
  return luggage;
}

unsigned File::forget_multicast(Handle id, Handle multicast) {
  rt::Lock lock(mutex_);
  const auto found = members_.find(id);
  if (found == members_.end()) return 0;
  const bool was_pending = !events_.empty();
  found->second.queued -= static_cast<unsigned>(
      std::erase_if(events_, [multicast](const EventRecord& event) { return event.multicast == multicast; }));
  tell(was_pending);
  const auto node = found->second.multicast_reported.extract(multicast);
  return node.empty() ? 0 : node.mapped();
}

unsigned File::reported(Handle id) const {
  rt::Lock lock(mutex_);
  const auto found = members_.find(id);
  return found == members_.end() ? 0 : found->second.reported;
}

void File::set_backlog(Handle listener, int backlog) {
  rt::Lock lock(mutex_);
  if (const auto found = members_.find(listener); found != members_.end()) found->second.backlog = backlog;
}

bool File::take_backlog(Handle listener) {
  rt::Lock lock(mutex_);
  const auto found = members_.find(listener);
  if (found == members_.end() || found->second.backlog <= 0) return false;
  --found->second.backlog;
  return true;
}

void File::append(EventRecord event) {
  rt::Lock lock(mutex_);
  const auto owner = members_.find(event.owner);
  if (owner == members_.end()) return;
  const bool was_pending = !events_.empty();
  queue(std::move(event), owner->second);
  tell(was_pending);
}

// Also on a closed channel: its closer destroys the listener, and only then, with no request in progress any more, the
// children behind it.
void File::append_request(EventRecord event) {
  rt::Lock lock(mutex_);
  const auto owner = members_.find(event.owner);
  HW_ASSERT(owner != members_.end(), "ucm-request-for-no-listener");
  const bool was_pending = !events_.empty();
  members_[event.id];
  queue(std::move(event), owner->second);
  tell(was_pending);
}

void File::mark_closed() {
  rt::Lock lock(mutex_);
  closed_ = true;
}

std::optional<Handle> File::first_member() const {
  rt::Lock lock(mutex_);
  if (members_.empty()) return std::nullopt;
  return members_.begin()->first;
}

void File::wait_until_left(Handle id) {
  rt::Lock lock(mutex_);
  while (members_.contains(id)) left_.wait(mutex_);
}

void File::queue(EventRecord event, Member& owner) {
  log::debug("id {}: {}, status {}", event.id, cma::name(event.type), event.status);
  events_.push_back(std::move(event));
  ++owner.queued;
}

void File::tell(bool was_pending) {
  if (const bool is_pending = !events_.empty(); is_pending != was_pending) notifier_->set_pending(is_pending);
}

}  // namespace hawser::ucm
