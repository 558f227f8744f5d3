// The IB connection manager of one Stack [spec 5]: tables, demultiplexing, retries, duplicates, stale connections,
// timewait.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.hpp"
#include "cm/connection.hpp"
#include "cm/types.hpp"
#include "runtime/dispatcher.hpp"
#include "verbs/gsi.hpp"

namespace hawser::cm {

// Where communication ids come from: the process's lease (DESIGN 2), or a range of one's own. Thread-safe.
class CommIdSpace {
 public:
  virtual ~CommIdSpace() = default;
  virtual Result<CommId> allocate() = 0;  // ENOMEM when all are in use; never one that was freed a moment ago
  virtual void release(CommId id) = 0;
};

// How MADs leave: verbs::Gsi in production.
class MadSender {
 public:
  virtual ~MadSender() = default;
  virtual Status send(const verbs::MadAddress& to, const verbs::Mad& mad) = 0;
};

struct Counters {
  std::uint64_t req_sent{}, req_received{}, req_retransmitted{}, rep_retransmitted{}, dreq_retransmitted{},
      duplicates{}, stale{}, rejects_sent{}, malformed{}, unmatched{}, dropped_queue_full{}, window_waits{};
};

// Thread-safe.
class Manager {
 public:
  Manager(rt::Dispatcher& dispatcher, MadSender& sender, CommIdSpace& ids);
  ~Manager();  // every connection must be destroyed; those in timewait end with it

  [[nodiscard]] Result<Connection*> create(Handler handler);
  // Ends a connection as [spec 5.5, row destroy] says (REJ, DREQ, … where the state demands it), waits until its
  // handler is not running, frees it. Must not be called from that connection's own handler (return ≠ 0 there) nor with
  // a handler_mutex held. `reason` is the errno that a handler gave, 0 otherwise.
  void destroy(Connection* connection, int reason = 0);

  // Connections for REQs to `service_id` on `device` (every device if null). Listeners with the same device and service
  // are shared: `handler` decides by address. EINVAL if another handler token holds the service exclusively. [spec 1.9:
  // shared service ids]. The listener is reference counted: unlisten() returns at once, a REQ that is being handled
  // keeps what it needs [spec 2.6].
  class Listener;
  [[nodiscard]] Result<std::shared_ptr<Listener>> listen(verbs::DevicePtr device, ServiceId service_id,
                                                         Handler handler);
  // Afterwards the handler is not running (unless called from within it) and is not called again.
  void unlisten(const std::shared_ptr<Listener>& listener);

  // A MAD arrived (data-path context: queues it, bounded, and posts work to the dispatcher).
  void on_mad(const verbs::DevicePtr& device, const verbs::MadAddress& from, const verbs::Mad& mad);
  // The first request arrived on this QP before the RTU: the connection is established (async event COMM_EST).
  void on_communication_established(Qpn local_qpn);
  [[nodiscard]] Counters counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hawser::cm
