// The id's shared receive queue: QPs that are made on the id afterwards take their receives from it.
#include "abi/rdmacm/support.hpp"

using namespace hawser;
using namespace hawser::abi::rdmacm;

namespace hawser::abi::rdmacm {
namespace {

int create_srq(const Call& call, ibv_srq_init_attr_ex& wanted) {
  rdma_cm_id& id = call.id->pub;
  if (id.srq != nullptr || call.id->device == nullptr) return fail_errno(EINVAL);
  if ((wanted.comp_mask & IBV_SRQ_INIT_ATTR_PD) == 0 || wanted.pd == nullptr) {
    wanted.pd = id.pd;
    wanted.comp_mask |= IBV_SRQ_INIT_ATTR_PD;
  }
  if (wanted.pd == nullptr || wanted.pd->context != id.verbs) return fail_errno(EINVAL);
  id.srq = ibv_create_srq_ex(id.verbs, &wanted);
  if (id.srq == nullptr) return -1;
  id.pd = wanted.pd;
  return 0;
}

}  // namespace
}  // namespace hawser::abi::rdmacm

int rdma_create_srq_ex(rdma_cm_id* id, ibv_srq_init_attr_ex* attributes) {
  const auto call = enter(id);
  if (!call) return answer(call);
  return attributes == nullptr ? fail_errno(EINVAL) : create_srq(*call, *attributes);
}

int rdma_create_srq(rdma_cm_id* id, ibv_pd* pd, ibv_srq_init_attr* attributes) {
  const auto call = enter(id);
  if (!call) return answer(call);
  if (attributes == nullptr) return fail_errno(EINVAL);
  ibv_srq_init_attr_ex wanted{};
  wanted.srq_context = attributes->srq_context;
  wanted.attr = attributes->attr;
  wanted.comp_mask = IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD;
  wanted.srq_type = id->qp_type == IBV_QPT_XRC_RECV ? IBV_SRQT_XRC : IBV_SRQT_BASIC;
  wanted.pd = pd;
  const int result = create_srq(*call, wanted);
  if (result == 0) attributes->attr = wanted.attr;  // what the device granted
  return result;
}

void rdma_destroy_srq(rdma_cm_id* id) {
  const auto call = enter(id);
  if (!call || id->srq == nullptr) return;
  ibv_destroy_srq(id->srq);
  id->srq = nullptr;
}
