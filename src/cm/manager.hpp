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

// How MADs leave: verbs::Gsi in production. What this host cannot send is lost as on the wire, and nobody is told: a
// request is repeated, an answer asked for again [spec 5.6.14].
class MadSender {
 public:
  virtual ~MadSender() = default;
  virtual void send(const verbs::MadAddress& to, const verbs::Mad& mad) = 0;
  // As send(), in a way that Manager::on_unreachable() hears of it when nobody receives at that address. Where there is
  // no such way it is send().
  virtual void send_reporting(const verbs::MadAddress& to, const verbs::Mad& mad) { send(to, mad); }
};

struct Counters {
  std::uint64_t req_sent{}, req_received{}, req_retransmitted{}, rep_retransmitted{}, dreq_retransmitted{},
      duplicates{}, stale{}, rejects_sent{}, malformed{}, unmatched{}, dropped_queue_full{}, window_waits{},
      sidr_req_sent{}, sidr_req_received{}, sidr_req_retransmitted{};
};

struct Limits {
  unsigned window_places = 64;    // requests of a kind outstanding per destination and service (window.hpp)
  std::size_t inbox_mads = 4096;  // MADs that wait for the dispatcher; more are dropped and counted
};

// How much is kept at the moment; all 0 when everything ended.
struct Usage {
  std::size_t connections{}, remote_ids{}, remote_qpns{}, awaiting_rtu{}, requests{}, timewait{}, listeners{},
      sidr_requests{};
  bool operator==(const Usage&) const = default;
};

struct Core;  // private to the room

// Thread-safe.
class Manager {
 public:
  Manager(rt::Dispatcher& dispatcher, MadSender& sender, CommIdSpace& ids, const Limits& limits = {});
  ~Manager();  // every connection must be destroyed; those in timewait end with it

  [[nodiscard]] Result<Connection*> create(Handler handler);
  // Ends a connection as [spec 5.5.21] says (REJ, DREQ, … where the state demands it), waits until its
  // handler is not running, frees it. Must not be called from that connection's own handler (return ≠ 0 there) nor with
  // a handler_mutex held. `reason` is the errno that a handler gave, 0 otherwise.
  void destroy(Connection* connection, int reason = 0);

  // Connections for REQs and SIDR_REQs to `service_id` on `device` (every device if null). Listeners with the same
  // device and service share it: a REQ is offered to one after the other until a handler takes or refuses it (see
  // Handler) [spec 1.9]. EINVAL without a handler. The listener is reference counted: a REQ that is being handled keeps
  // what it needs [spec 2.6].
  class Listener;
  [[nodiscard]] Result<std::shared_ptr<Listener>> listen(verbs::DevicePtr device, ServiceId service_id,
                                                         Handler handler);
  // Afterwards the handler is not running (unless called from within it) and is not called again.
  void unlisten(const std::shared_ptr<Listener>& listener);

  // A MAD arrived (data-path context: queues it, bounded, and posts work to the dispatcher).
  void on_mad(const verbs::DevicePtr& device, const verbs::MadAddress& from, const verbs::Mad& mad);
  // The other host said that nobody receives there what we sent (ICMP "port unreachable"). Ends a REQ or SIDR_REQ that
  // asked for it; everything else waits, as in the kernel. From any thread: it only queues.
  void on_unreachable(const Gid& remote, const verbs::Mad& mad);
  // The first request arrived on this QP before the RTU: the connection is established (async event COMM_EST).
  void on_communication_established(Qpn local_qpn);
  // Whether the process at `to` that has this communication id is stopped; must not block. Set before anything is sent.
  void set_peer_stopped(std::function<bool(const verbs::MadAddress& to, CommId peer)> stopped);
  // Every connection that is in timewait leaves it at once (a fault on purpose); how many there were.
  std::size_t end_timewait();
  [[nodiscard]] Counters counters() const;
  [[nodiscard]] Usage usage() const;

 private:
  std::unique_ptr<Core> core_;
};

}  // namespace hawser::cm
