#include "verbs/qp.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/log.hpp"
#include "verbs/count.hpp"
#include "verbs/data_path_impl.hpp"
#include "verbs/limits.hpp"

namespace hawser::verbs {
namespace {

bool within_limits(const QpCapabilities& c) {
  return c.max_send_wr <= limits::qp_wr_max && c.max_recv_wr <= limits::qp_wr_max &&
         c.max_send_sge <= limits::sge_max && c.max_recv_sge <= limits::sge_max &&
         c.max_inline_bytes <= limits::inline_bytes_max;
}

bool names(const MemoryRegion& region, LKey key) { return region.lkey == key; }
bool names(const MemoryRegion& region, RKey key) { return region.rkey == key && key.value != 0; }

roce::Completion flushed(std::uint64_t wr_id) {
  return {.wr_id = wr_id, .status = roce::WcStatus::wr_flush_err, .opcode = roce::WcOpcode::recv};
}

}  // namespace

Qp::Call::Call(Qp& qp, TransmitBatch* batch) : qp_(qp) {
  if (batch == nullptr) own_batch_ = qp.path_.borrow_batch();
  qp.mutex_.lock();
  qp.batch_ = batch != nullptr ? batch : own_batch_.get();
}

Qp::Call::~Call() {
  qp_.settle();
  if (own_batch_ || qp_.batch_->has_requests()) qp_.batch_->flush();
  qp_.batch_ = nullptr;
  const bool established = std::exchange(qp_.established_pending_, false);
  const bool timer = std::exchange(qp_.timer_notify_pending_, false);
  qp_.mutex_.unlock();

  // `qp_` lives on: whoever made this call holds it.
  DataPath::Impl& path = qp_.path_;
  if (own_batch_) path.give_back(std::move(own_batch_));
  if (established && path.established) path.established(qp_.qpn_);
  if (timer && path.timer_notify) path.timer_notify();
}

Result<std::shared_ptr<Qp>> Qp::create(Context& context, QpInit init) {
  if (!within_limits(init.capabilities)) return hawser::fail(EINVAL);
  if (context.device()->gone()) return hawser::fail(EIO);
  if (++context.qps > limits::qp_max) {
    --context.qps;
    return hawser::fail(ENOMEM);
  }
  const Result<Qpn> qpn = context.data_path().impl_->qpns.allocate();
  if (!qpn) {
    --context.qps;
    return hawser::fail(qpn.error());
  }
  std::shared_ptr<Qp> qp(new Qp(context, std::move(init), *qpn));
  qp->path_.insert(qp);
  return qp;
}

Qp::Qp(Context& context, QpInit init, Qpn qpn)
    : context_(context),
      path_(*context.data_path().impl_),
      init_(std::move(init)),
      qpn_(qpn),
      engine_(make_engine()),
      receives_(init_.capabilities.max_recv_wr) {
  if (init_.srq) ++init_.srq->users;
  ++init_.pd->users;
  ++init_.send_cq->users;
  ++init_.recv_cq->users;
}

Qp::Engine Qp::make_engine() {
  if (init_.type == QpType::ud) return Engine(std::in_place_type<roce::UdQp>, static_cast<roce::UdHost&>(*this));
  return Engine(std::in_place_type<roce::RcQp>, static_cast<roce::RcHost&>(*this), path_.limits);
}

Qp::~Qp() { HW_ASSERT(!is_linked(), "qp-gone-with-timer"); }

void Qp::destroy() {
  {
    const Call call(*this, nullptr);
    engine([](auto& e) { e.reset(); });
    receives_.clear();
    set_state(QpState::reset);
    destroyed_ = true;
  }
  path_.erase(*this);
  path_.qpns.release(qpn_);
  context_.events().forget(*this);
  if (init_.srq) --init_.srq->users;
  --init_.recv_cq->users;
  --init_.send_cq->users;
  --init_.pd->users;
  --context_.qps;
}

QpAttributes Qp::query() {
  rt::Lock lock(mutex_);
  QpAttributes attributes = attributes_;
  attributes.state = attributes.current_state = state();
  if (state() >= QpState::rtr && state() <= QpState::sqd) {
    attributes.receive_psn = engine([](const auto& e) { return e.receive_psn(); });
    if (state() != QpState::rtr) attributes.send_psn = engine([](const auto& e) { return e.send_psn(); });
  }
  // A datagram queue pair holds back what is posted meanwhile; nothing of it is under way.
  attributes.sq_draining = state() == QpState::sqd && init_.type == QpType::rc && sends_outstanding() > 0;
  return attributes;
}

Status Qp::attach(const Gid& group) {
  if (init_.type != QpType::ud || !group.is_multicast()) return hawser::fail(EINVAL);
  return path_.attach(shared_from_this(), group);
}

Status Qp::detach(const Gid& group) { return path_.detach(*this, group); }

bool Qp::attached() const { return init_.type == QpType::ud && path_.attached(*this); }

// A queue pair with an SRQ says when it takes nothing more from there (IBTA 11.6.3.4).
void Qp::enter_error() {
  const bool was_there = state() == QpState::err;
  set_state(QpState::err);
  flush_everything();
  if (init_.srq && !was_there) context_.events().push({.type = AsyncEventType::qp_last_wqe_reached, .source = this});
}

void Qp::set_state(QpState state) { published_state_.store(state, std::memory_order_relaxed); }

Status Qp::post_sends_or_none(std::span<roce::SendWork> works) {
  const Call call(*this, nullptr);
  for (std::size_t i = 0; i < works.size(); ++i) {
    if (const Status status = check(works[i], i); !status) return status;
  }
  for (roce::SendWork& work : works) post_checked(std::move(work));
  return {};
}

Status Qp::post_one(roce::SendWork&& work) {
  if (const Status status = check(work, 0); !status) return status;
  post_checked(std::move(work));
  return {};
}

// `before_it` have been checked and will be posted first.
Status Qp::check(const roce::SendWork& work, std::size_t before_it) {
  if (state() < QpState::rts) return hawser::fail(EINVAL);
  if (init_.type == QpType::ud && !roce::UdQp::acceptable(work)) return hawser::fail(EINVAL);
  const QpCapabilities& caps = init_.capabilities;
  if (work.inlined ? work.inline_data.size() > caps.max_inline_bytes : work.sges.size() > caps.max_send_sge) {
    return hawser::fail(EINVAL);
  }
  if (sends_outstanding() + before_it >= caps.max_send_wr) return hawser::fail(ENOMEM);
  return {};
}

void Qp::post_checked(roce::SendWork&& work) {
  work.signaled |= init_.signal_all;
  engine([&](auto& e) { e.post_send(std::move(work)); });
  if (error_pending_ || state() == QpState::err) enter_error();
}

Status Qp::post_one(roce::RecvWork&& work) {
  if (state() == QpState::reset || init_.srq) return hawser::fail(EINVAL);
  if (work.sges.size() > init_.capabilities.max_recv_sge) return hawser::fail(EINVAL);
  if (state() == QpState::err) {
    complete(*init_.recv_cq, flushed(work.wr_id));
    return {};
  }
  if (receives_.full()) return hawser::fail(ENOMEM);
  receives_.push(std::move(work));
  return {};
}

void Qp::flush_everything() {
  engine([](auto& e) { e.flush(); });
  while (!receives_.empty()) complete(*init_.recv_cq, flushed(receives_.pop().wr_id));
  error_pending_ = false;
}

// A completion that finds its queue full breaks the QP: work would be lost silently otherwise (IBTA 10.10.2.3).
void Qp::complete(Cq& cq, const roce::Completion& completion) {
  if (!cq.push(completion, qpn_) && state() != QpState::err && !error_pending_) {
    error_pending_ = true;
    context_.events().push({.type = AsyncEventType::qp_fatal, .source = this});
  }
}

void Qp::settle() {
  if (error_pending_ && !destroyed_) enter_error();
  if (!pinned_.empty()) {
    context_.memory().unpin({pinned_.data(), pinned_.size()});
    pinned_.clear();
  }
  if (destroyed_) return;
  // A timer that moved back is left as it is: it runs out early once and finds nothing to do.
  const rt::Time due = engine([](const auto& e) { return e.next_deadline(); });
  if (due < armed_) {
    armed_ = due;
    timer_notify_pending_ |= path_.arm(*this, due);
  }
}

Qp::Delivery Qp::on_packet(const roce::Packet& packet, const fabric::InDatagram& datagram, TransmitBatch& batch) {
  // Datagrams come to any address of the device; its lock comes before ours.
  const bool for_device = init_.type == QpType::rc || datagram.destination.is_multicast() ||
                          context_.device()->has_address(datagram.destination);
  const Call call(*this, &batch);
  if (destroyed_ || state() == QpState::reset || state() == QpState::init) return Delivery::not_ready;
  if (!for_device) return Delivery::unknown_address;
  if (auto* rc = std::get_if<roce::RcQp>(&engine_)) return deliver(*rc, packet, datagram);
  return state() == QpState::err ? Delivery::not_ready : deliver(std::get<roce::UdQp>(engine_), packet, datagram);
}

Qp::Delivery Qp::deliver(roce::RcQp& rc, const roce::Packet& packet, const fabric::InDatagram& datagram) {
  if (datagram.destination != source_gid_ || datagram.source != attributes_.address.destination) {
    return Delivery::unknown_address;
  }
  if (state() != QpState::err) rc.on_packet(packet, datagram.source);
  return Delivery::taken;
}

Qp::Delivery Qp::deliver(roce::UdQp& ud, const roce::Packet& packet, const fabric::InDatagram& datagram) {
  switch (ud.on_packet(packet, datagram)) {
    case roce::UdQp::Received::taken: return Delivery::taken;
    case roce::UdQp::Received::wrong_transport: return Delivery::wrong_transport;
    case roce::UdQp::Received::bad_qkey: return Delivery::bad_qkey;
    case roce::UdQp::Received::no_receive: return Delivery::no_receive;
    case roce::UdQp::Received::too_long: return Delivery::too_long;
  }
  HW_BUG("qp-ud-received-what");
}

void Qp::on_time(rt::Time now, TransmitBatch& batch) {
  const Call call(*this, &batch);
  armed_ = rt::time_never;  // it has been taken out of the timers
  if (!destroyed_) engine([&](auto& e) { e.on_time(now); });
}

void Qp::end_of_round(TransmitBatch& batch) {
  const Call call(*this, &batch);
  if (!destroyed_) engine([](auto& e) { e.flush_acks(); });
}

void Qp::on_device_gone(TransmitBatch& batch) {
  const Call call(*this, &batch);
  if (destroyed_ || state() == QpState::reset) return;
  enter_error();
}

template <class Key>
std::byte* Qp::pinned_memory(Key key, std::uint64_t addr, std::uint32_t length, std::uint32_t rights) {
  const auto at = [&](const MemoryRegion& region) { return region.base + (addr - region.iova); };
  for (const MemoryRegion* region : pinned_) {
    if (names(*region, key)) return MemoryTable::allows(*region, addr, length, rights) ? at(*region) : nullptr;
  }
  MemoryRegion* region = context_.memory().pin(key, *init_.pd, addr, length, rights);
  if (region == nullptr) return nullptr;
  pinned_.push_back(region);
  return at(*region);
}

std::byte* Qp::local_memory(LKey key, std::uint64_t addr, std::uint32_t length, std::uint32_t access_flags) {
  mutex_.assert_held();
  return pinned_memory(key, addr, length, access_flags);
}

std::byte* Qp::remote_memory(RKey key, std::uint64_t addr, std::uint32_t length, std::uint32_t access_flags) {
  mutex_.assert_held();
  return pinned_memory(key, addr, length, access_flags);
}

// Only memory windows and fast-registered regions may be invalidated by a peer (IBTA 10.6.5), and there are none.
bool Qp::invalidate(RKey) { return false; }

std::optional<roce::RecvWork> Qp::take_receive() {
  mutex_.assert_held();
  if (init_.srq) return init_.srq->take();
  if (receives_.empty()) return std::nullopt;
  return receives_.pop();
}

bool Qp::put_back(roce::RecvWork&& receive) {
  mutex_.assert_held();
  if (init_.srq) return false;
  receives_.push_front(std::move(receive));
  return true;
}

void Qp::complete_send(const roce::Completion& completion) {
  mutex_.assert_held();
  complete(*init_.send_cq, completion);
}

void Qp::complete_receive(const roce::Completion& completion) {
  mutex_.assert_held();
  complete(*init_.recv_cq, completion);
}

std::span<std::byte> Qp::datagram_buffer() {
  mutex_.assert_held();
  return batch_->next_buffer();
}

void Qp::transmit(const fabric::OutDatagram& datagram) {
  mutex_.assert_held();
  batch_->add(datagram);
}

void Qp::communication_established() {
  mutex_.assert_held();
  established_pending_ = true;
  if (state() == QpState::rtr) context_.events().push({.type = AsyncEventType::comm_est, .source = this});
}

void Qp::entered_error(std::optional<roce::ResponderError> untold) {
  mutex_.assert_held();
  error_pending_ = true;
  if (!untold) return;
  const auto type =
      *untold == roce::ResponderError::access_violation ? AsyncEventType::qp_access_err : AsyncEventType::qp_req_err;
  context_.events().push({.type = type, .source = this});
}

void Qp::send_queue_drained() {
  mutex_.assert_held();
  if (attributes_.sqd_async_notify) context_.events().push({.type = AsyncEventType::sq_drained, .source = this});
}

void Qp::send_too_long(std::uint64_t bytes) {
  mutex_.assert_held();
  count(path_.counters.sends_too_long);
  log::debug("QP {:#x} sends {} bytes in one datagram, and the port's MTU is {}: dropped", qpn_.value, bytes,
             mtu_bytes(port_mtu_));
}

void Qp::send_failed() {
  mutex_.assert_held();
  set_state(QpState::sqe);
}

void Qp::receive_failed() {
  mutex_.assert_held();
  error_pending_ = true;
}

rt::Time Qp::now() const { return path_.world.now(); }

roce::PeerActivity Qp::peer_activity() const {
  mutex_.assert_held();
  if (!peer_is_here_ || !path_.peer_activity) return roce::PeerActivity::running;
  return path_.peer_activity(attributes_.destination_qpn);
}

std::uint16_t Qp::source_port() const { return path_.fabric.source_port(); }

}  // namespace hawser::verbs
