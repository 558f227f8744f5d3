// The id's queue pair. In user space it is the library's affair: the connection manager below never sees it
// [spec 6.4.2].
#include <endian.h>

#include <algorithm>
#include <array>
#include <utility>

#include "abi/rdmacm/support.hpp"

namespace hawser::abi::rdmacm {
namespace {

// EADDRNOTAVAIL: the id's own address has gone meanwhile.
Status set_address(const CmId& id, const cm::QpAttributes& from, ibv_qp_attr& to) {
  const auto index = gid_index(id, from.local);
  if (!index) return fail(EADDRNOTAVAIL);
  ibv_ah_attr& address = to.ah_attr;
  std::ranges::copy(from.remote.bytes, address.grh.dgid.raw);
  address.is_global = 1;
  address.grh.flow_label = from.flow_label;
  address.grh.hop_limit = from.hop_limit;
  address.grh.traffic_class = from.traffic_class;
  address.grh.sgid_index = *index;
  address.sl = from.sl;
  address.port_num = id.pub.port_num;
  return {};
}

int init_mask(const CmId& id, const cm::QpAttributes& from, ibv_qp_attr& to) {
  to.pkey_index = 0;
  to.port_num = id.pub.port_num;
  if (id.pub.qp_type == IBV_QPT_UD) {
    to.qkey = from.qkey.value;
    return IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY;
  }
  to.qp_access_flags = IBV_ACCESS_REMOTE_WRITE;
  if (from.remote_read_and_atomic) to.qp_access_flags |= IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;
  return IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
}

Result<int> rtr_mask(const CmId& id, const cm::QpAttributes& from, ibv_qp_attr& to) {
  if (id.pub.qp_type == IBV_QPT_UD) return IBV_QP_STATE;
  if (const Status known = set_address(id, from, to); !known) return fail(known.error());
  to.path_mtu = static_cast<ibv_mtu>(from.path_mtu);
  to.dest_qp_num = from.destination_qpn.value;
  to.rq_psn = from.receive_psn.value;
  to.max_dest_rd_atomic = from.max_dest_rd_atomic;
  to.min_rnr_timer = from.min_rnr_timer;
  const int mask = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
  return id.pub.qp_type == IBV_QPT_UC ? mask : mask | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
}

int rts_mask(const CmId& id, const cm::QpAttributes& from, ibv_qp_attr& to) {
  to.sq_psn = from.send_psn.value;
  to.timeout = from.timeout;
  to.retry_cnt = from.retry_count;
  to.rnr_retry = from.rnr_retry;
  to.max_rd_atomic = from.max_rd_atomic;
  const int mask = IBV_QP_STATE | IBV_QP_SQ_PSN;
  if (id.pub.qp_type == IBV_QPT_UD || id.pub.qp_type == IBV_QPT_UC) return mask;
  return mask | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC;
}

// rdma_init_qp_attr: fills what `attributes.qp_state` needs.
Result<int> init_attributes(const Call& call, ibv_qp_attr& attributes) {
  cm::QpTarget target{};
  switch (attributes.qp_state) {
    case IBV_QPS_INIT: target = cm::QpTarget::init; break;
    case IBV_QPS_RTR: target = cm::QpTarget::rtr; break;
    case IBV_QPS_RTS: target = cm::QpTarget::rts; break;
    default: return fail(EINVAL);
  }
  if (call.id->device == nullptr) return fail(EINVAL);
  const auto known = call.run(&ucm::Manager::init_qp_attr, target);
  if (!known) return fail(known.error());
  // Before there is a connection the answer is what INIT needs, whatever was asked [spec 1.4].
  const bool connected = known->destination_qpn.value != 0 || call.id->pub.qp_type == IBV_QPT_UD;
  if (target == cm::QpTarget::init || !connected) return init_mask(*call.id, *known, attributes);
  if (target == cm::QpTarget::rtr) return rtr_mask(*call.id, *known, attributes);
  return rts_mask(*call.id, *known, attributes);
}

int modify(const Call& call, ibv_qp_attr& attributes) {
  const auto mask = init_attributes(call, attributes);
  if (!mask) return errno_of(mask);
  return ibv_modify_qp(call.id->pub.qp, &attributes, *mask);
}

// The CQs that the library made for the id's QP, taken from it; their end.
struct Queues {
  explicit Queues(rdma_cm_id& id)
      : cqs{std::exchange(id.send_cq, nullptr), std::exchange(id.recv_cq, nullptr)},
        channels{std::exchange(id.send_cq_channel, nullptr), std::exchange(id.recv_cq_channel, nullptr)} {}
  Queues(const Queues&) = delete;
  Queues& operator=(const Queues&) = delete;
  ~Queues() {
    for (std::size_t i = 0; i < cqs.size(); ++i) {
      if (cqs[i] != nullptr) ibv_destroy_cq(cqs[i]);
      if (channels[i] != nullptr) ibv_destroy_comp_channel(channels[i]);
    }
  }
  std::array<ibv_cq*, 2> cqs;
  std::array<ibv_comp_channel*, 2> channels;
};
void destroy_queues(rdma_cm_id& id) { const Queues ended(id); }

// rdma_verbs.h asserts that the context of such a CQ is the id.
int create_queue(rdma_cm_id& id, std::uint32_t entries, ibv_cq*& cq, ibv_comp_channel*& channel) {
  channel = ibv_create_comp_channel(id.verbs);
  if (channel == nullptr) return -1;
  cq = ibv_create_cq(id.verbs, static_cast<int>(std::max(entries, 1U)), &id, channel, 0);
  return cq == nullptr ? -1 : 0;
}

// The CQs that the program did not bring. -1 and errno.
int complete_queues(rdma_cm_id& id, ibv_qp_init_attr_ex& wanted) {
  if ((wanted.send_cq != nullptr && id.send_cq != nullptr && wanted.send_cq != id.send_cq) ||
      (wanted.recv_cq != nullptr && id.recv_cq != nullptr && wanted.recv_cq != id.recv_cq)) {
    return fail_errno(EINVAL);
  }
  if (wanted.recv_cq == nullptr) {
    if (id.recv_cq == nullptr && create_queue(id, wanted.cap.max_recv_wr, id.recv_cq, id.recv_cq_channel) != 0)
      return -1;
    wanted.recv_cq = id.recv_cq;
  }
  if (wanted.send_cq == nullptr) {
    if (id.send_cq == nullptr && create_queue(id, wanted.cap.max_send_wr, id.send_cq, id.send_cq_channel) != 0)
      return -1;
    wanted.send_cq = id.send_cq;
  }
  return 0;
}

// A QP is usable for posting receives as soon as it is there: INIT; a datagram QP is ready to send [spec 4 #18].
// [spec 1.4.39]
int make_usable(const Call& call) {
  if (const int error = qp_to_init(call); error != 0) return error;
  if (call.id->pub.qp_type != IBV_QPT_UD) return 0;
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_RTR;
  if (const int error = ibv_modify_qp(call.id->pub.qp, &attributes, IBV_QP_STATE); error != 0) return error;
  attributes.qp_state = IBV_QPS_RTS;
  attributes.sq_psn = 0;
  return ibv_modify_qp(call.id->pub.qp, &attributes, IBV_QP_STATE | IBV_QP_SQ_PSN);
}

int create_qp(const Call& call, ibv_qp_init_attr_ex& wanted) {
  rdma_cm_id& id = call.id->pub;
  if (id.qp != nullptr || call.id->device == nullptr) return fail_errno(EINVAL);
  if ((wanted.comp_mask & IBV_QP_INIT_ATTR_PD) == 0 || wanted.pd == nullptr) {
    wanted.pd = id.pd;
    wanted.comp_mask |= IBV_QP_INIT_ATTR_PD;
  }
  if (wanted.pd == nullptr || wanted.pd->context != id.verbs) return fail_errno(EINVAL);
  if (wanted.srq == nullptr) wanted.srq = id.srq;
  int result = complete_queues(id, wanted);
  if (result == 0) {
    id.qp = ibv_create_qp_ex(id.verbs, &wanted);
    if (id.qp == nullptr) result = -1;
  }
  if (result == 0) {
    id.qp_type = wanted.qp_type;
    id.pd = wanted.pd;
    if (const int error = make_usable(call); error != 0) {
      ibv_destroy_qp(id.qp);
      id.qp = nullptr;
      result = fail_errno(error);
    }
  }
  if (result != 0) {
    const int error = errno;
    destroy_queues(id);
    return fail_errno(error);
  }
  return answer(call.run(&ucm::Manager::set_qp, Qpn(id.qp->qp_num), id.qp->srq != nullptr));
}

}  // namespace

int qp_to_init(const Call& call) {
  if (call.id->pub.qp == nullptr) return 0;
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_INIT;
  return modify(call, attributes);
}

// 0xFF: what the connection manager negotiated.
int qp_to_rtr_and_rts(const Call& call, std::uint8_t responder_resources, std::uint8_t initiator_depth) {
  if (call.id->pub.qp == nullptr) return 0;
  // Once more: the access flags depend on the depths of this connection.
  if (const int error = qp_to_init(call); error != 0) return error;
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_RTR;
  auto mask = init_attributes(call, attributes);
  if (!mask) return errno_of(mask);
  if (responder_resources != RDMA_MAX_RESP_RES) attributes.max_dest_rd_atomic = responder_resources;
  if (const int error = ibv_modify_qp(call.id->pub.qp, &attributes, *mask); error != 0) return error;

  attributes = {};
  attributes.qp_state = IBV_QPS_RTS;
  mask = init_attributes(call, attributes);
  if (!mask) return errno_of(mask);
  if (initiator_depth != RDMA_MAX_INIT_DEPTH) attributes.max_rd_atomic = initiator_depth;
  return ibv_modify_qp(call.id->pub.qp, &attributes, *mask);
}

int qp_to_error(CmId& id) {
  if (id.pub.qp == nullptr) return 0;
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_ERR;
  return ibv_modify_qp(id.pub.qp, &attributes, IBV_QP_STATE);
}

}  // namespace hawser::abi::rdmacm

