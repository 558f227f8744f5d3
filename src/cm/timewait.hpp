// Connections that ended but whose packets may still be on their way [spec 5.6]. An entry keeps the communication id
// from being used again and outlives its connection. Thread-safe; the timer runs on the dispatcher.
// [spec 5.6.1, 5.6.6, 1.12.8]
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "base/types.hpp"
#include "cm/comm_id.hpp"
#include "cm/ledger.hpp"
#include "runtime/dispatcher.hpp"

namespace hawser::cm {

class Endpoint;

class Timewait {
 public:
  struct Entry {
    std::shared_ptr<const CommIdLease> id;
    Qpn remote_qpn;
    std::weak_ptr<Endpoint> owner;
    LedgerHold farewell;  // of a connection whose last DREQ nobody has answered yet
  };
  // Called on the dispatcher, with no lock held, for an entry whose time is over and whose connection still exists.
  using Over = std::function<void(Endpoint& owner, Qpn remote_qpn)>;

  Timewait(rt::Dispatcher& dispatcher, Over over);
  ~Timewait();  // ends all entries

  void add(Entry entry, rt::Duration duration);
  // All that is in timewait now is over now; how many that were.
  std::size_t end_all();
  [[nodiscard]] std::size_t size() const;

 private:
  void rearm() HW_REQUIRES(mutex_);
  void on_timer();

  rt::Dispatcher& dispatcher_;
  const Over over_;
  mutable rt::Mutex mutex_{rt::LockRank::cm_window};
  std::multimap<rt::Time, Entry> entries_ HW_GUARDED_BY(mutex_);
  rt::Time armed_ HW_GUARDED_BY(mutex_) = rt::time_never;
  rt::Timer timer_;
};

}  // namespace hawser::cm
