// Synchronous endpoints: rdma_create_ep, rdma_get_request [spec 6.4.11-6.4.13].
#include "abi/rdmacm/support.hpp"

using namespace hawser;
using namespace hawser::abi::rdmacm;

namespace hawser::abi::rdmacm {
namespace {

constexpr int resolve_timeout_ms = 2000;
constexpr int rai_passive = RAI_PASSIVE;

int make_passive(CmId& id, const rdma_addrinfo& info, ibv_pd* pd, const ibv_qp_init_attr* attributes) {
  if (rdma_bind_addr(&id.pub, info.ai_src_addr) != 0) return -1;
  if (attributes != nullptr) id.request_qp = *attributes;
  id.request_pd = pd;
  return 0;
}

int set_route(CmId& id, const rdma_addrinfo& info) {
  if (info.ai_route_len == 0) return rdma_resolve_route(&id.pub, resolve_timeout_ms);
  if (rdma_set_option(&id.pub, RDMA_OPTION_IB, RDMA_OPTION_IB_PATH, info.ai_route, info.ai_route_len) != 0) return -1;
  auto call = enter(&id.pub);
  return call ? complete(*call) : answer(call);
}

int make_active(CmId& id, const rdma_addrinfo& info, ibv_pd* pd, ibv_qp_init_attr* attributes) {
  if (rdma_resolve_addr(&id.pub, info.ai_src_addr, info.ai_dst_addr, resolve_timeout_ms) != 0) return -1;
  if (set_route(id, info) != 0) return -1;
  if (attributes != nullptr) {
    attributes->qp_type = static_cast<ibv_qp_type>(info.ai_qp_type);
    if (rdma_create_qp(&id.pub, pd, attributes) != 0) return -1;
  }
  if (info.ai_connect_len > 0 && info.ai_connect != nullptr) {
    const auto* const prefix = static_cast<const std::byte*>(info.ai_connect);
    id.connect_prefix.assign(prefix, prefix + info.ai_connect_len);
  }
  return 0;
}

}  // namespace
}  // namespace hawser::abi::rdmacm

// [spec 6.4.13]
int rdma_create_ep(rdma_cm_id** id, rdma_addrinfo* info, ibv_pd* pd, ibv_qp_init_attr* attributes) {
  if (id == nullptr || info == nullptr) return fail_errno(EINVAL);
  rdma_cm_id* made = nullptr;
  if (create_id(nullptr, &made, nullptr, info->ai_port_space, info->ai_qp_type) != 0) return -1;
  const auto known = Process::current().ids.find(made);
  const int result = (info->ai_flags & rai_passive) != 0 ? make_passive(*known, *info, pd, attributes)
                                                         : make_active(*known, *info, pd, attributes);
  if (result != 0) {
    const int error = errno;
    rdma_destroy_ep(made);
    return fail_errno(error);
  }
  *id = made;
  return 0;
}

void rdma_destroy_ep(rdma_cm_id* id) {
  if (Process::current().ids.find(id) == nullptr) return;
  if (id->qp != nullptr) rdma_destroy_qp(id);
  if (id->srq != nullptr) rdma_destroy_srq(id);
  rdma_destroy_id(id);
}

// [spec 6.4.12]
int rdma_get_request(rdma_cm_id* listen, rdma_cm_id** id) {
  auto call = enter(listen);
  if (!call) return answer(call);
  CmId& listener = *call->id;
  if (!listener.sync.load() || id == nullptr) return fail_errno(EINVAL);
  drop_sync_event(listener);
  call->own.unlock();
  const auto event = fetch_event(listener.channel());
  if (!event) return answer(event);
  rdma_cm_event& fetched = (*event)->pub;
  int error = 0;
  if (fetched.status != 0) error = fetched.status < 0 ? -fetched.status : fetched.status;
  if (error == 0 && (*event)->type() != cma::EventType::connect_request) error = EINVAL;
  if (error != 0) {
    call->own.lock();
    listener.pub.event = &fetched;
    return fail_errno(error);
  }
  if (listener.request_qp) {
    ibv_qp_init_attr attributes = *listener.request_qp;
    attributes.qp_type = fetched.id->qp_type;
    if (rdma_create_qp(fetched.id, listener.request_pd, &attributes) != 0) {
      error = errno;
      rdma_cm_id* const refused = fetched.id;
      rdma_ack_cm_event(&fetched);
      rdma_destroy_id(refused);
      return fail_errno(error);
    }
  }
  fetched.id->event = &fetched;
  *id = fetched.id;
  return 0;
}
