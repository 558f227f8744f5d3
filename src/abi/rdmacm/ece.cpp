// Enhanced connection establishment: options that the vendors of two devices agree on through REQ and REP [spec 5.7].
// The library negotiates for a QP of the id; for one that it does not know the program does with these calls.
#include "abi/rdmacm/support.hpp"

namespace hawser::abi::rdmacm {

int offer_ece(CmId& id) {
  if (id.pub.qp == nullptr) return 0;
  ibv_ece ece{};
  const int error = ibv_query_ece(id.pub.qp, &ece);
  if (error != 0) return error == EOPNOTSUPP ? 0 : error;  // a device that has no such options
  id.local_ece = {ece.vendor_id & ece_vendor_mask, ece.options};
  return 0;
}

int take_ece(CmId& id) {
  if (id.pub.qp == nullptr || id.remote_ece.vendor_id == 0) return 0;
  ibv_ece ece{id.remote_ece.vendor_id, id.remote_ece.attr_mod, 0};
  const int error = ibv_set_ece(id.pub.qp, &ece);
  return error == EOPNOTSUPP ? 0 : error;
}

}  // namespace hawser::abi::rdmacm

using namespace hawser;
using namespace hawser::abi::rdmacm;

// [spec 6.4.19]
int rdma_set_local_ece(rdma_cm_id* id, ibv_ece* ece) {
  const auto call = enter(id);
  if (!call) return answer(call);
  if (ece == nullptr || id->qp != nullptr || ece->vendor_id == 0 || ece->comp_mask != 0) return fail_errno(EINVAL);
  call->id->local_ece = {ece->vendor_id & ece_vendor_mask, ece->options};
  return 0;
}

int rdma_get_remote_ece(rdma_cm_id* id, ibv_ece* ece) {
  const auto call = enter(id);
  if (!call) return answer(call);
  if (ece == nullptr || id->qp != nullptr) return fail_errno(EINVAL);
  *ece = {call->id->remote_ece.vendor_id, call->id->remote_ece.attr_mod, 0};
  return 0;
}
