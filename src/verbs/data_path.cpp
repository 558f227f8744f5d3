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

Status DataPath::Impl::attach(const std::shared_ptr<Qp>& qp, const Gid& group) {
  const DevicePtr device = qp->context().device();
  if (const Status joined = groups.join(device, group); !joined) return joined;
  {
    rt::Lock lock(table_mutex);
    auto& members = group_members[{device->interface_index(), group}];
    if (std::ranges::find(members, qp) == members.end()) {
      members.push_back(qp);
      return {};
    }
  }
  return groups.leave(device, group);  // attached already, and joined for that
}

Status DataPath::Impl::detach(Qp& qp, const Gid& group) {
  const DevicePtr device = qp.context().device();
  {
    rt::Lock lock(table_mutex);
    const auto found = group_members.find({device->interface_index(), group});
    if (found == group_members.end()) return fail(EINVAL);
    auto& members = found->second;
    if (std::erase_if(members, [&](const auto& member) { return member.get() == &qp; }) == 0) return fail(EINVAL);
    if (members.empty()) group_members.erase(found);
  }
  return groups.leave(device, group);
}

bool DataPath::Impl::attached(const Qp& qp) {
  rt::Lock lock(table_mutex);
  return std::ranges::any_of(group_members, [&](const auto& group) {
    return std::ranges::any_of(group.second, [&](const auto& member) { return member.get() == &qp; });
  });
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
  if (datagram.destination.is_multicast()) return dispatch_to_group(*packet, datagram, batch);

  if (touched.empty() || touched.back()->qpn() != destination) {
    std::shared_ptr<Qp> qp = find(destination);
    if (!qp) return count(qpns.owns(destination) ? counters.unknown_qp : counters.misdirected);
    touched.push_back(std::move(qp));
  }
  count_delivery(touched.back()->on_packet(*packet, datagram, batch));
}

// Every QP that is attached gets a copy, the sender's own too if it is: as with rdma_rxe and cards.
void DataPath::Impl::dispatch_to_group(const roce::Packet& packet, const fabric::InDatagram& datagram,
                                       TransmitBatch& batch) {
  boost::container::small_vector<std::shared_ptr<Qp>, 8> members;
  if (packet.bth.destination == qpn_multicast) {
    rt::Lock lock(table_mutex);
    const auto found = group_members.find({datagram.interface, datagram.destination});
    if (found != group_members.end()) members.assign(found->second.begin(), found->second.end());
  }
  if (members.empty()) return count(counters.unknown_group);
  for (const std::shared_ptr<Qp>& qp : members) count_delivery(qp->on_packet(packet, datagram, batch));
}

void DataPath::Impl::count_delivery(Qp::Delivery delivery) {
  switch (delivery) {
    case Qp::Delivery::taken: return;
    case Qp::Delivery::unknown_address: return count(counters.unknown_address);
    case Qp::Delivery::not_ready: return count(counters.unknown_qp);
    case Qp::Delivery::wrong_transport: return count(counters.wrong_transport);
    case Qp::Delivery::bad_qkey: return count(counters.bad_qkey);
    case Qp::Delivery::no_receive: return count(counters.no_receive);
    case Qp::Delivery::too_long: return count(counters.too_long);
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

void DataPath::set_peer_activity(std::function<roce::PeerActivity(Qpn)> activity) {
  impl_->peer_activity = std::move(activity);
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
          .misdirected = c.misdirected.load(),
          .unknown_group = c.unknown_group.load(),
          .bad_qkey = c.bad_qkey.load(),
          .no_receive = c.no_receive.load(),
          .too_long = c.too_long.load(),
          .wrong_transport = c.wrong_transport.load(),
          .sends_too_long = c.sends_too_long.load()};
}

}  // namespace hawser::verbs
