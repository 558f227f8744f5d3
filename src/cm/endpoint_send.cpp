// What the owner of a connection does: the "send" rows and the "destroy" row of [spec 5.5].
#include "cm/endpoint.hpp"
#include "cm/timing.hpp"

namespace hawser::cm {
namespace {

constexpr std::uint16_t lid_permissive = 0xFFFF;
constexpr std::uint8_t retries_max = 7;

constexpr std::uint8_t at_most(std::uint8_t value, std::uint8_t limit) { return value < limit ? value : limit; }

// RoCE has no LIDs: what Linux writes in their place [spec 5.3.2].
PathFields path_fields(const Path& path) {
  PathFields f;
  f.subnet_local = path.hop_limit <= 1;
  f.local_lid = f.remote_lid = f.subnet_local ? std::uint16_t{0} : lid_permissive;
  f.local_gid = path.local;
  f.remote_gid = path.remote;
  f.flow_label = path.flow_label;
  f.packet_rate = path.rate;
  f.traffic_class = path.traffic_class;
  f.hop_limit = path.hop_limit;
  f.sl = path.sl;
  f.local_ack_timeout = combine_ack_timeout(local_ca_ack_delay, path.packet_life_time);
  return f;
}

// [spec 5.5.5]
Answered rejected_message(State state) {
  switch (state) {
    case State::req_rcvd:
    case State::mra_req_sent: return Answered::req;
    case State::rep_rcvd:
    case State::mra_rep_sent: return Answered::rep;
    default: return Answered::other;
  }
}

}  // namespace

void Endpoint::send_now(const MadHeader& header, const Body& body) {
  core_.sender.send(address_, encode(header, body));
}

// What it is and asks for is in the request already.
void Endpoint::send_request(Request request, const MadHeader& header, const Body& body) {
  request.to = address_;
  request.mad = encode(header, body);
  request.timeout = request_timeout_;
  request.retries = max_cm_retries_;
  request.peer = remote_id_;
  request.owner = weak_from_this();
  request_ = core_.window.submit(std::move(request));
}

// [spec 5.5.1, 1.12.2]
Status Endpoint::send_req(const ReqParam& param) {
  const Path& path = param.path;
  Req req;
  if (path.device == nullptr || param.private_data.size() > req.private_data.size()) return fail(EINVAL);
  rt::Lock lock(mutex_);
  if (state_ != State::idle) return fail(EINVAL);
  active_ = true;
  path_ = path;
  address_ = address_of(path);
  remote_id_ = {};
  remote_guid_ = {};
  remote_qpn_ = {};
  local_qpn_ = param.qpn;
  receive_psn_ = param.starting_psn;
  own_tid_ = answer_tid_ = core_.tid(local_id());
  request_timeout_ = req_time(path.packet_life_time, at_most(param.remote_cm_response_timeout, exponent_max));
  max_cm_retries_ = at_most(param.max_cm_retries, cm_retries_max);
  ack_timeout_ = at_most(static_cast<std::uint8_t>(at_most(path.packet_life_time, exponent_max) + 1), exponent_max);
  responder_resources_ = param.responder_resources;
  initiator_depth_ = param.initiator_depth;
  retry_count_ = at_most(param.retry_count, retries_max);
  rnr_retry_count_ = at_most(param.rnr_retry_count, retries_max);
  answer_data_.clear();

  req.local_comm_id = local_id();
  req.vendor_id = param.ece.vendor_id;
  req.service_id = param.service_id;
  req.local_ca_guid = path.device->guid();
  req.local_qpn = param.qpn;
  req.responder_resources = param.responder_resources;
  req.initiator_depth = param.initiator_depth;
  req.remote_cm_response_timeout = at_most(param.remote_cm_response_timeout, exponent_max);
  req.flow_control = param.flow_control;
  req.starting_psn = param.starting_psn;
  req.local_cm_response_timeout = at_most(param.local_cm_response_timeout, exponent_max);
  req.retry_count = retry_count_;
  req.pkey = path.pkey;
  req.path_mtu = static_cast<std::uint8_t>(path.mtu);
  req.rnr_retry_count = rnr_retry_count_;
  req.max_cm_retries = max_cm_retries_;
  req.srq = param.srq;
  req.primary = path_fields(path);
  fill(req.private_data, param.private_data);

  MadHeader header;
  header.tid = own_tid_;
  header.attribute_modifier = param.ece.attr_mod;
  write_ledger(State::req_sent);
  send_request({.kind = RequestKind::req, .service = param.service_id, .report_unreachable = param.report_unreachable},
               header, req);
  core_.counters.req_sent.count();
  become(State::req_sent);
  return {};
}

// [spec 5.5.2, 1.12.4]
Status Endpoint::send_rep(const RepParam& param) {
  Rep rep;
  if (param.private_data.size() > rep.private_data.size()) return fail(EINVAL);
  rt::Lock lock(mutex_);
  if (state_ != State::req_rcvd && state_ != State::mra_req_sent) return fail(EINVAL);

  rep.local_comm_id = local_id();
  rep.remote_comm_id = remote_id_;
  rep.local_qpn = param.qpn;
  rep.set_vendor_id(param.ece.vendor_id);
  rep.starting_psn = param.starting_psn;
  rep.responder_resources = param.responder_resources;
  rep.initiator_depth = param.initiator_depth;
  rep.target_ack_delay = at_most(param.target_ack_delay, exponent_max);
  rep.flow_control = param.flow_control;
  rep.rnr_retry_count = at_most(param.rnr_retry_count, retries_max);
  rep.srq = param.srq;
  rep.local_ca_guid = path_.device->guid();
  fill(rep.private_data, param.private_data);

  MadHeader header;
  header.tid = answer_tid_;
  header.attribute_modifier = param.ece.attr_mod;
  local_qpn_ = param.qpn;
  write_ledger(State::rep_sent);
  send_request({.kind = RequestKind::rep}, header, rep);
  receive_psn_ = param.starting_psn;
  responder_resources_ = param.responder_resources;  // the passive side's word counts [spec 5.7]
  initiator_depth_ = param.initiator_depth;
  become(State::rep_sent);
  return {};
}

Rtu Endpoint::make_rtu() const {
  Rtu rtu{.local_comm_id = local_id(), .remote_comm_id = remote_id_};
  fill(rtu.private_data, answer_data_);
  return rtu;
}

// [spec 5.5.3]
Status Endpoint::send_rtu(std::span<const std::byte> private_data) {
  if (private_data.size() > sizeof(Rtu::private_data)) return fail(EINVAL);
  rt::Lock lock(mutex_);
  if (state_ != State::rep_rcvd && state_ != State::mra_rep_sent) return fail(EINVAL);
  answer_data_.assign(private_data.begin(), private_data.end());
  write_ledger(State::established);
  send_now({.tid = answer_tid_}, make_rtu());
  become(State::established);
  return {};
}

Status Endpoint::send_rej(std::uint16_t reason, std::span<const std::byte> additional_info,
                          std::span<const std::byte> private_data) {
  if (additional_info.size() > sizeof(Rej::additional_info) || private_data.size() > sizeof(Rej::private_data)) {
    return fail(EINVAL);
  }
  rt::Lock lock(mutex_);
  return reject(reason, additional_info, private_data);
}

// In which states [spec 1.10.4] says. The message is made from the state that is being left [spec 4 #53].
Status Endpoint::reject(std::uint16_t reason, std::span<const std::byte> additional_info,
                        std::span<const std::byte> private_data) {
  Rej rej;
  // The peer of a REQ that was never answered must not learn an id [spec 5.5].
  rej.local_comm_id = state_ == State::req_rcvd ? CommId{} : local_id();
  rej.remote_comm_id = remote_id_;
  rej.answered = rejected_message(state_);
  rej.reason = reason;
  rej.additional_info_length = static_cast<std::uint8_t>(additional_info.size());
  fill(rej.additional_info, additional_info);
  fill(rej.private_data, private_data);
  switch (state_) {
    case State::req_sent:
    case State::mra_req_rcvd:
    case State::req_rcvd:
    case State::mra_req_sent:
    case State::rep_rcvd:
    case State::mra_rep_sent: become_idle(); break;
    case State::rep_sent:
    case State::mra_rep_rcvd: enter_timewait(); break;
    default: return fail(EINVAL);
  }
  core_.counters.rejects_sent.count();
  send_now({.tid = answer_tid_}, rej);
  return {};
}

// [spec 5.5.4]
Status Endpoint::prepare_mra(std::uint8_t service_timeout) {
  rt::Lock lock(mutex_);
  if (state_ != State::req_rcvd && state_ != State::rep_rcvd) return fail(EINVAL);
  mra_service_timeout_ = service_timeout & exponent_max;
  become(state_ == State::req_rcvd ? State::mra_req_sent : State::mra_rep_sent);
  return {};
}

// [spec 5.7.7]
Dreq Endpoint::make_dreq(std::span<const std::byte> private_data) const {
  Dreq dreq{.local_comm_id = local_id(), .remote_comm_id = remote_id_, .remote_qpn = remote_qpn_};
  fill(dreq.private_data, private_data);
  return dreq;
}

// [spec 5.5.6]
Status Endpoint::send_dreq(std::span<const std::byte> private_data) {
  if (private_data.size() > sizeof(Dreq::private_data)) return fail(EINVAL);
  rt::Lock lock(mutex_);
  return disconnect(private_data);
}

Status Endpoint::disconnect(std::span<const std::byte> private_data) {
  if (state_ != State::established) return fail(EINVAL);
  answer_data_.clear();  // the RTU's
  own_tid_ = core_.tid(local_id());
  send_request({.kind = RequestKind::dreq}, {.tid = own_tid_}, make_dreq(private_data));
  become(State::dreq_sent);
  return {};
}

Drep Endpoint::make_drep() const {
  Drep drep{.local_comm_id = local_id(), .remote_comm_id = remote_id_};
  fill(drep.private_data, answer_data_);
  return drep;
}

// [spec 5.5.7]
Status Endpoint::send_drep(std::span<const std::byte> private_data) {
  if (private_data.size() > sizeof(Drep::private_data)) return fail(EINVAL);
  rt::Lock lock(mutex_);
  if (state_ != State::dreq_rcvd) return fail(EINVAL);
  answer_data_.assign(private_data.begin(), private_data.end());
  enter_timewait();
  send_now({.tid = answer_tid_}, make_drep());
  return {};
}

// Nothing here waits for an answer: what the peer misses, its own timers and our stateless DREP settle [spec 4 #59].
// [spec 2.5.7, 5.5.21]
void Endpoint::end_by_destroy(int reason) {
  switch (state_) {
    case State::req_sent:
    case State::mra_req_rcvd: {
      Bytes<8> guid{};
      write_bits(guid, 0, 0, 64, path_.device->guid().value);
      static_cast<void>(reject(static_cast<std::uint16_t>(RejectReason::timeout), guid, {}));
      break;
    }
    case State::req_rcvd:
      if (reason == -ENOMEM) break;  // the peer's retransmission gets another chance
      [[fallthrough]];
    case State::mra_req_sent:
    case State::rep_rcvd:
    case State::mra_rep_sent:
    case State::rep_sent:
    case State::mra_rep_rcvd:
      static_cast<void>(reject(static_cast<std::uint16_t>(RejectReason::consumer_defined), {}, {}));
      break;
    case State::established:
      own_tid_ = core_.tid(local_id());
      send_now({.tid = own_tid_}, make_dreq({}));
      enter_timewait();
      break;
    case State::dreq_sent: enter_timewait(); break;
    case State::dreq_rcvd:
      answer_data_.clear();
      send_now({.tid = answer_tid_}, make_drep());
      enter_timewait();
      break;
    case State::idle:
    case State::timewait:
    case State::listen:
    case State::sidr_req_sent: break;
    case State::sidr_req_rcvd:
      core_.counters.rejects_sent.count();
      static_cast<void>(resolve_service({.status = SidrStatus::reject}));
      break;
  }
  become_idle();
}

}  // namespace hawser::cm
