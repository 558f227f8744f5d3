// ibv_modify_qp: what a transition needs and allows, and what it does to the engine.
#include "verbs/data_path_impl.hpp"
#include "verbs/limits.hpp"
#include "verbs/qp.hpp"

namespace hawser::verbs {

// What the device says is asked before the lock is taken: the device's lock comes first.
Status Qp::modify(const QpAttributes& attributes, std::uint32_t mask) {
  const Device& device = *context_.device();
  const auto is_here = [&](const Gid& peer) {
    return path_.devices.find_by_address(peer, device.interface_index()) != nullptr;
  };
  const DeviceView view{.source_gid = device.gid(attributes.address.source_gid_index),
                        .path_mtu_max = static_cast<std::uint8_t>(device.active_mtu()),
                        .gone = device.gone(),
                        .peer_is_here = (mask & qp_attr::av) != 0 && is_here(attributes.address.destination)};
  const Call call(*this, nullptr);
  const QpState from = state();
  const QpState to = (mask & qp_attr::state) != 0 ? attributes.state : from;
  if ((mask & qp_attr::cur_state) != 0 && attributes.current_state != from) return hawser::fail(EINVAL);
  if (const int error = check(init_.type, attributes, mask, from, to, view); error != 0) return hawser::fail(error);
  store(attributes, mask);
  port_mtu_ = Mtu{view.path_mtu_max};
  if ((mask & qp_attr::av) != 0) {
    source_gid_ = *view.source_gid;
    peer_is_here_ = view.peer_is_here;
  }
  enter(from, to);
  return {};
}

int Qp::check(QpType type, const QpAttributes& a, std::uint32_t mask, QpState from, QpState to,
              const DeviceView& device) {
  const auto allowed = transition(type, from, to);
  if (!allowed) return EINVAL;
  if ((mask & allowed->required) != allowed->required) return EINVAL;
  if ((mask & ~(allowed->required | allowed->optional | qp_attr::state)) != 0) return EINVAL;
  if (to != QpState::reset && to != QpState::err && device.gone) return EIO;
  // No alternate paths: nobody routes around failures in a UDP fabric but the kernel itself.
  constexpr std::uint8_t migrated = 0;
  if ((mask & qp_attr::alt_path) != 0) return EOPNOTSUPP;
  if ((mask & qp_attr::path_mig_state) != 0 && a.path_migration_state != migrated) return EOPNOTSUPP;

  const auto wrong = [&](std::uint32_t attribute, bool bad) { return (mask & attribute) != 0 && bad; };
  const AddressVector& av = a.address;
  if (wrong(qp_attr::pkey_index, a.pkey_index != 0) || wrong(qp_attr::port, a.port != 1) ||
      wrong(qp_attr::av, !av.is_global || av.port != 1 || !device.source_gid || av.destination.is_any() ||
                             av.destination.is_multicast()) ||
      wrong(qp_attr::path_mtu, a.path_mtu == 0 || a.path_mtu > device.path_mtu_max) ||
      wrong(qp_attr::dest_qpn, a.destination_qpn.value > 0xFFFFFF) || wrong(qp_attr::timeout, a.timeout > 31) ||
      wrong(qp_attr::retry_cnt, a.retry_count > 7) || wrong(qp_attr::rnr_retry, a.rnr_retry > 7) ||
      wrong(qp_attr::min_rnr_timer, a.min_rnr_timer > 31) ||
      wrong(qp_attr::max_qp_rd_atomic, a.max_rd_atomic > limits::rd_atomic_max) ||
      wrong(qp_attr::max_dest_rd_atomic, a.max_dest_rd_atomic > limits::rd_atomic_max)) {
    return EINVAL;
  }
  return 0;
}

void Qp::store(const QpAttributes& a, std::uint32_t mask) {
  QpAttributes* const own = &attributes_;
  const auto take = [&](std::uint32_t attribute, auto member) {
    if ((mask & attribute) != 0) own->*member = a.*member;
  };
  take(qp_attr::pkey_index, &QpAttributes::pkey_index);
  take(qp_attr::port, &QpAttributes::port);
  take(qp_attr::access_flags, &QpAttributes::access_flags);
  take(qp_attr::qkey, &QpAttributes::qkey);
  take(qp_attr::av, &QpAttributes::address);
  take(qp_attr::path_mtu, &QpAttributes::path_mtu);
  take(qp_attr::dest_qpn, &QpAttributes::destination_qpn);
  take(qp_attr::rq_psn, &QpAttributes::receive_psn);
  take(qp_attr::sq_psn, &QpAttributes::send_psn);
  take(qp_attr::timeout, &QpAttributes::timeout);
  take(qp_attr::retry_cnt, &QpAttributes::retry_count);
  take(qp_attr::rnr_retry, &QpAttributes::rnr_retry);
  take(qp_attr::min_rnr_timer, &QpAttributes::min_rnr_timer);
  take(qp_attr::max_qp_rd_atomic, &QpAttributes::max_rd_atomic);
  take(qp_attr::max_dest_rd_atomic, &QpAttributes::max_dest_rd_atomic);
  take(qp_attr::en_sqd_async_notify, &QpAttributes::sqd_async_notify);
}

// A transition that check() has allowed, with its attributes stored.
void Qp::enter(QpState from, QpState to) {
  if (to == QpState::err) return enter_error();
  set_state(to);
  if (to == QpState::reset) {
    engine([](auto& e) { e.reset(); });
    receives_.clear();
    error_pending_ = false;
    attributes_ = {};
  } else if (to != QpState::init) {
    if (auto* rc = std::get_if<roce::RcQp>(&engine_)) return enter(*rc, from, to);
    enter(std::get<roce::UdQp>(engine_), from, to);
  }
}

void Qp::enter(roce::RcQp& rc, QpState from, QpState to) {
  if (to == QpState::rtr) return rc.ready_to_receive(rc_attributes());
  if (from == QpState::rtr) return rc.ready_to_send(rc_attributes());
  if (from == QpState::rts && to == QpState::sqd) return rc.drain_sends();
  rc.update(rc_attributes());
  if (from == QpState::sqd && to == QpState::rts) rc.resume_sends();
}

void Qp::enter(roce::UdQp& ud, QpState from, QpState to) {
  if (to == QpState::rtr) return ud.ready_to_receive(ud_attributes());
  if (from == QpState::rtr) return ud.ready_to_send(ud_attributes(), attributes_.send_psn);
  if (from == QpState::rts && to == QpState::sqd) return ud.drain_sends();
  ud.update(ud_attributes());
  if (from != QpState::rts && to == QpState::rts) ud.resume_sends();
}

roce::RcAttributes Qp::rc_attributes() const {
  const AddressVector& av = attributes_.address;
  return {.local = source_gid_,
          .remote = av.destination,
          .interface = fabric::needs_interface(source_gid_, av.destination) ? context_.device()->interface_index() : 0,
          .traffic_class = av.traffic_class,
          .hop_limit = av.hop_limit == 0 ? hop_limit_default : av.hop_limit,
          .path_mtu = Mtu{attributes_.path_mtu},
          .local_qpn = qpn_,
          .remote_qpn = attributes_.destination_qpn,
          .receive_psn = attributes_.receive_psn,
          .max_dest_rd_atomic = attributes_.max_dest_rd_atomic,
          .min_rnr_timer = attributes_.min_rnr_timer,
          .send_psn = attributes_.send_psn,
          .max_rd_atomic = attributes_.max_rd_atomic,
          .timeout = attributes_.timeout,
          .retry_count = attributes_.retry_count,
          .rnr_retry = attributes_.rnr_retry,
          .remote_access = attributes_.access_flags & roce::access::remote};
}

// The port's MTU is asked when the QP changes state, as the limits of its paths are.
roce::UdAttributes Qp::ud_attributes() const { return {.qkey = attributes_.qkey, .mtu = port_mtu_, .local_qpn = qpn_}; }

}  // namespace hawser::verbs