using namespace hawser;
using namespace hawser::abi::rdmacm;

int rdma_create_qp_ex(rdma_cm_id* id, ibv_qp_init_attr_ex* attributes) {
  const auto call = enter(id);
  if (!call) return answer(call);
  if (attributes == nullptr) return fail_errno(EINVAL);
  return create_qp(*call, *attributes);
}

int rdma_create_qp(rdma_cm_id* id, ibv_pd* pd, ibv_qp_init_attr* attributes) {
  const auto call = enter(id);
  if (!call) return answer(call);
  if (attributes == nullptr) return fail_errno(EINVAL);
  ibv_qp_init_attr_ex wanted{};
  wanted.qp_context = attributes->qp_context;
  wanted.send_cq = attributes->send_cq;
  wanted.recv_cq = attributes->recv_cq;
  wanted.srq = attributes->srq;
  wanted.cap = attributes->cap;
  wanted.qp_type = attributes->qp_type;
  wanted.sq_sig_all = attributes->sq_sig_all;
  wanted.comp_mask = IBV_QP_INIT_ATTR_PD;
  wanted.pd = pd;
  const int result = create_qp(*call, wanted);
  if (result == 0) attributes->cap = wanted.cap;  // what the device granted
  return result;
}

void rdma_destroy_qp(rdma_cm_id* id) {
  auto call = enter(id);
  if (!call || call->id->pub.qp == nullptr) return;
  detach_memberships(*call->id);
  (void)call->run(&ucm::Manager::set_qp, Qpn(0), false);
  ibv_qp* const qp = std::exchange(id->qp, nullptr);
  const Queues ended(*id);
  call->own.unlock();  // their ends wait until their events are acknowledged
  ibv_destroy_qp(qp);
}

int rdma_init_qp_attr(rdma_cm_id* id, ibv_qp_attr* attributes, int* mask) {
  const auto call = enter(id);
  if (!call) return answer(call);
  if (attributes == nullptr || mask == nullptr) return fail_errno(EINVAL);
  const auto filled = init_attributes(*call, *attributes);
  if (filled) *mask = *filled;
  return answer(filled);
}
