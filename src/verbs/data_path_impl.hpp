// Private to verbs: what DataPath and Qp share.
#pragma once

#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include <boost/intrusive/set.hpp>

#include "verbs/data_path.hpp"
#include "verbs/qp.hpp"

namespace hawser::verbs {

// Thread-safe.
struct DataPath::Impl {
  Impl(rt::World& w, fabric::Fabric& f, DeviceTable& d, QpnSpace& q, roce::RcLimits l)
      : world(w), fabric(f), devices(d), qpns(q), limits(l), gsi(f, d), groups(f), lease_batch(f) {}

  // The QP table.
  void insert(const std::shared_ptr<Qp>& qp);
  void erase(Qp& qp);
  [[nodiscard]] std::shared_ptr<Qp> find(Qpn qpn);

  // Which QPs hear which group on which interface. The process is a member of the groups while they do.
  Status attach(const std::shared_ptr<Qp>& qp, const Gid& group);
  Status detach(Qp& qp, const Gid& group);
  [[nodiscard]] bool attached(const Qp& qp);

  // Makes `qp`'s timer run out at `deadline` (time_never: not at all). True if it became the earliest.
  bool arm(Qp& qp, rt::Time deadline);
  [[nodiscard]] std::vector<std::shared_ptr<Qp>> take_due(rt::Time now);
  void publish_deadline() HW_REQUIRES(timer_mutex);

  // Batches for calls that do not hold the receive lease.
  [[nodiscard]] std::unique_ptr<TransmitBatch> borrow_batch();
  void give_back(std::unique_ptr<TransmitBatch> batch);

  void dispatch(const fabric::InDatagram& datagram, TransmitBatch& batch, std::vector<std::shared_ptr<Qp>>& touched);
  void dispatch_to_group(const roce::Packet& packet, const fabric::InDatagram& datagram, TransmitBatch& batch);
  void count_delivery(Qp::Delivery delivery);
  void end_round(TransmitBatch& batch, std::vector<std::shared_ptr<Qp>>& touched);

  rt::World& world;
  fabric::Fabric& fabric;
  DeviceTable& devices;
  QpnSpace& qpns;
  const roce::RcLimits limits;
  Gsi gsi;
  MulticastGroups groups;
  std::function<void()> timer_notify;
  std::function<void(Qpn)> established;
  std::function<roce::PeerActivity(Qpn)> peer_activity;

  rt::Mutex table_mutex{rt::LockRank::verbs_object};
  std::unordered_map<Qpn, std::shared_ptr<Qp>> table HW_GUARDED_BY(table_mutex);

  using Group = std::pair<std::uint32_t, Gid>;  // interface index
  std::map<Group, std::vector<std::shared_ptr<Qp>>> group_members HW_GUARDED_BY(table_mutex);

  // A leaf, taken under QP locks; it and a MemoryTable's never nest.
  rt::Mutex timer_mutex{rt::LockRank::memory};
  boost::intrusive::multiset<QpTimer, boost::intrusive::constant_time_size<false>> timers HW_GUARDED_BY(timer_mutex);
  rt::Atomic<rt::Time> next_deadline{rt::time_never};

  rt::Mutex batch_mutex{rt::LockRank::verbs_object};
  std::vector<std::unique_ptr<TransmitBatch>> batches HW_GUARDED_BY(batch_mutex);

  // The receive lease holder's own.
  TransmitBatch lease_batch;
  std::vector<std::shared_ptr<Qp>> lease_touched;

  struct {
    std::atomic<std::uint64_t> datagrams{0}, malformed{0}, bad_icrc{0}, bad_pkey{0}, unknown_qp{0}, unknown_address{0},
        misdirected{0}, unknown_group{0}, bad_qkey{0}, no_receive{0}, too_long{0}, wrong_transport{0},
        sends_too_long{0};
  } counters;
};

}  // namespace hawser::verbs
