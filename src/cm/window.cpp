#include "cm/window.hpp"

#include <chrono>
#include <vector>

namespace hawser::cm {
namespace {

// Whoever reads once in this time keeps up with what the clock lets leave: 64 places are 6,400 MADs a second.
constexpr rt::Duration between_turns = std::chrono::milliseconds(10);

}  // namespace

Window::Window(rt::Dispatcher& dispatcher, MadSender& sender, CounterSet& counters, unsigned places, Expired expired)
    : dispatcher_(dispatcher),
      sender_(sender),
      counters_(counters),
      places_(places),
      expired_(std::move(expired)),
      timer_([this] { on_timer(); }) {}

Window::~Window() { dispatcher_.cancel_sync(timer_); }

RequestToken Window::submit(Request request) {
  rt::Lock lock(mutex_);
  const RequestToken token(++last_token_);
  const LaneKey key{request.to.remote, request.to.interface, request.kind, request.service};
  const auto lane = lanes_.try_emplace(key).first;
  Entry& entry = entries_.emplace(token, Entry{std::move(request), lane}).first->second;
  ++lane->second.members;
  lane->second.waiting.insert(token);
  start_waiting(lane->second);
  if (!entry.holds_place) counters_.window_waits.count();
  rearm();
  return token;
}

bool Window::end(RequestToken token, bool answered) {
  rt::Lock lock(mutex_);
  const auto at = entries_.find(token);
  if (at == entries_.end()) return false;
  if (answered) at->second.lane->second.widened_by = 0;
  remove(at);
  rearm();
  return true;
}

bool Window::extend(RequestToken token, rt::Duration timeout) {
  rt::Lock lock(mutex_);
  const auto at = entries_.find(token);
  if (at == entries_.end() || !at->second.has_left) return false;
  Entry& entry = at->second;
  entry.request.timeout = timeout;
  wait_for_answer(token, entry);
  entry.lane->second.widened_by = 0;
  release_place(entry);
  rearm();
  return true;
}

std::size_t Window::size() const {
  rt::Lock lock(mutex_);
  return entries_.size();
}

void Window::remove(Entries::iterator at) {
  const RequestToken token = at->first;
  Entry& entry = at->second;
  const auto lane = entry.lane;
  if (entry.deadline != rt::time_never) deadlines_.erase({entry.deadline, token});
  lane->second.waiting.erase(token);
  release_place(entry);
  entries_.erase(at);
  if (--lane->second.members == 0) lanes_.erase(lane);
}

void Window::release_place(Entry& entry) {
  if (!entry.holds_place) return;
  entry.holds_place = false;
  Lane& lane = entry.lane->second;
  --lane.outstanding;
  start_waiting(lane);
}

void Window::start_waiting(Lane& lane) {
  while (lane.outstanding < places_ + lane.widened_by && !lane.waiting.empty()) {
    const RequestToken token = *lane.waiting.begin();
    lane.waiting.erase(lane.waiting.begin());
    Entry& entry = entries_.at(token);
    ++lane.outstanding;
    entry.holds_place = true;
    leave(token, entry);
  }
}

// Now, or by the clock where no answers pace.
void Window::leave(RequestToken token, Entry& entry) {
  Lane& lane = entry.lane->second;
  const rt::Time now = dispatcher_.world().now();
  const rt::Time when = entry.has_left || lane.widened_by > 0 ? next_turn(lane, now) : now;
  if (when <= now) return transmit(token, entry);
  entry.leaves = true;
  set_deadline(token, entry, when);
}

rt::Time Window::next_turn(Lane& lane, rt::Time now) const {
  if (lane.turn + between_turns <= now) {
    lane.turn = now;
    lane.in_turn = 0;
  } else if (lane.in_turn == places_) {
    lane.turn += between_turns;
    lane.in_turn = 0;
  }
  ++lane.in_turn;
  return lane.turn;
}

void Window::transmit(RequestToken token, Entry& entry) {
  const Request& request = entry.request;
  if (entry.has_left) count_retransmission(request.kind);
  entry.has_left = true;
  wait_for_answer(token, entry);
  if (request.report_unreachable) return sender_.send_reporting(request.to, request.mad);
  sender_.send(request.to, request.mad);
}

// From when the MAD leaves, not from when it was submitted.
void Window::wait_for_answer(RequestToken token, Entry& entry) {
  entry.leaves = false;
  set_deadline(token, entry, dispatcher_.world().now() + entry.request.timeout);
}

void Window::set_deadline(RequestToken token, Entry& entry, rt::Time deadline) {
  if (entry.deadline != rt::time_never) deadlines_.erase({entry.deadline, token});
  entry.deadline = deadline;
  deadlines_.emplace(deadline, token);
}

// What waits for a place goes before what has had its chance. False: that was the last wait.
bool Window::try_again(RequestToken token, Entry& entry) {
  if (entry.holds_place) {
    ++entry.lane->second.widened_by;
    release_place(entry);
  }
  if (waits_for_stopped_peer(entry.request)) {
    wait_for_answer(token, entry);
    return true;
  }
  if (entry.request.retries == 0) return false;
  --entry.request.retries;
  leave(token, entry);
  return true;
}

// [spec 5.6.13]
bool Window::waits_for_stopped_peer(const Request& request) const {
  return request.peer.value != 0 && peer_stopped_ && peer_stopped_(request.to, request.peer);
}

void Window::count_retransmission(RequestKind kind) {
  switch (kind) {
    case RequestKind::req: counters_.req_retransmitted.count(); break;
    case RequestKind::sidr_req: counters_.sidr_req_retransmitted.count(); break;
    case RequestKind::rep: counters_.rep_retransmitted.count(); break;
    case RequestKind::dreq: counters_.dreq_retransmitted.count(); break;
  }
}

void Window::rearm() {
  const rt::Time first = deadlines_.empty() ? rt::time_never : deadlines_.begin()->first;
  if (first == armed_) return;
  armed_ = first;
  if (first == rt::time_never) {
    dispatcher_.cancel(timer_);
  } else {
    dispatcher_.arm(timer_, first);
  }
}

void Window::on_timer() {
  std::vector<std::pair<RequestToken, std::weak_ptr<Endpoint>>> expired;
  {
    rt::Lock lock(mutex_);
    armed_ = rt::time_never;
    const rt::Time now = dispatcher_.world().now();
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
      const RequestToken token = deadlines_.begin()->second;
      const auto at = entries_.find(token);
      Entry& entry = at->second;
      if (entry.leaves) {
        transmit(token, entry);
      } else if (!try_again(token, entry)) {
        expired.emplace_back(token, entry.request.owner);
        remove(at);
      }
    }
    rearm();
  }
  for (const auto& [token, owner] : expired) {
    if (const auto endpoint = owner.lock()) expired_(*endpoint, token);
  }
}

}  // namespace hawser::cm
