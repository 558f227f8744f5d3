// Requests that wait for an answer: retransmission of the same bytes, and the limit of outstanding MADs per destination
// that keeps a peer's socket buffer from overflowing (DESIGN 2) [spec 5.6.7, 5.6.11].
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
  verbs::MadAddress to;
  verbs::Mad mad{};
  rt::Duration timeout{};  // per transmission
  unsigned retries{};      // transmissions after the first
  bool report_unreachable{};
  CommId peer;  // whose answer is awaited; 0 while that is not known
  std::weak_ptr<Endpoint> owner;
};

// Names one submitted request; the value 0 names none. Never used twice.
using RequestToken = Named<struct RequestTokenTag, std::uint64_t>;

class Window {
 public:
  // Called on the dispatcher, with no lock held, when the last retransmission was not answered.
  using Expired = std::function<void(Endpoint& owner, RequestToken token)>;
  // `places`: how many requests may be outstanding per destination and lane.
  Window(rt::Dispatcher& dispatcher, MadSender& sender, CounterSet& counters, unsigned places, Expired expired);
  ~Window();

  // Whether the process of a communication id is stopped: it will find what was sent, so that a timeout sends nothing
  // and costs no retry (DESIGN 1). Called with the window's lock held; must not block. Set before anything is sent.
  using PeerStopped = std::function<bool(const verbs::MadAddress& to, CommId peer)>;
  void set_peer_stopped(PeerStopped stopped) { peer_stopped_ = std::move(stopped); }

  // Sends now, or when a place becomes free; first come, first served.
  [[nodiscard]] RequestToken submit(Request request);
  // The answer came, or nobody wants it any more. False if the request is gone already.
  bool cancel(RequestToken token);
  // The peer asked for more time (MRA): the running wait becomes `timeout` from now, and so do later ones. The peer has
  // the message in hand, so its place in the window is free for the next. False if the request is not outstanding.
  bool extend(RequestToken token, rt::Duration timeout);

  [[nodiscard]] std::size_t size() const;  // outstanding and waiting

 private:
  // REQs of one side must not hold back REPs, or two hosts that connect to each other wait for ever [spec 4 #61]; a
  // DREQ must not wait until a busy server has accepted others.
  enum class LaneKind : std::uint8_t { opening, progressing };
  struct LaneKey {
    Gid remote;
    std::uint32_t interface{};
    LaneKind kind{};
    auto operator<=>(const LaneKey&) const = default;
  };
  struct Lane {
    unsigned outstanding = 0;
    std::set<RequestToken> waiting;  // tokens grow: first in, first out
  };
  struct Entry {
    Request request;
    rt::Time deadline{};       // time_never while waiting for a place
    bool holds_place = false;  // counts in Lane::outstanding
  };
  using Entries = std::map<RequestToken, Entry>;

  static LaneKey lane_key(const Request& request);
  void transmit(RequestToken token, Entry& entry) HW_REQUIRES(mutex_);
  void remove(Entries::iterator at) HW_REQUIRES(mutex_);
  void release_place(Entry& entry) HW_REQUIRES(mutex_);
  void start_waiting(const LaneKey& key) HW_REQUIRES(mutex_);
  [[nodiscard]] bool waits_for_stopped_peer(const Request& request) const;
  void wait_again(RequestToken token, Entry& entry) HW_REQUIRES(mutex_);
  void count_retransmission(RequestKind kind);
  void rearm() HW_REQUIRES(mutex_);
  void on_timer();

  rt::Dispatcher& dispatcher_;
  MadSender& sender_;
  CounterSet& counters_;
  const unsigned places_;
  const Expired expired_;
  PeerStopped peer_stopped_;
  mutable rt::Mutex mutex_{rt::LockRank::cm_window};
  Entries entries_ HW_GUARDED_BY(mutex_);
  std::map<LaneKey, Lane> lanes_ HW_GUARDED_BY(mutex_);
  std::set<std::pair<rt::Time, RequestToken>> deadlines_ HW_GUARDED_BY(mutex_);
  std::uint64_t last_token_ HW_GUARDED_BY(mutex_) = 0;
  rt::Time armed_ HW_GUARDED_BY(mutex_) = rt::time_never;
  rt::Timer timer_;  // one for all, so that no timer's life hangs on a connection's
};

}  // namespace hawser::cm
