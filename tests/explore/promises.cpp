#include "promises.hpp"

namespace hawser::scenarios {

using cma::Entry;
using cma::EventType;

const char* EventOrder::next(EventType type) {
  if (removed_) return "an event after DEVICE_REMOVAL";
  switch (type) {
    case EventType::device_removal: removed_ = true; return nullptr;
    case EventType::established:
      if (established_ || ended_) return "ESTABLISHED twice or after the end";
      established_ = true;
      return nullptr;
    case EventType::connect_response:
      if (responded_ || ended_) return "CONNECT_RESPONSE twice or after the end";
      responded_ = true;
      return nullptr;
    case EventType::rejected:
    case EventType::disconnected:
      if (ended_) return "a second end of the connection";
      ended_ = true;
      return nullptr;
    case EventType::timewait_exit:
      if (!ended_ || timewait_over_) return "TIMEWAIT_EXIT twice or before the end";
      timewait_over_ = true;
      return nullptr;
    default: return nullptr;
  }
}

void Promises::started(Entry entry, bool with_success) {
  const TsanIgnore ignore;
  if (with_success) started_.insert(entry);
  if (entry == Entry::reject && with_success) gave_up_ = true;
  if (entry == Entry::accept && !with_success) gave_up_ = true;
  // Nobody looks any more after a connection that the peer may never have had.
  if (entry == Entry::notify_established && with_success) gave_up_ = vouched_ = true;
}

void Promises::told(EventType type) {
  const TsanIgnore ignore;
  told_.insert(type);
}

bool Promises::gave_up() const {
  const TsanIgnore ignore;
  return gave_up_;
}

bool Promises::ended() const {
  const TsanIgnore ignore;
  return count({EventType::rejected, EventType::unreachable, EventType::connect_error, EventType::disconnected}) > 0;
}

bool Promises::vouched() const {
  const TsanIgnore ignore;
  return vouched_;
}

bool Promises::removed() const {
  const TsanIgnore ignore;
  return told_.contains(EventType::device_removal);
}

std::size_t Promises::count(std::initializer_list<EventType> types) const {
  std::size_t sum = 0;
  for (const EventType type : types) sum += told_.count(type);
  return sum;
}

const char* Promises::missing(bool datagrams) const {
  if (removed()) return nullptr;
  const TsanIgnore ignore;
  if (count({EventType::addr_resolved, EventType::addr_error}) < started_.count(Entry::resolve_addr)) {
    return "resolve_addr() was never answered";
  }
  if (count({EventType::addrinfo_resolved, EventType::addrinfo_error}) < started_.count(Entry::resolve_service)) {
    return "resolve_service() was never answered";
  }
  if (count({EventType::route_resolved, EventType::route_error}) < started_.count(Entry::resolve_route)) {
    return "resolve_route() was never answered";
  }
  const bool connects = started_.contains(Entry::connect) || (started_.contains(Entry::accept) && !datagrams);
  // Of datagrams the answer is all there is.
  const bool answered = datagrams && count({EventType::established, EventType::addr_error}) > 0;
  return connects && !ended() && !answered && !gave_up_ ? "the end of a connection was never told" : nullptr;
}

}  // namespace hawser::scenarios
