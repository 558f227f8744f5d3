// Requests that wait for an answer: retransmission of the same bytes, and limits that keep a peer's socket buffer from
// overflowing (DESIGN 2) [spec 5.6.7, 5.6.11].
//
// A request leaves when its lane has a place for it, and gives the place back when its first wait ends: the answer
// shows that somebody reads there; after a timeout the MAD is in no buffer any more. So an answering peer paces what is
// sent to it. The rest is paced by the clock: retransmissions, and what a lane sends that widens. It widens by a place
// for each request that is not answered in time, until an answer comes: a host that is dead or deaf holds back nobody.
//
// Thread-safe; timers run on the dispatcher. MADs leave under the window's mutex, so that they leave in order.
#pragma once

#include <compare>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "base/types.hpp"
#include "cm/counters.hpp"
#include "cm/manager.hpp"
#include "runtime/dispatcher.hpp"
#include "verbs/gsi.hpp"

namespace hawser::cm {

class Endpoint;

enum class RequestKind : std::uint8_t { req, sidr_req, rep, dreq };

struct Request {
  RequestKind kind{};
  ServiceId service{};  // that a REQ or SIDR_REQ asks for
  verbs::MadAddress to{};
  verbs::Mad mad{};
  rt::Duration timeout{};  // per transmission
  unsigned retries{};      // transmissions after the first
  bool report_unreachable{};
  CommId peer{};  // whose answer is awaited; 0 while that is not known
  std::weak_ptr<Endpoint> owner{};
};

// Names one submitted request; the value 0 names none. Never used twice.
using RequestToken = Named<struct RequestTokenTag, std::uint64_t>;

class Window {
 public:
  // Called on the dispatcher, with no lock held, when the last retransmission was not answered.
  using Expired = std::function<void(Endpoint& owner, RequestToken token)>;
  // `places`: how many requests of a lane may be outstanding, and how many leave it at a time where the clock paces.
  Window(rt::Dispatcher& dispatcher, MadSender& sender, CounterSet& counters, unsigned places, Expired expired);
  ~Window();

  // Whether the process of a communication id is stopped: it will find what was sent, so that a timeout sends nothing
  // and costs no retry (DESIGN 1). Called with the window's lock held; must not block. Set before anything is sent.
  using PeerStopped = std::function<bool(const verbs::MadAddress& to, CommId peer)>;
  void set_peer_stopped(PeerStopped stopped) { peer_stopped_ = std::move(stopped); }

  // Sends now, or when a place becomes free; first come, first served.
  [[nodiscard]] RequestToken submit(Request request);
  // The answer came. False if the request is gone already.
  bool answered(RequestToken token) { return end(token, true); }
  // Nobody wants the answer any more. False if the request is gone already.
  bool cancel(RequestToken token) { return end(token, false); }
  // The peer asked for more time (MRA): the running wait becomes `timeout` from now, and so do later ones. The peer has
  // the message in hand, so its place in the window is free for the next. False if the request has not left.
  bool extend(RequestToken token, rt::Duration timeout);

  [[nodiscard]] std::size_t size() const;  // outstanding and waiting

 private:
  // What waits in one lane does not hold back another: REPs and REQs, or two hosts that connect to each other wait for
  // ever [spec 4 #61]; DREQs and the rest, for nobody may be there to answer them; services, for one may be deaf.
  struct LaneKey {
    Gid remote;
    std::uint32_t interface{};
    RequestKind kind{};
    ServiceId service;
    auto operator<=>(const LaneKey&) const = default;
  };
  struct Lane {
    std::size_t outstanding = 0;     // hold a place
    std::size_t widened_by = 0;      // places more than usual
    std::size_t members = 0;         // requests in all
    std::set<RequestToken> waiting;  // for a place; tokens grow: first in, first out
    rt::Time turn{};                 // of the last that left by the clock
    std::size_t in_turn = 0;         // how many leave with it
  };
  using Lanes = std::map<LaneKey, Lane>;
  struct Entry {
    Request request;
    Lanes::iterator lane;
    rt::Time deadline = rt::time_never;  // when it leaves, or its wait is over; time_never while it waits for a place
    bool holds_place = false;
    bool leaves = false;    // at the deadline
    bool has_left = false;  // once at least
  };
  using Entries = std::map<RequestToken, Entry>;

  bool end(RequestToken token, bool answered);
  void remove(Entries::iterator at) HW_REQUIRES(mutex_);
  void start_waiting(Lane& lane) HW_REQUIRES(mutex_);
  void release_place(Entry& entry) HW_REQUIRES(mutex_);
  void leave(RequestToken token, Entry& entry) HW_REQUIRES(mutex_);
  [[nodiscard]] rt::Time next_turn(Lane& lane, rt::Time now) const HW_REQUIRES(mutex_);
  void transmit(RequestToken token, Entry& entry) HW_REQUIRES(mutex_);
  void wait_for_answer(RequestToken token, Entry& entry) HW_REQUIRES(mutex_);
  void set_deadline(RequestToken token, Entry& entry, rt::Time deadline) HW_REQUIRES(mutex_);
  [[nodiscard]] bool try_again(RequestToken token, Entry& entry) HW_REQUIRES(mutex_);
  [[nodiscard]] bool waits_for_stopped_peer(const Request& request) const;
  void count_retransmission(RequestKind kind);
  void rearm() HW_REQUIRES(mutex_);
  void on_timer();

  rt::Dispatcher& dispatcher_;
  MadSender& sender_;
  CounterSet& counters_;
  const std::size_t places_;
  const Expired expired_;
  PeerStopped peer_stopped_;
  mutable rt::Mutex mutex_{rt::LockRank::cm_window};
  Entries entries_ HW_GUARDED_BY(mutex_);
  Lanes lanes_ HW_GUARDED_BY(mutex_);
  std::set<std::pair<rt::Time, RequestToken>> deadlines_ HW_GUARDED_BY(mutex_);
  std::uint64_t last_token_ HW_GUARDED_BY(mutex_) = 0;
  rt::Time armed_ HW_GUARDED_BY(mutex_) = rt::time_never;
  rt::Timer timer_;  // one for all, so that no timer's life hangs on a connection's
};

}  // namespace hawser::cm
