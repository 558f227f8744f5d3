// Making and ending connections [spec 6.4].
#include <algorithm>

#include "abi/c_enum.hpp"
#include "abi/rdmacm/support.hpp"

using namespace hawser;
using namespace hawser::abi::rdmacm;

namespace hawser::abi::rdmacm {
namespace {

constexpr std::uint8_t device_max = 0xFF;  // RDMA_MAX_RESP_RES, RDMA_MAX_INIT_DEPTH

// [spec 6.4.3, 6.4.4]
Status check(const CmId& id, const rdma_conn_param* param) {
  if (id.device == nullptr) return fail(EINVAL);
  if (id.pub.ps != RDMA_PS_TCP) return {};
  if (id.pub.qp == nullptr && param == nullptr) return fail(EINVAL);
  if (param == nullptr) return {};
  const auto too_many = [](std::uint8_t wanted, std::uint8_t most) { return wanted != device_max && wanted > most; };
  if (too_many(param->responder_resources, id.device->max_responder_resources)) return fail(EINVAL);
  if (too_many(param->initiator_depth, id.device->max_initiator_depth)) return fail(EINVAL);
  return {};
}

std::vector<std::byte> private_data(const CmId& id, const rdma_conn_param* param) {
  std::vector<std::byte> data = id.connect_prefix;
  if (param != nullptr && param->private_data != nullptr) {
    const auto* const bytes = static_cast<const std::byte*>(param->private_data);
    data.insert(data.end(), bytes, bytes + param->private_data_len);
  }
  return data;
}

cma::ConnParam to_conn_param(const CmId& id, const rdma_conn_param* param, std::span<const std::byte> data) {
  constexpr std::uint8_t retries = 7;
  cma::ConnParam out;
  out.private_data = data;
  out.responder_resources = id.responder_resources;
  out.initiator_depth = id.initiator_depth;
  out.retry_count = out.rnr_retry_count = retries;
  if (param != nullptr) {
    out.flow_control = param->flow_control != 0;
    out.retry_count = param->retry_count;
    out.rnr_retry_count = param->rnr_retry_count;
    out.srq = param->srq != 0;
    out.qpn = Qpn(param->qp_num);
  }
  if (id.pub.qp != nullptr) {
    out.qpn = Qpn(id.pub.qp->qp_num);
    out.srq = id.pub.qp->srq != nullptr;
  }
  out.ece = id.local_ece;
  return out;
}

// [spec 6.4.3]
int connect(Call& call, const rdma_conn_param* param) {
  CmId& id = *call.id;
  if (const Status valid = check(id, param); !valid) return answer(valid);
  const bool take_depth = param != nullptr && param->initiator_depth != device_max;
  const bool take_resources = param != nullptr && param->responder_resources != device_max;
  id.initiator_depth = take_depth ? param->initiator_depth : id.device->max_initiator_depth;
  id.responder_resources = take_resources ? param->responder_resources : id.device->max_responder_resources;
  if (const int error = offer_ece(id); error != 0) return fail_errno(error);
  const auto data = private_data(id, param);
  const Status sent = call.run(&ucm::Manager::connect, to_conn_param(id, param, data));
  if (!sent) return answer(sent);
  id.connect_prefix.clear();
  return complete(call);
}

// [spec 6.4.4]
int accept(Call& call, const rdma_conn_param* param) {
  CmId& id = *call.id;
  if (const Status valid = check(id, param); !valid) return answer(valid);
  // The request's depths, unless the program asks for its own.
  id.initiator_depth = param != nullptr && param->initiator_depth != device_max
                           ? param->initiator_depth
                           : std::min(id.initiator_depth, id.device->max_initiator_depth);
  id.responder_resources = param != nullptr && param->responder_resources != device_max
                               ? param->responder_resources
                               : std::min(id.responder_resources, id.device->max_responder_resources);
  const bool datagrams = id.pub.qp_type == IBV_QPT_UD;
  // Before the REP leaves: the peer may send as soon as it has it.
  if (!datagrams) {
    if (const int error = take_ece(id); error != 0) return fail_errno(error);
    if (const int error = qp_to_rtr_and_rts(call, id.responder_resources, id.initiator_depth); error != 0) {
      return fail_errno(error);
    }
    if (const int error = offer_ece(id); error != 0) return fail_errno(error);
  }
  const auto data = private_data(id, param);
  const Status accepted = call.run(&ucm::Manager::accept, uid_of(id), to_conn_param(id, param, data));
  if (!accepted) {
    (void)qp_to_error(id);
    return answer(accepted);
  }
  return datagrams ? 0 : complete(call);
}

int reject(const rdma_cm_id* id, cm::RejectReason reason, const void* data, std::uint8_t length) {
  const auto call = enter(id);
  if (!call) return answer(call);
  if (data == nullptr) length = 0;
  return answer(call->run(&ucm::Manager::reject, static_cast<std::uint16_t>(reason),
                          {static_cast<const std::byte*>(data), length}));
}

}  // namespace
}  // namespace hawser::abi::rdmacm

int rdma_connect(rdma_cm_id* id, rdma_conn_param* param) {
  auto call = enter(id);
  return call ? connect(*call, param) : answer(call);
}

int rdma_accept(rdma_cm_id* id, rdma_conn_param* param) {
  auto call = enter(id);
  return call ? accept(*call, param) : answer(call);
}

int rdma_listen(rdma_cm_id* id, int backlog) {
  const auto call = enter(id);
  if (!call) return answer(call);
  const Status listening = call->run(&ucm::Manager::listen, backlog);
  return listening ? answer(query(*call)) : answer(listening);  // the port may be new
}

int rdma_reject(rdma_cm_id* id, const void* data, uint8_t length) {
  return reject(id, cm::RejectReason::consumer_defined, data, length);
}

// [spec 6.4.6]
int rdma_reject_ece(rdma_cm_id* id, const void* data, uint8_t length) {
  return reject(id, cm::RejectReason::vendor_option, data, length);
}

int rdma_notify(rdma_cm_id* id, ibv_event_type event) {
  const auto call = enter(id);
  return call ? answer(call->run(&ucm::Manager::notify, abi::number_of(event))) : answer(call);
}

// [spec 6.4.5]
int rdma_disconnect(rdma_cm_id* id) {
  auto call = enter(id);
  if (!call) return answer(call);
  if (const int error = qp_to_error(*call->id); error != 0) return fail_errno(error);
  const Status asked = call->run(&ucm::Manager::disconnect);
  return asked ? complete(*call) : answer(asked);
}

// [spec 6.4.2]
int rdma_establish(rdma_cm_id* id) {
  const auto call = enter(id);
  if (!call) return answer(call);
  if (call->id->pub.qp != nullptr) return fail_errno(EINVAL);
  return answer(call->run(&ucm::Manager::accept_response));
}
