#include "hawser/verbs.hpp"

#include "api/stack_impl.hpp"
#include "api/verbs_impl.hpp"
#include "roce/network_header.hpp"
#include "verbs/limits.hpp"

namespace hawser {
namespace {

// What a connection's peer may do besides RDMA WRITE, if it may have any such request outstanding.
constexpr std::uint32_t read_and_atomic = roce::access::remote_read | roce::access::remote_atomic;

roce::Sge sge_of(const LocalMemory& memory) {
  return {.addr = memory.address, .length = memory.length, .lkey = memory.lkey};
}

roce::SendWork send_work(roce::WorkOp op, std::uint64_t wr_id, const LocalMemory& memory, const SendOptions& options) {
  roce::SendWork work;
  work.wr_id = wr_id;
  work.op = op;
  work.signaled = options.signaled;
  work.solicited = options.solicited;
  work.fence = options.fence;
  work.inlined = options.inline_data;
  if (options.imm_data) work.imm_data = *options.imm_data;
  if (options.inline_data) {
    const auto* const bytes = reinterpret_cast<const std::byte*>(memory.address);
    work.inline_data.assign(bytes, bytes + memory.length);
  } else if (memory.length > 0) {
    work.sges.push_back(sge_of(memory));
  }
  return work;
}

Completion to_public(const verbs::CqEntry& entry) {
  const roce::Completion& from = entry.completion;
  return {.wr_id = from.wr_id,
          .status = static_cast<WcStatus>(from.status),
          .opcode = static_cast<WcOpcode>(from.opcode),
          .byte_len = from.byte_len,
          .imm_data = from.imm_data,
          .with_imm = from.with_imm,
          .qpn = entry.qpn,
          .src_qpn = from.source,
          .with_grh = from.with_network_header};
}

template <class Work>
auto once(Work& work) {
  return [&work, given = false](Work& out) mutable {
    if (given) return false;
    out = std::move(work);
    return given = true;
  };
}

}  // namespace

// ---- devices ----

Device to_public(const verbs::DevicePtr& device) {
  return device == nullptr ? Device() : Device(std::make_shared<Device::Impl>(device));
}
verbs::DevicePtr to_internal(const Device& device) { return device ? device.impl()->device : nullptr; }

bool Device::operator==(const Device& other) const { return to_internal(*this) == to_internal(other); }
std::string Device::name() const { return impl_->device->name(); }
std::string Device::interface_name() const { return impl_->device->interface_name(); }
Guid Device::guid() const { return impl_->device->guid(); }
bool Device::is_loopback() const { return impl_->device->is_loopback(); }
bool Device::is_active() const { return impl_->device->port_state() == verbs::PortState::active; }
bool Device::is_gone() const { return impl_->device->gone(); }

std::vector<Gid> Device::gids() const {
  std::vector<Gid> gids;
  for (const verbs::GidEntry& entry : impl_->device->gids()) gids.push_back(entry.gid);
  return gids;
}

// ---- memory ----

Result<Pd> Pd::create(Stack& stack, const Device& device) {
  auto context = stack.impl().open(to_internal(device));
  if (!context) return fail(context.error());
  return Pd(std::make_shared<Impl>(std::move(*context)));
}

Device Pd::device() const { return impl_ ? hawser::to_public(impl_->context->device()) : Device(); }

Result<Mr> Pd::register_memory(std::span<std::byte> memory, Access access) {
  if (!impl_) return fail(EINVAL);
  const auto region =
      impl_->context->memory().add(impl_->pd, memory.data(), memory.size(),
                                   reinterpret_cast<std::uintptr_t>(memory.data()), static_cast<std::uint32_t>(access));
  if (!region) return fail(region.error());
  return Mr(std::make_shared<Mr::Impl>(impl_, *region));
}

LocalMemory Mr::slice(std::size_t offset, std::size_t length) const {
  return {impl_->region->iova + offset, static_cast<std::uint32_t>(length), impl_->region->lkey};
}
LocalMemory Mr::all() const { return slice(0, impl_->region->length); }
RemoteMemory Mr::remote() const { return {impl_->region->iova, impl_->region->rkey}; }

// ---- completions ----

const char* name(WcStatus status) {
  switch (status) {
    case WcStatus::success: return "success";
    case WcStatus::loc_len_err: return "local length error";
    case WcStatus::loc_qp_op_err: return "local QP operation error";
    case WcStatus::loc_prot_err: return "local protection error";
    case WcStatus::wr_flush_err: return "work request flushed";
    case WcStatus::mw_bind_err: return "memory window bind error";
    case WcStatus::bad_resp_err: return "bad response";
    case WcStatus::loc_access_err: return "local access error";
    case WcStatus::rem_inv_req_err: return "remote invalid request";
    case WcStatus::rem_access_err: return "remote access error";
    case WcStatus::rem_op_err: return "remote operation error";
    case WcStatus::retry_exc_err: return "retries exhausted";
    case WcStatus::rnr_retry_exc_err: return "receiver-not-ready retries exhausted";
    case WcStatus::fatal_err: return "fatal error";
    case WcStatus::general_err: return "general error";
  }
  return "unknown";
}

Result<Cq> Cq::create(Stack& stack, const Device& device, std::uint32_t capacity) {
  if (capacity == 0 || capacity > verbs::limits::cqe_max) return fail(EINVAL);
  auto context = stack.impl().open(to_internal(device));
  if (!context) return fail(context.error());
  auto channel = verbs::CompChannel::create();
  if (!channel) return fail(channel.error());
  return Cq(std::make_shared<Impl>(std::move(*context), (*stack.impl()).engine(), std::move(*channel), capacity));
}

std::size_t Cq::Impl::take(std::span<Completion> out) {
  std::size_t count = 0;
  const int most = static_cast<int>(std::min(out.size(), std::size_t{verbs::limits::cqe_max}));
  cq->poll(most, [&](const verbs::CqEntry& entry) { out[count++] = to_public(entry); });
  return count;
}

void Cq::Impl::clear_notification() {
  while (verbs::Cq* const told = channel->take()) channel->acknowledge(*told, 1);
}

std::size_t Cq::poll(std::span<Completion> out) {
  if (const std::size_t count = impl_->take(out); count > 0) return count;
  impl_->engine.progress();
  return impl_->take(out);
}

Result<std::size_t> Cq::wait(std::span<Completion> out) {
  for (;;) {
    if (const std::size_t count = poll(out); count > 0) return count;
    impl_->cq->request_notification(false);
    if (const std::size_t count = impl_->take(out); count > 0) return count;  // came in between
    const Status waited = impl_->engine.wait(stack::WaitKind::completions, impl_->channel->fd().fd(),
                                             [this] { return impl_->channel->pending() || !impl_->cq->empty(); });
    if (!waited) return fail(waited.error());
    impl_->clear_notification();
    impl_->cq->request_notification(false);  // for other threads that wait here: the event was theirs too
  }
}

int Cq::fd() const { return impl_->channel->fd().fd(); }
void Cq::request_notification(bool solicited_only) {
  impl_->cq->request_notification(solicited_only);
  impl_->engine.ensure_service();
}
void Cq::clear_notification() { impl_->clear_notification(); }

// ---- address handles ----

static_assert(grh_bytes == roce::network_header_bytes);

Result<AddressHandle> AddressHandle::create(const Pd& pd, const AhAttr& to) {
  if (!pd.impl()) return fail(EINVAL);
  verbs::Context& context = *pd.impl()->context;
  const auto index = context.device()->gid_index(to.source);
  if (!index) return fail(EINVAL);
  auto ah = verbs::AddressHandle::create(context, pd.impl()->pd,
                                         {.destination = to.destination,
                                          .flow_label = to.flow_label,
                                          .source_gid_index = static_cast<std::uint8_t>(*index),
                                          .hop_limit = to.hop_limit,
                                          .traffic_class = to.traffic_class,
                                          .is_global = true});
  if (!ah) return fail(ah.error());
  return AddressHandle(std::make_shared<Impl>(pd.impl(), std::move(*ah)));
}

// A datagram to a group came to no GID of ours: the answer leaves from the first one of the family.
Result<AddressHandle> AddressHandle::create_from_wc(const Pd& pd, const Completion& wc,
                                                    std::span<const std::byte> received) {
  if (!pd.impl() || !wc.with_grh || received.size() < grh_bytes) return fail(EINVAL);
  const auto header = roce::parse_network_header(received.first<grh_bytes>());
  if (!header) return fail(EINVAL);
  AhAttr back{.source = header->destination,
              .destination = header->source,
              .traffic_class = header->traffic_class,
              .hop_limit = 64,
              .flow_label = header->flow_label};
  if (back.source.is_multicast()) {
    const auto gids = pd.device().gids();
    const auto own = std::ranges::find(gids, back.destination.is_v4(), &Gid::is_v4);
    if (own == gids.end()) return fail(EINVAL);
    back.source = *own;
  }
  return create(pd, back);
}

// ---- queue pairs ----

Result<std::shared_ptr<Qp::Impl>> Qp::Impl::create(const verbs::DevicePtr& device, const Pd& pd, const QpInit& init,
                                                   QpType type) {
  if (type != QpType::rc && type != QpType::ud) return fail(EOPNOTSUPP);
  if (!pd.impl() || !init.send_cq.impl() || !init.recv_cq.impl()) return fail(EINVAL);
  const auto& context = pd.impl()->context;
  if (context->device() != device || init.send_cq.impl()->context != context ||
      init.recv_cq.impl()->context != context) {
    return fail(EINVAL);
  }
  auto qp = verbs::Qp::create(*context, {.pd = pd.impl()->pd,
                                         .send_cq = init.send_cq.impl()->cq,
                                         .recv_cq = init.recv_cq.impl()->cq,
                                         .capabilities = {.max_send_wr = init.max_send_wr,
                                                          .max_recv_wr = init.max_recv_wr,
                                                          .max_send_sge = init.max_send_sge,
                                                          .max_recv_sge = init.max_recv_sge,
                                                          .max_inline_bytes = init.max_inline_bytes},
                                         .signal_all = false,
                                         .type = static_cast<verbs::QpType>(type)});
  if (!qp) return fail(qp.error());
  return std::make_shared<Impl>(pd.impl(), init, std::move(*qp));
}

void Qp::Impl::destroy() {
  std::shared_ptr<verbs::Qp> qp;
  {
    rt::Lock lock(mutex_);
    qp.swap(qp_);
  }
  if (qp) qp->destroy();
}

std::shared_ptr<verbs::Qp> Qp::Impl::alive() const {
  rt::Lock lock(mutex_);
  return qp_;
}

Status Qp::Impl::to_init(const cm::QpAttributes& from) {
  const auto qp = alive();
  if (!qp) return fail(EINVAL);
  if (qp->init().type == verbs::QpType::ud) return datagrams_to_rts(*qp, from.qkey);
  verbs::QpAttributes to;
  to.state = verbs::QpState::init;
  to.port = 1;
  to.access_flags = roce::access::remote_write | (from.remote_read_and_atomic ? read_and_atomic : 0);
  namespace mask = verbs::qp_attr;
  return qp->modify(to, mask::state | mask::pkey_index | mask::port | mask::access_flags);
}

Status Qp::Impl::datagrams_to_rts(verbs::Qp& qp, QKey qkey) {
  namespace mask = verbs::qp_attr;
  verbs::QpAttributes to;
  to.state = verbs::QpState::init;
  to.port = 1;
  to.qkey = qkey;
  Status done = qp.modify(to, mask::state | mask::pkey_index | mask::port | mask::qkey);
  to.state = verbs::QpState::rtr;
  if (done) done = qp.modify(to, mask::state);
  to.state = verbs::QpState::rts;
  if (done) done = qp.modify(to, mask::state | mask::sq_psn);
  return done;
}

Status Qp::Impl::to_rtr_and_rts(const cm::QpAttributes& rtr, const cm::QpAttributes& rts) {
  // Once more: what the peer may do depends on the depths of this connection.
  if (Status init = to_init(rtr); !init) return init;
  const auto qp = alive();
  if (!qp) return fail(EINVAL);
  namespace mask = verbs::qp_attr;
  const auto index = pd_->context->device()->gid_index(rtr.local);
  if (!index) return fail(ENODEV);  // the address has gone
  verbs::QpAttributes to;
  to.state = verbs::QpState::rtr;
  to.address.destination = rtr.remote;
  to.address.flow_label = rtr.flow_label;
  to.address.source_gid_index = static_cast<std::uint8_t>(*index);
  to.address.hop_limit = rtr.hop_limit;
  to.address.traffic_class = rtr.traffic_class;
  to.address.service_level = rtr.sl;
  to.address.is_global = true;
  to.path_mtu = static_cast<std::uint8_t>(rtr.path_mtu);
  to.destination_qpn = rtr.destination_qpn;
  to.receive_psn = rtr.receive_psn;
  to.max_dest_rd_atomic = rtr.max_dest_rd_atomic;
  to.min_rnr_timer = rtr.min_rnr_timer;
  const Status receiving = qp->modify(to, mask::state | mask::av | mask::path_mtu | mask::dest_qpn | mask::rq_psn |
                                              mask::max_dest_rd_atomic | mask::min_rnr_timer);
  if (!receiving) return receiving;
  to = {};
  to.state = verbs::QpState::rts;
  to.send_psn = rts.send_psn;
  to.timeout = rts.timeout;
  to.retry_count = rts.retry_count;
  to.rnr_retry = rts.rnr_retry;
  to.max_rd_atomic = rts.max_rd_atomic;
  return qp->modify(
      to, mask::state | mask::sq_psn | mask::timeout | mask::retry_cnt | mask::rnr_retry | mask::max_qp_rd_atomic);
}

void Qp::Impl::to_error() {
  const auto qp = alive();
  if (!qp) return;
  verbs::QpAttributes to;
  to.state = verbs::QpState::err;
  static_cast<void>(qp->modify(to, verbs::qp_attr::state));  // from any state, or it is there already
}

Status Qp::Impl::attach(const Gid& group) {
  const auto qp = alive();
  return qp ? qp->attach(group) : fail(EINVAL);
}

void Qp::Impl::detach(const Gid& group) {
  if (const auto qp = alive()) static_cast<void>(qp->detach(group));
}

Status Qp::Impl::post(roce::SendWork work) {
  const auto qp = alive();
  return qp ? qp->post_send(once(work)) : fail(EINVAL);
}

Status Qp::Impl::post(roce::RecvWork work) {
  const auto qp = alive();
  return qp ? qp->post_receive(once(work)) : fail(EINVAL);
}

Qpn Qp::qpn() const { return impl_ ? impl_->qpn() : Qpn(); }

Status Qp::post_receive(std::uint64_t wr_id, const LocalMemory& to) {
  if (!impl_) return fail(EINVAL);
  roce::RecvWork work;
  work.wr_id = wr_id;
  if (to.length > 0) work.sges.push_back(sge_of(to));
  return impl_->post(std::move(work));
}

Status Qp::post_send(std::uint64_t wr_id, const LocalMemory& from, const SendOptions& options) {
  if (!impl_) return fail(EINVAL);
  const auto op = options.imm_data ? roce::WorkOp::send_with_imm : roce::WorkOp::send;
  return impl_->post(send_work(op, wr_id, from, options));
}

Status Qp::post_send(std::uint64_t wr_id, const LocalMemory& from, const UdDestination& to,
                     const SendOptions& options) {
  if (!impl_ || !to.ah) return fail(EINVAL);
  const auto op = options.imm_data ? roce::WorkOp::send_with_imm : roce::WorkOp::send;
  roce::SendWork work = send_work(op, wr_id, from, options);
  work.ud = {.address = to.ah.impl()->ah->address(), .qpn = to.qpn, .qkey = to.qkey};
  return impl_->post(std::move(work));
}

Status Qp::post_write(std::uint64_t wr_id, const LocalMemory& from, const RemoteMemory& to,
                      const SendOptions& options) {
  if (!impl_) return fail(EINVAL);
  const auto op = options.imm_data ? roce::WorkOp::rdma_write_with_imm : roce::WorkOp::rdma_write;
  roce::SendWork work = send_work(op, wr_id, from, options);
  work.remote_addr = to.address;
  work.rkey = to.rkey;
  return impl_->post(std::move(work));
}

Status Qp::post_read(std::uint64_t wr_id, const LocalMemory& to, const RemoteMemory& from, const SendOptions& options) {
  if (!impl_ || options.inline_data || options.imm_data) return fail(EINVAL);
  roce::SendWork work = send_work(roce::WorkOp::rdma_read, wr_id, to, options);
  work.remote_addr = from.address;
  work.rkey = from.rkey;
  return impl_->post(std::move(work));
}

}  // namespace hawser
