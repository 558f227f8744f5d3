// Service id resolution: which datagram QP serves this? One question and one answer, no connection [spec 5.4, 5.5].
#include <algorithm>

#include "cm/endpoint.hpp"
#include "cm/timing.hpp"

namespace hawser::cm {

// [spec 5.5.1]
Status Endpoint::send_sidr_req(const SidrReqParam& param) {
  SidrReq req;
  if (param.path.device == nullptr || param.private_data.size() > req.private_data.size()) return fail(EINVAL);
  rt::Lock lock(mutex_);
  if (state_ != State::idle) return fail(EINVAL);
  active_ = true;
  path_ = param.path;
  address_ = address_of(path_);
  remote_id_ = {};
  own_tid_ = core_.tid(local_id());
  request_timeout_ = cm_time(param.remote_cm_response_timeout);
  max_cm_retries_ = std::min(param.max_cm_retries, cm_retries_max);

  req.request_id = local_id();
  req.pkey = path_.pkey;
  req.service_id = param.service_id;
  fill(req.private_data, param.private_data);
  send_request(
      {.kind = RequestKind::sidr_req, .service = param.service_id, .report_unreachable = param.report_unreachable},
      {.tid = own_tid_}, req);
  core_.counters.sidr_req_sent.count();
  become(State::sidr_req_sent);
  return {};
}

Status Endpoint::send_sidr_rep(const SidrRepParam& param) {
  if (param.private_data.size() > sizeof(SidrRep::private_data)) return fail(EINVAL);
  if (param.additional_info.size() > sizeof(SidrRep::additional_info)) return fail(EINVAL);
  rt::Lock lock(mutex_);
  return resolve_service(param);
}

// → IDLE: nothing more comes [spec 5.5.24]. The answer is kept for a peer that has missed it.
Status Endpoint::resolve_service(const SidrRepParam& param) {
  if (state_ != State::sidr_req_rcvd) return fail(EINVAL);
  SidrRep rep;
  rep.request_id = sidr_request_.request_id;
  rep.status = static_cast<std::uint8_t>(param.status);
  rep.set_vendor_id(param.ece.vendor_id);
  rep.qpn = param.qpn;
  rep.service_id = sidr_service_;
  rep.qkey = param.qkey;
  rep.additional_info_length = static_cast<std::uint8_t>(param.additional_info.size());
  fill(rep.additional_info, param.additional_info);
  fill(rep.private_data, param.private_data);
  const verbs::Mad mad = encode({.tid = answer_tid_, .attribute_modifier = param.ece.attr_mod}, rep);
  core_.sender.send(address_, mad);
  // Next time somebody may listen.
  if (param.status != SidrStatus::unsupported) {
    core_.sidr_requests.answer(sidr_request_, mad, core_.dispatcher.world().now());
  }
  become_idle();
  return {};
}

void Endpoint::become_sidr_req_rcvd(const SidrRequests::Key& request, ServiceId service, const Path& path) {
  rt::Lock lock(mutex_);
  path_ = path;
  address_ = address_of(path_);
  remote_id_ = request.request_id;
  active_ = false;
  peer_tid_ = answer_tid_ = request.tid;
  sidr_request_ = request;
  sidr_service_ = service;
  become(State::sidr_req_rcvd);
}

// [spec 5.5.23]
void Endpoint::on_sidr_rep(const MadHeader& header, const SidrRep& rep) {
  {
    rt::Lock lock(mutex_);
    if (state_ != State::sidr_req_sent) {
      core_.counters.duplicates.count();
      return;
    }
    request_answered();
    become_idle();
  }
  Event event;
  event.kind = EventKind::sidr_rep_received;
  event.private_data = rep.private_data;
  event.sidr_rep.status = static_cast<SidrStatus>(rep.status);
  event.sidr_rep.qpn = rep.qpn;
  event.sidr_rep.qkey = rep.qkey;
  event.sidr_rep.ece = {rep.vendor_id(), header.attribute_modifier};
  event.sidr_rep.additional_info =
      std::span<const std::byte>(rep.additional_info)
          .first(std::min<std::size_t>(rep.additional_info_length, rep.additional_info.size()));
  deliver(event);
}

}  // namespace hawser::cm
