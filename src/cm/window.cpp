#include "cm/window.hpp"

#include <vector>

namespace hawser::cm {

Window::Window(rt::Dispatcher& dispatcher, MadSender& sender, CounterSet& counters, unsigned places, Expired expired)
    : dispatcher_(dispatcher),
      sender_(sender),
      counters_(counters),
      places_(places),
      expired_(std::move(expired)),
      timer_([this] { on_timer(); }) {}

Window::~Window() { dispatcher_.cancel_sync(timer_); }

Window::LaneKey Window::lane_key(const Request& request) {
  const bool opening = request.kind == RequestKind::req || request.kind == RequestKind::sidr_req;
  return {request.to.remote, request.to.interface, opening ? LaneKind::opening : LaneKind::progressing};
}

RequestToken Window::submit(Request request) {
  rt::Lock lock(mutex_);
  const RequestToken token(++last_token_);
  const LaneKey key = lane_key(request);
  const auto at = entries_.emplace(token, Entry{std::move(request), rt::time_never, false}).first;
  Lane& lane = lanes_[key];
  if (lane.outstanding >= places_ || !lane.waiting.empty()) {
    lane.waiting.insert(token);
    counters_.window_waits.count();
    return token;
  }
  ++lane.outstanding;
  at->second.holds_place = true;
  transmit(token, at->second);
  rearm();
  return token;
}

bool Window::cancel(RequestToken token) {
  rt::Lock lock(mutex_);
  const auto at = entries_.find(token);
  if (at == entries_.end()) return false;
  remove(at);
  rearm();
  return true;
}

bool Window::extend(RequestToken token, rt::Duration timeout) {
  rt::Lock lock(mutex_);
  const auto at = entries_.find(token);
  if (at == entries_.end() || at->second.deadline == rt::time_never) return false;
  Entry& entry = at->second;
  deadlines_.erase({entry.deadline, token});
  entry.request.timeout = timeout;
  entry.deadline = dispatcher_.world().now() + timeout;
  deadlines_.emplace(entry.deadline, token);
  release_place(entry);
  rearm();
  return true;
}

std::size_t Window::size() const {
  rt::Lock lock(mutex_);
  return entries_.size();
}

// The wait for the answer begins when the MAD leaves, not when it was submitted.
void Window::transmit(RequestToken token, Entry& entry) {
  wait_again(token, entry);
  const Request& request = entry.request;
  if (request.report_unreachable) return sender_.send_reporting(request.to, request.mad);
  sender_.send(request.to, request.mad);
}

void Window::wait_again(RequestToken token, Entry& entry) {
  entry.deadline = dispatcher_.world().now() + entry.request.timeout;
  deadlines_.emplace(entry.deadline, token);
}

// [spec 5.6.13]
bool Window::waits_for_stopped_peer(const Request& request) const {
  return request.peer.value != 0 && peer_stopped_ && peer_stopped_(request.to, request.peer);
}

void Window::remove(Entries::iterator at) {
  const RequestToken token = at->first;
  Entry& entry = at->second;
  if (entry.deadline != rt::time_never) deadlines_.erase({entry.deadline, token});
  if (entry.holds_place) {
    release_place(entry);
  } else if (const auto lane = lanes_.find(lane_key(entry.request)); lane != lanes_.end()) {
    lane->second.waiting.erase(token);
    if (lane->second.outstanding == 0 && lane->second.waiting.empty()) lanes_.erase(lane);
  }
  entries_.erase(at);
}

void Window::release_place(Entry& entry) {
  if (!entry.holds_place) return;
  entry.holds_place = false;
  const LaneKey key = lane_key(entry.request);
  --lanes_.at(key).outstanding;
  start_waiting(key);
}

void Window::start_waiting(const LaneKey& key) {
  const auto at = lanes_.find(key);
  Lane& lane = at->second;
  while (lane.outstanding < places_ && !lane.waiting.empty()) {
    const RequestToken token = *lane.waiting.begin();
    lane.waiting.erase(lane.waiting.begin());
    Entry& entry = entries_.at(token);
    ++lane.outstanding;
    entry.holds_place = true;
    transmit(token, entry);
  }
  if (lane.outstanding == 0 && lane.waiting.empty()) lanes_.erase(at);
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
      if (waits_for_stopped_peer(entry.request)) {
        deadlines_.erase(deadlines_.begin());
        wait_again(token, entry);
        continue;
      }
      if (entry.request.retries == 0) {
        expired.emplace_back(token, entry.request.owner);
        remove(at);
        continue;
      }
      --entry.request.retries;
      count_retransmission(entry.request.kind);
      deadlines_.erase(deadlines_.begin());
      transmit(token, entry);
    }
    rearm();
  }
  for (const auto& [token, owner] : expired) {
    if (const auto endpoint = owner.lock()) expired_(*endpoint, token);
  }
}

}  // namespace hawser::cm
