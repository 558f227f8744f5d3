// The id's queue pair, whose states follow the connection's: what the kernel's cma.c does for its ULPs [spec 1.5, 1.10,
// 5.9].
#include <utility>

#include "api/id_impl.hpp"

namespace hawser {

void IdImpl::follow(CmEvent& event) {
  std::shared_ptr<Qp::Impl> qp;
  {
    rt::Lock lock(mutex_);
    qp = qp_;
  }
  if (!qp) return;
  if (event.type == CmEventType::rejected) qp->to_error();
  if (event.type != CmEventType::connect_response) return;
  Status connected = connect_qp(nullptr);
  if (connected) connected = id_->accept_response();
  if (connected) {
    event.type = CmEventType::established;
    return;
  }
  qp->to_error();
  static_cast<void>(id_->reject_response());
  event.type = CmEventType::connect_error;
  event.status = -errno_of(connected);
}

// To RTR and RTS with what was negotiated, or, for who accepts, with what he says.
Status IdImpl::connect_qp(const ConnParam* param) {
  std::shared_ptr<Qp::Impl> qp;
  {
    rt::Lock lock(mutex_);
    qp = qp_;
  }
  if (!qp || id_->qp_type() == cma::QpType::ud) return {};  // a datagram queue pair is connected to nobody
  auto rtr = id_->qp_attributes(cm::QpTarget::rtr);
  if (!rtr) return fail(rtr.error());
  auto rts = id_->qp_attributes(cm::QpTarget::rts);
  if (!rts) return fail(rts.error());
  if (param != nullptr) {
    rtr->max_dest_rd_atomic = param->responder_resources;
    rtr->remote_read_and_atomic = param->responder_resources != 0;
    rts->max_rd_atomic = param->initiator_depth;
  }
  return qp->to_rtr_and_rts(*rtr, *rts);
}

Result<Qp> IdImpl::create_qp(const Pd& pd, const QpInit& init) {
  const verbs::DevicePtr device = id_->route().device;
  if (device == nullptr || qp()) return fail(EINVAL);
  auto made = Qp::Impl::create(device, pd, init, static_cast<QpType>(id_->qp_type()));
  if (!made) return fail(made.error());
  const auto attributes = id_->qp_attributes(cm::QpTarget::init);
  if (!attributes) return fail(attributes.error());
  if (Status ready = (*made)->to_init(*attributes); !ready) return fail(ready.error());
  id_->set_qp((*made)->qpn(), false);
  rt::Lock lock(mutex_);
  qp_ = *made;
  for (const auto& membership : memberships_) {
    if (membership->stands) static_cast<void>(attach(*membership));
  }
  return Qp(std::move(*made));
}

void IdImpl::destroy_qp() {
  std::shared_ptr<Qp::Impl> qp;
  {
    rt::Lock lock(mutex_);
    for (const auto& membership : memberships_) detach(*membership);
    qp.swap(qp_);
  }
  if (!qp) return;
  qp->destroy();
  if (alive()) id_->set_qp(Qpn(), false);
}

Qp IdImpl::qp() const {
  rt::Lock lock(mutex_);
  return Qp(qp_);
}

Result<QpAttr> IdImpl::init_qp_attr(QpState state) const {
  const auto target = state == QpState::init  ? cm::QpTarget::init
                      : state == QpState::rtr ? cm::QpTarget::rtr
                                              : cm::QpTarget::rts;
  const auto from = id_->qp_attributes(target);
  if (!from) return fail(from.error());
  return QpAttr{.pkey = from->pkey,
                .qkey = from->qkey,
                .remote_read_and_atomic_access = from->remote_read_and_atomic,
                .ah_attr = {.source = from->local,
                            .destination = from->remote,
                            .traffic_class = from->traffic_class,
                            .hop_limit = from->hop_limit,
                            .flow_label = from->flow_label},
                .path_mtu = from->path_mtu,
                .dest_qpn = from->destination_qpn,
                .rq_psn = from->receive_psn,
                .max_dest_rd_atomic = from->max_dest_rd_atomic,
                .min_rnr_timer = from->min_rnr_timer,
                .sq_psn = from->send_psn,
                .timeout = from->timeout,
                .retry_count = from->retry_count,
                .rnr_retry = from->rnr_retry,
                .max_rd_atomic = from->max_rd_atomic};
}

}  // namespace hawser
