// What has arrived and waits for the dispatcher: MADs (bounded, dropped when full as a socket buffer would) and notes
// of established connections. Thread-safe; filled in data-path context, so it only queues (DESIGN 1).
// [spec 5.8.1, 2.3.2]
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <variant>

#include "base/types.hpp"
#include "cm/counters.hpp"
#include "runtime/dispatcher.hpp"
#include "verbs/device.hpp"
#include "verbs/gsi.hpp"

namespace hawser::cm {

class Endpoint;

class Inbox {
 public:
  struct Arrival {
    verbs::DevicePtr device;
    verbs::MadAddress from;
    verbs::Mad mad;
  };
  // A MAD of ours came back: nobody receives there.
  struct Unreachable {
    Gid remote;
    verbs::Mad mad;
  };
  // A QP received its first request, or an endpoint established itself and owes its handler the event.
  using Item = std::variant<Arrival, Qpn, std::weak_ptr<Endpoint>, Unreachable>;
  using Process = std::function<void(const Item&)>;  // on the dispatcher, no lock held

  Inbox(rt::Dispatcher& dispatcher, CounterSet& counters, std::size_t arrivals_max, Process process);
  ~Inbox();  // drops what is queued

  void push_arrival(Arrival arrival);
  void push(Qpn qpn);
  void push(Unreachable unreachable);
  void push(std::weak_ptr<Endpoint> endpoint);

 private:
  void push_item(Item item);
  void run_one();

  rt::Dispatcher& dispatcher_;
  CounterSet& counters_;
  const std::size_t arrivals_max_;
  const Process process_;
  rt::Mutex mutex_{rt::LockRank::cm_window};
  std::deque<Item> items_ HW_GUARDED_BY(mutex_);
  std::size_t arrivals_ HW_GUARDED_BY(mutex_) = 0;
  rt::Work work_;
};

}  // namespace hawser::cm
