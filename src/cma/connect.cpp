// connect, accept, reject, disconnect, notify, QP attributes [spec 1.4, 1.10, 5.7, 5.9].
#include <algorithm>

#include "cma/core.hpp"
#include "cma/id.hpp"

namespace hawser::cma {

namespace {

constexpr std::size_t rep_user_data_bytes = 196;
constexpr std::size_t rej_user_data_bytes = 148;
constexpr std::size_t sidr_rep_user_data_bytes = 136;

// [spec 1.12.9]
std::uint8_t three_bits(std::uint8_t count) { return std::min<std::uint8_t>(count, 7); }

}  // namespace

// The whole call under the handler_mutex: no handler sees a CONNECT that is taken back, and no event overtakes the call
// [spec 1.4.19, 3.1 A, 3.1 B].
Status Id::connect(const ConnParam& param) {
  if (!contract_.allowed_here(Entry::connect, HW_CALL_SITE)) return refusal(EDEADLK, Entry::connect, Rule::own_handler);
  Entered entered(contract_, Entry::connect, HW_CALL_SITE);
  rt::Lock lock(handler_mutex_);
  const Status connected = connect_under_lock(param);
  entered.leave();  // once unlocked, a handler may end the id
  return connected;
}

// [spec 1.4.22, 3.1 C]
Status Id::connect_locked(const ConnParam& param) {
  handler_mutex_.assert_held();
  Entered entered(contract_, Entry::connect_locked, HW_CALL_SITE);
  return connect_under_lock(param);
}

// [spec 1.4.19, 1.5.31]
Status Id::connect_under_lock(const ConnParam& param) {
  if (!move<State::route_resolved, State::connect>()) return refusal(EINVAL, Entry::connect, Rule::needs_route);
  Status sent = send_request(param);
  if (!sent && !move<State::connect, State::route_resolved>()) HW_BUG("cma-connect-left-under-lock");
  return sent;
}

// The lower id is made for this request; it goes again if that is refused [spec 1.4.20, 1.4.21, 1.11.3, 1.14.4].
Status Id::send_request(const ConnParam& param) {
  const auto created =
      core_.services.connections.create([this](cm::Connection&, const cm::Event& event) { return on_cm_event(event); });
  if (!created) return fail(created.error());
  cm::Connection* const connection = *created;
  connection->context = this;
  connection->attach_ledger(record_);
  set_connection(connection);
  Status sent = qp_type_ == QpType::ud ? send_sidr_req(*connection, param) : send_req(*connection, param);
  if (!sent) {
    set_connection(nullptr);
    connection->set_handler([](cm::Connection&, const cm::Event&) { return 0; });
    connection->attach_ledger(nullptr);
    core_.orphan(connection);
  }
  return sent;
}

Result<std::vector<std::byte>> Id::private_data_of(const ConnParam& param) const {
  PrivateHeader header;
  {
    rt::Lock lock(data_mutex_);
    header = {.v4 = source_.family == Family::inet,
              .source_port = source_.port,
              .source = source_.ip,
              .destination = destination_.ip};
  }
  const std::size_t user_data_max = qp_type_ == QpType::ud ? sidr_req_user_data_bytes : req_user_data_bytes;
  return with_private_header(header, param.private_data, user_data_max);
}

Status Id::send_req(cm::Connection& connection, const ConnParam& param) {
  const auto private_data = private_data_of(param);
  if (!private_data) return refusal(errno_of(private_data), Entry::connect, Rule::private_data_too_long);
  cm::ReqParam req;
  {
    rt::Lock lock(data_mutex_);
    if (!has_path_) return refusal(EINVAL, Entry::connect, Rule::needs_route);
    req.path = path_;
    req.service_id = service_id(destination_.port);
    req.qpn = param.qpn.value != 0 ? param.qpn : qpn_;
    req.srq = param.srq || srq_;
  }
  req.private_data = *private_data;
  req.starting_psn = starting_psn_;
  req.responder_resources = param.responder_resources;
  req.initiator_depth = param.initiator_depth;
  req.flow_control = param.flow_control;
  req.retry_count = three_bits(param.retry_count);
  req.rnr_retry_count = three_bits(param.rnr_retry_count);
  const RequestTiming timing = request_timing();
  req.remote_cm_response_timeout = req.local_cm_response_timeout = timing.response_timeout;
  req.max_cm_retries = timing.retries;
  req.report_unreachable = timing.report_unreachable;
  req.ece = param.ece;
  return connection.send_req(req);
}

Status Id::send_sidr_req(cm::Connection& connection, const ConnParam& param) {
  const auto private_data = private_data_of(param);
  if (!private_data) return refusal(errno_of(private_data), Entry::connect, Rule::datagram_data_too_long);
  cm::SidrReqParam req;
  {
    rt::Lock lock(data_mutex_);
    if (!has_path_) return refusal(EINVAL, Entry::connect, Rule::needs_route);
    req.path = path_;
    req.service_id = service_id(destination_.port);
  }
  req.private_data = *private_data;
  const RequestTiming timing = request_timing();
  req.remote_cm_response_timeout = timing.response_timeout;
  req.max_cm_retries = timing.retries;
  req.report_unreachable = timing.report_unreachable;
  return connection.send_sidr_req(req);
}

// [spec 1.4.26, 1.4.27]
Status Id::accept(const ConnParam* param) {
  handler_mutex_.assert_held();
  Entered entered(contract_, Entry::accept, HW_CALL_SITE);
  return answer(param);
}

Status Id::accept_response() {
  handler_mutex_.assert_held();
  return answer(nullptr);
}

Status Id::answer(const ConnParam* param) {
  if (state() != State::connect) return refusal(EINVAL, Entry::accept, Rule::needs_connect);
  cm::Connection* const lower = connection();
  if (lower == nullptr) return refusal(EINVAL, Entry::accept, Rule::needs_connection);
  Status sent = qp_type_ == QpType::ud ? send_sidr_rep(*lower, param != nullptr ? *param : ConnParam{})
                                       : send_response(*lower, param);
  if (!sent) {
    // The peer must not wait for ever; the error that counts is the first one.
    static_cast<void>(refuse(*lower, static_cast<std::uint16_t>(cm::RejectReason::consumer_defined), {}));
  }
  return sent;
}

// The answer to a request (REP), or to a response (RTU) when there is no parameter [spec 1.10.1, 1.10.2].
Status Id::send_response(cm::Connection& connection, const ConnParam* param) {
  if (param == nullptr) return connection.send_rtu({});
  if (param->private_data.size() > rep_user_data_bytes) {
    return refusal(EINVAL, Entry::accept, Rule::private_data_too_long);
  }
  cm::RepParam rep;
  {
    rt::Lock lock(data_mutex_);
    rep.qpn = param->qpn.value != 0 ? param->qpn : qpn_;
    rep.srq = param->srq || srq_;
    cm::update(record_.get(), [&](cm::LedgerRecord& r) { r.local_qpn = rep.qpn.value; });
  }
  rep.private_data = param->private_data;
  rep.starting_psn = starting_psn_;
  rep.responder_resources = param->responder_resources;
  rep.initiator_depth = param->initiator_depth;
  rep.flow_control = param->flow_control;
  rep.rnr_retry_count = three_bits(param->rnr_retry_count);
  rep.ece = param->ece;
  return connection.send_rep(rep);
}

// The answer of a UD id: its QP, and the Q_Key that its datagrams must carry [spec 1.10.3].
Status Id::send_sidr_rep(cm::Connection& connection, const ConnParam& param) {
  if (param.private_data.size() > sidr_rep_user_data_bytes) {
    return refusal(EINVAL, Entry::accept, Rule::datagram_data_too_long);
  }
  if (param.qkey.value != 0) {
    if (Status fits = set_qkey(param.qkey); !fits) return refusal(EINVAL, Entry::accept, Rule::qkey_differs);
  }
  cm::SidrRepParam rep{.status = cm::SidrStatus::success, .qkey = qkey_or_default(), .ece = param.ece};
  rep.private_data = param.private_data;
  {
    rt::Lock lock(data_mutex_);
    rep.qpn = param.qpn.value != 0 ? param.qpn : qpn_;
    cm::update(record_.get(), [&](cm::LedgerRecord& r) { r.local_qpn = rep.qpn.value; });
  }
  return connection.send_sidr_rep(rep);
}

Status Id::set_qkey(QKey qkey) {
  rt::Lock lock(data_mutex_);
  if (qkey.value == 0 || (qkey_.value != 0 && qkey_ != qkey)) return fail(EINVAL);
  qkey_ = qkey;
  return {};
}

QKey Id::qkey_or_default() {
  rt::Lock lock(data_mutex_);
  if (qkey_.value == 0) qkey_ = qkey_default;
  return qkey_;
}

// [spec 1.4.28]
Status Id::reject(std::uint16_t reason, std::span<const std::byte> private_data) {
  Entered entered(contract_, Entry::reject, HW_CALL_SITE);
  cm::Connection* const lower = connection();
  if (lower == nullptr) return refusal(EINVAL, Entry::reject, Rule::needs_connection);
  return refuse(*lower, reason, private_data);
}

Status Id::reject_response() {
  cm::Connection* const lower = connection();
  if (lower == nullptr) return refusal(EINVAL, Entry::reject, Rule::needs_connection);
  return refuse(*lower, static_cast<std::uint16_t>(cm::RejectReason::consumer_defined), {});
}

// A SIDR_REP has no reasons [spec 1.10.5].
Status Id::refuse(cm::Connection& connection, std::uint16_t reason, std::span<const std::byte> private_data) {
  if (qp_type_ != QpType::ud) {
    if (private_data.size() > rej_user_data_bytes) return refusal(EINVAL, Entry::reject, Rule::private_data_too_long);
    return connection.send_rej(reason, {}, private_data);
  }
  if (private_data.size() > sidr_rep_user_data_bytes) {
    return refusal(EINVAL, Entry::reject, Rule::datagram_data_too_long);
  }
  return connection.send_sidr_rep({.status = cm::SidrStatus::reject, .private_data = private_data});
}

// [spec 1.4.29]
Status Id::disconnect() {
  Entered entered(contract_, Entry::disconnect, HW_CALL_SITE);
  cm::Connection* const lower = connection();
  if (lower == nullptr) return refusal(EINVAL, Entry::disconnect, Rule::needs_connection);
  entered.leave();  // the answer's handler may end the id
  // Whichever of the two fits; 0 even when neither does [spec 1.4].
  if (!lower->send_dreq({})) static_cast<void>(lower->send_drep({}));
  return {};
}

// [spec 1.4.30]
Status Id::notify_established() {
  Entered entered(contract_, Entry::notify_established, HW_CALL_SITE);
  cm::Connection* const lower = connection();
  if (lower == nullptr) return refusal(EINVAL, Entry::notify_established, Rule::needs_connection);
  entered.leave();
  return lower->notify_established();
}

// [spec 1.4.40, 1.12.10, 1.14.2, 1.14.3]
Result<cm::QpAttributes> Id::qp_attributes(cm::QpTarget target) {
  cm::Connection* lower = nullptr;
  Options options;
  cm::QpAttributes attributes;
  {
    rt::Lock lock(data_mutex_);
    if (device_ == nullptr) return fail(EINVAL);
    lower = connection_;
    options = options_;
  }
  if (qp_type_ == QpType::ud) attributes.qkey = qkey_or_default();
  if (lower == nullptr || qp_type_ == QpType::ud) return attributes;  // what INIT needs, whatever was asked [spec 1.4]
  const auto from_cm = lower->qp_attributes(target);
  if (!from_cm) return from_cm;
  attributes = *from_cm;
  if (target == cm::QpTarget::rtr) {
    attributes.receive_psn = starting_psn_;
    if (options.min_rnr_timer) attributes.min_rnr_timer = *options.min_rnr_timer;
  }
  if (target == cm::QpTarget::rts && options.ack_timeout) attributes.timeout = *options.ack_timeout;
  return attributes;
}

}  // namespace hawser::cma
