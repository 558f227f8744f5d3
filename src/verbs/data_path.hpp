// Where datagrams and queue pairs meet: demultiplexing by QPN and by multicast group, RC timers, QP 1.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/result.hpp"
#include "base/types.hpp"
#include "fabric/fabric.hpp"
#include "roce/rc_qp.hpp"
#include "runtime/sync.hpp"
#include "runtime/world.hpp"
#include "verbs/device.hpp"
#include "verbs/gsi.hpp"
#include "verbs/multicast.hpp"

namespace hawser::verbs {

class Qp;

// Where QPNs come from: the process's lease (DESIGN 2), or a range of one's own. Thread-safe.
class QpnSpace {
 public:
  virtual ~QpnSpace() = default;
  virtual Result<Qpn> allocate() = 0;  // ENOMEM; cyclic from a random start: a freed QPN is not handed out again soon
  virtual void release(Qpn qpn) = 0;
  // Whether this process hands out such QPNs: a datagram for another one was misdirected. For counting only.
  [[nodiscard]] virtual bool owns(Qpn) const { return true; }
};

struct DataPathCounters {
  std::uint64_t datagrams{}, malformed{}, bad_icrc{}, bad_pkey{}, unknown_qp{}, unknown_address{}, misdirected{};
  // Of datagram QPs.
  std::uint64_t unknown_group{}, bad_qkey{}, no_receive{}, too_long{}, wrong_transport{}, sends_too_long{};
};

// Thread-safe towards programs (post, poll, create, destroy) and deliver(); receive() and on_time() are called by the
// holder of the receive lease, one thread at a time. Never takes a handler_mutex and never runs user code.
class DataPath {
 public:
  DataPath(rt::World& world, fabric::Fabric& fabric, DeviceTable& devices, QpnSpace& qpns, roce::RcLimits limits);
  ~DataPath();  // every QP must be destroyed

  // Takes everything that has arrived (at most `budget` datagrams), lets QPs answer, flushes held-back ACKs.
  // Returns how many datagrams it took.
  std::size_t receive(std::size_t budget);
  // A datagram that reached this process another way (relayed by the agent): as if it had arrived on the fabric.
  void deliver(const fabric::InDatagram& datagram);
  // RC timers that are due at `now`.
  void on_time(rt::Time now);
  [[nodiscard]] rt::Time next_deadline() const;  // one atomic load
  // Called, with no lock of verbs held, when a timer became the earliest. It must only wake somebody.
  void set_timer_notify(std::function<void()> notify);
  // The responder of a QP saw its first request: the CM may take the connection for established. Called with no lock of
  // verbs held, in a data-path context: it must only queue.
  void set_communication_established(std::function<void(Qpn)> callback);

  // Asked, with a QP's lock held, when a timeout to a peer of this host has run out. Must not block.
  void set_peer_activity(std::function<roce::PeerActivity(Qpn)> activity);

  // The device has gone: its QPs go to ERR and complete their work requests with flush errors.
  void fail_device(const Device& device);

  [[nodiscard]] Gsi& gsi();
  [[nodiscard]] MulticastGroups& multicast_groups();
  [[nodiscard]] DataPathCounters counters() const;

 private:
  friend class Qp;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hawser::verbs
