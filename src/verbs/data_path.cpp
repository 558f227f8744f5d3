#include "verbs/data_path.hpp"

#include <algorithm>
#include <array>

#include "base/assert.hpp"
#include "roce/packet.hpp"
#include "verbs/count.hpp"
#include "verbs/data_path_impl.hpp"

namespace hawser::verbs {
namespace {

constexpr std::size_t round_datagrams = 32;  // received, answered and sent together

// Full or limited member of the default partition, as our only entry is a full member (IBTA 10.9.3).
bool pkey_matches(PKey pkey) { return (pkey.value & 0x7FFF) == (pkey_default.value & 0x7FFF); }

}  // namespace

void DataPath::Impl::insert(const std::shared_ptr<Qp>& qp) {
  rt::Lock lock(table_mutex);
  const bool is_new = table.emplace(qp->qpn(), qp).second;
  HW_ASSERT(is_new, "data-path-qpn-twice");
}

void DataPath::Impl::erase(Qp& qp) {
  std::shared_ptr<Qp> removed;  // its destructor runs without the lock
  {
    rt::Lock lock(table_mutex);
    const auto found = table.find(qp.qpn());
    if (found == table.end() || found->second.get() != &qp) return;
    removed = std::move(found->second);
    table.erase(found);
  }
  arm(qp, rt::time_never);
}

std::shared_ptr<Qp> DataPath::Impl::find(Qpn qpn) {
  rt::Lock lock(table_mutex);
  const auto found = table.find(qpn);
  return found == table.end() ? nullptr : found->second;
}

bool DataPath::Impl::arm(Qp& qp, rt::Time deadline) {
  QpTimer& timer = qp;
  rt::Lock lock(timer_mutex);
  if (timer.is_linked()) timers.erase(timers.iterator_to(timer));
  timer.deadline = deadline;
  if (deadline != rt::time_never) timers.insert(timer);
  publish_deadline();
  return deadline != rt::time_never && &*timers.begin() == &timer;
}

void DataPath::Impl::publish_deadline() {
  next_deadline.store(timers.empty() ? rt::time_never : timers.begin()->deadline);
}

std::vector<std::shared_ptr<Qp>> DataPath::Impl::take_due(rt::Time now) {
  std::vector<std::shared_ptr<Qp>> due;
  rt::Lock lock(timer_mutex);
  while (!timers.empty() && timers.begin()->deadline <= now) {
    // A QP whose last reference is going has been erased from the timers by then or will find itself unlinked.
    if (auto qp = static_cast<Qp&>(*timers.begin()).weak_from_this().lock()) due.push_back(std::move(qp));
    timers.erase(timers.begin());
  }
  publish_deadline();
  return due;
}

std::unique_ptr<TransmitBatch> DataPath::Impl::borrow_batch() {
  {
    rt::Lock lock(batch_mutex);
    if (!batches.empty()) {
      auto batch = std::move(batches.back());
      batches.pop_back();
      return batch;
    }
  }
  return std::make_unique<TransmitBatch>(fabric);
}

void DataPath::Impl::give_back(std::unique_ptr<TransmitBatch> batch) {
  rt::Lock lock(batch_mutex);
  batches.push_back(std::move(batch));
}

void DataPath::Impl::dispatch(const fabric::InDatagram& datagram, TransmitBatch& batch,
                              std::vector<std::shared_ptr<Qp>>& touched) {
  count(counters.datagrams);
  const auto packet = roce::decode(datagram);
  if (!packet) {
    return count(packet.error() == roce::DecodeError::bad_icrc ? counters.bad_icrc : counters.malformed);
  }
  if (!pkey_matches(packet->bth.pkey)) return count(counters.bad_pkey);
  const Qpn destination = packet->bth.destination;
  if (destination == qpn_gsi) return gsi.on_datagram(datagram);

  if (touched.empty() || touched.back()->qpn() != destination) {
    std::shared_ptr<Qp> qp = find(destination);
    if (!qp) return count(qpns.owns(destination) ? counters.unknown_qp : counters.misdirected);
    touched.push_back(std::move(qp));
  }
  switch (touched.back()->on_packet(*packet, datagram, batch)) {
    case Qp::Delivery::taken: return;
    case Qp::Delivery::unknown_address: return count(counters.unknown_address);
    case Qp::Delivery::not_ready: return count(counters.unknown_qp);
  }
}

void DataPath::Impl::end_round(TransmitBatch& batch, std::vector<std::shared_ptr<Qp>>& touched) {
  for (const std::shared_ptr<Qp>& qp : touched) qp->end_of_round(batch);
  touched.clear();
  batch.flush();
}

DataPath::DataPath(rt::World& world, fabric::Fabric& fabric, DeviceTable& devices, QpnSpace& qpns,
                   roce::RcLimits limits)
    : impl_(std::make_unique<Impl>(world, fabric, devices, qpns, limits)) {}

DataPath::~DataPath() {
  rt::Lock lock(impl_->table_mutex);
  HW_ASSERT(impl_->table.empty(), "data-path-destroyed-with-qps");
}

std::size_t DataPath::receive(std::size_t budget) {
  std::array<fabric::InDatagram, round_datagrams> datagrams;
  std::size_t taken = 0;
  while (taken < budget) {
    const auto room = std::span(datagrams).first(std::min(budget - taken, round_datagrams));
    const std::size_t count = impl_->fabric.receive(room);
    for (const fabric::InDatagram& datagram : room.first(count)) {
      impl_->dispatch(datagram, impl_->lease_batch, impl_->lease_touched);
    }
    impl_->end_round(impl_->lease_batch, impl_->lease_touched);
    taken += count;
    if (count < room.size()) break;
  }
  return taken;
}

void DataPath::deliver(const fabric::InDatagram& datagram) {
  auto batch = impl_->borrow_batch();
  std::vector<std::shared_ptr<Qp>> touched;
  impl_->dispatch(datagram, *batch, touched);
  impl_->end_round(*batch, touched);
  impl_->give_back(std::move(batch));
}

void DataPath::on_time(rt::Time now) {
  if (next_deadline() > now) return;
  for (const std::shared_ptr<Qp>& qp : impl_->take_due(now)) qp->on_time(now, impl_->lease_batch);
  impl_->lease_batch.flush();
}

rt::Time DataPath::next_deadline() const { return impl_->next_deadline.load(); }

void DataPath::set_timer_notify(std::function<void()> notify) { impl_->timer_notify = std::move(notify); }

void DataPath::set_communication_established(std::function<void(Qpn)> callback) {
  impl_->established = std::move(callback);
}

void DataPath::fail_device(const Device& device) {
  std::vector<std::shared_ptr<Qp>> qps;
  {
    rt::Lock lock(impl_->table_mutex);
    for (const auto& [qpn, qp] : impl_->table) {
      if (qp->context().device().get() == &device) qps.push_back(qp);
    }
  }
  auto batch = impl_->borrow_batch();
  for (const std::shared_ptr<Qp>& qp : qps) qp->on_device_gone(*batch);
  batch->flush();
  impl_->give_back(std::move(batch));
}

Gsi& DataPath::gsi() { return impl_->gsi; }
MulticastGroups& DataPath::multicast_groups() { return impl_->groups; }

DataPathCounters DataPath::counters() const {
  const auto& c = impl_->counters;
  return {.datagrams = c.datagrams.load(),
          .malformed = c.malformed.load(),
          .bad_icrc = c.bad_icrc.load(),
          .bad_pkey = c.bad_pkey.load(),
          .unknown_qp = c.unknown_qp.load(),
          .unknown_address = c.unknown_address.load(),
          .misdirected = c.misdirected.load()};
}

}  // namespace hawser::verbs
