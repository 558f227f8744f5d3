// Queue pairs: creation, states, multicast groups.
#include <algorithm>

#include "abi/c_enum.hpp"
#include "abi/verbs/attributes.hpp"
#include "abi/verbs/work_requests.hpp"

using namespace hawser;
using namespace hawser::abi;

namespace {

verbs::QpCapabilities capabilities_of(const ibv_qp_cap& cap) {
  return {.max_send_wr = cap.max_send_wr,
          .max_recv_wr = cap.max_recv_wr,
          .max_send_sge = cap.max_send_sge,
          .max_recv_sge = cap.max_recv_sge,
          .max_inline_bytes = cap.max_inline_data};
}

ibv_qp_cap public_capabilities(const verbs::QpCapabilities& c) {
  return {.max_send_wr = c.max_send_wr,
          .max_recv_wr = c.max_recv_wr,
          .max_send_sge = c.max_send_sge,
          .max_recv_sge = c.max_recv_sge,
          .max_inline_data = c.max_inline_bytes};
}

// Only fields that the mask names are read: the others may not be initialised.
verbs::QpAttributes attributes_of(const ibv_qp_attr& a, unsigned mask) {
  verbs::QpAttributes out;
  const auto named = [&](ibv_qp_attr_mask bit) { return (mask & static_cast<unsigned>(bit)) != 0; };
  if (named(IBV_QP_STATE)) out.state = static_cast<verbs::QpState>(number_of(a.qp_state));
  if (named(IBV_QP_CUR_STATE)) out.current_state = static_cast<verbs::QpState>(number_of(a.cur_qp_state));
  if (named(IBV_QP_PATH_MTU)) out.path_mtu = static_cast<std::uint8_t>(number_of(a.path_mtu));
  if (named(IBV_QP_PATH_MIG_STATE)) out.path_migration_state = static_cast<std::uint8_t>(number_of(a.path_mig_state));
  if (named(IBV_QP_QKEY)) out.qkey = QKey(a.qkey);
  if (named(IBV_QP_RQ_PSN)) out.receive_psn = Psn(a.rq_psn);
  if (named(IBV_QP_SQ_PSN)) out.send_psn = Psn(a.sq_psn);
  if (named(IBV_QP_DEST_QPN)) out.destination_qpn = Qpn(a.dest_qp_num);
  if (named(IBV_QP_ACCESS_FLAGS)) out.access_flags = a.qp_access_flags;
  if (named(IBV_QP_AV)) out.address = address_of(a.ah_attr);
  if (named(IBV_QP_PKEY_INDEX)) out.pkey_index = a.pkey_index;
  if (named(IBV_QP_EN_SQD_ASYNC_NOTIFY)) out.sqd_async_notify = a.en_sqd_async_notify != 0;
  if (named(IBV_QP_MAX_QP_RD_ATOMIC)) out.max_rd_atomic = a.max_rd_atomic;
  if (named(IBV_QP_MAX_DEST_RD_ATOMIC)) out.max_dest_rd_atomic = a.max_dest_rd_atomic;
  if (named(IBV_QP_MIN_RNR_TIMER)) out.min_rnr_timer = a.min_rnr_timer;
  if (named(IBV_QP_PORT)) out.port = a.port_num;
  if (named(IBV_QP_TIMEOUT)) out.timeout = a.timeout;
  if (named(IBV_QP_RETRY_CNT)) out.retry_count = a.retry_cnt;
  if (named(IBV_QP_RNR_RETRY)) out.rnr_retry = a.rnr_retry;
  return out;
}

ibv_qp_attr public_attributes(const verbs::QpAttributes& a, const verbs::QpCapabilities& capabilities) {
  ibv_qp_attr out{};
  out.qp_state = static_cast<ibv_qp_state>(a.state);
  out.cur_qp_state = static_cast<ibv_qp_state>(a.current_state);
  out.path_mtu = static_cast<ibv_mtu>(a.path_mtu);
  out.path_mig_state = static_cast<ibv_mig_state>(a.path_migration_state);
  out.qkey = a.qkey.value;
  out.rq_psn = a.receive_psn.value;
  out.sq_psn = a.send_psn.value;
  out.dest_qp_num = a.destination_qpn.value;
  out.qp_access_flags = a.access_flags;
  out.cap = public_capabilities(capabilities);
  out.ah_attr = public_address(a.address);
  out.pkey_index = a.pkey_index;
  out.en_sqd_async_notify = a.sqd_async_notify ? 1 : 0;
  out.sq_draining = a.sq_draining ? 1 : 0;
  out.max_rd_atomic = a.max_rd_atomic;
  out.max_dest_rd_atomic = a.max_dest_rd_atomic;
  out.min_rnr_timer = a.min_rnr_timer;
  out.port_num = a.port;
  out.timeout = a.timeout;
  out.retry_cnt = a.retry_count;
  out.rnr_retry = a.rnr_retry;
  return out;
}

// In the struct that programs read. Several threads may be here.
void show_state(ibv_qp& qp, ibv_qp_state state) { __atomic_store_n(&qp.state, state, __ATOMIC_RELAXED); }

// --- creation ---

QpShell* create(ibv_pd* pd, ibv_qp_init_attr& attributes) {
  const int type = number_of(attributes.qp_type);
  if (type != IBV_QPT_RC && type != IBV_QPT_UD) return refuse(EOPNOTSUPP);
  PdShell* domain = find<PdShell>(pd);
  CqShell* send_cq = find<CqShell>(attributes.send_cq);
  CqShell* recv_cq = find<CqShell>(attributes.recv_cq);
  SrqShell* srq = attributes.srq == nullptr ? nullptr : find<SrqShell>(attributes.srq);
  if (domain == nullptr || send_cq == nullptr || recv_cq == nullptr) return refuse(EINVAL);
  if (attributes.srq != nullptr && srq == nullptr) return refuse(EINVAL);
  ContextShell* context = domain->context;
  if (send_cq->context != context || recv_cq->context != context) return refuse(EINVAL);
  if (srq != nullptr && srq->context != context) return refuse(EINVAL);
  if (srq != nullptr) attributes.cap.max_recv_wr = attributes.cap.max_recv_sge = 0;
  auto qp = verbs::Qp::create(*context->context, {.pd = domain->pd,
                                                  .send_cq = send_cq->cq,
                                                  .recv_cq = recv_cq->cq,
                                                  .capabilities = capabilities_of(attributes.cap),
                                                  .signal_all = attributes.sq_sig_all != 0,
                                                  .type = static_cast<verbs::QpType>(attributes.qp_type),
                                                  .srq = srq == nullptr ? nullptr : srq->srq});
  if (!qp) return refuse(errno_of(qp));
  auto* shell = Tables::instance().make<QpShell>();
  shell->context = context;
  shell->qp = std::move(*qp);
  shell->qp->set_owner(shell);
  attributes.cap = public_capabilities(shell->qp->init().capabilities);
  ibv_qp& pub = shell->pub.qp_base;
  pub.context = &context->pub.context;
  pub.qp_context = attributes.qp_context;
  pub.pd = pd;
  pub.send_cq = attributes.send_cq;
  pub.recv_cq = attributes.recv_cq;
  pub.srq = attributes.srq;
  pub.qp_num = shell->qp->qpn().value;
  pub.state = IBV_QPS_RESET;
  pub.qp_type = attributes.qp_type;
  pthread_mutex_init(&pub.mutex, nullptr);
  pthread_cond_init(&pub.cond, nullptr);
  set_work_operations(shell->pub);
  return shell;
}

ibv_qp* create_qp_ex(ibv_context* context, ibv_qp_init_attr_ex* attributes) {
  constexpr std::uint32_t known = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_CREATE_FLAGS | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
  constexpr std::uint64_t datagram_operations = IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM;
  constexpr std::uint64_t connected_operations = IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM |
                                                 IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM |
                                                 IBV_QP_EX_WITH_RDMA_READ | IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP |
                                                 IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD | IBV_QP_EX_WITH_SEND_WITH_INV;
  const std::uint64_t offered =
      number_of(attributes->qp_type) == IBV_QPT_UD ? datagram_operations : connected_operations;
  const auto has = [&](std::uint32_t bit) { return (attributes->comp_mask & bit) != 0; };
  if ((attributes->comp_mask & ~known) != 0 || (has(IBV_QP_INIT_ATTR_CREATE_FLAGS) && attributes->create_flags != 0) ||
      (has(IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) && (attributes->send_ops_flags & ~offered) != 0)) {
    return refuse(EOPNOTSUPP);
  }
  if (!has(IBV_QP_INIT_ATTR_PD) || find_context(context) == nullptr) return refuse(EINVAL);
  // The extended attributes begin with the plain ones.
  QpShell* shell = create(attributes->pd, *reinterpret_cast<ibv_qp_init_attr*>(attributes));
  if (shell == nullptr) return nullptr;
  shell->has_send_operations = has(IBV_QP_INIT_ATTR_SEND_OPS_FLAGS);
  return &shell->pub.qp_base;
}

}  // namespace

void hawser::abi::set_queue_pair_operations(verbs_context& context) { context.create_qp_ex = create_qp_ex; }

extern "C" {

ibv_qp* ibv_create_qp(ibv_pd* pd, ibv_qp_init_attr* attributes) {
  QpShell* shell = create(pd, *attributes);
  return shell == nullptr ? nullptr : &shell->pub.qp_base;
}

ibv_qp_ex* ibv_qp_to_qp_ex(ibv_qp* qp) {
  QpShell* shell = find<QpShell>(qp);
  return shell != nullptr && shell->has_send_operations ? &shell->pub : nullptr;
}

int ibv_modify_qp(ibv_qp* qp, ibv_qp_attr* attributes, int mask) {
  QpShell* shell = find<QpShell>(qp);
  if (shell == nullptr) return ENOENT;
  const auto bits = static_cast<unsigned>(mask);
  const auto known = [&](unsigned bit, const ibv_qp_state& state) {
    return (bits & bit) == 0 || (number_of(state) >= IBV_QPS_RESET && number_of(state) <= IBV_QPS_ERR);
  };
  if (!known(IBV_QP_STATE, attributes->qp_state) || !known(IBV_QP_CUR_STATE, attributes->cur_qp_state)) return EINVAL;
  const Status status = shell->qp->modify(attributes_of(*attributes, bits), bits);
  if (!status) return errno_of(status);
  const verbs::QpState state = shell->qp->state();
  show_state(*qp, static_cast<ibv_qp_state>(state));
  // From now on peers are answered while the program computes.
  if (state == verbs::QpState::rtr) shell->context->engine().ensure_service();
  return 0;
}

int ibv_query_qp(ibv_qp* qp, ibv_qp_attr* attributes, int, ibv_qp_init_attr* init) {
  QpShell* shell = find<QpShell>(qp);
  if (shell == nullptr) return ENOENT;
  *attributes = public_attributes(shell->qp->query(), shell->qp->init().capabilities);
  *init = {.qp_context = qp->qp_context,
           .send_cq = qp->send_cq,
           .recv_cq = qp->recv_cq,
           .srq = qp->srq,
           .cap = attributes->cap,
           .qp_type = static_cast<ibv_qp_type>(shell->qp->init().type),
           .sq_sig_all = shell->qp->init().signal_all ? 1 : 0};
  show_state(*qp, attributes->qp_state);
  return 0;
}

int ibv_destroy_qp(ibv_qp* qp) {
  QpShell* shell = find<QpShell>(qp);
  if (shell == nullptr) return ENOENT;
  if (shell->qp->attached()) return EBUSY;  // as the kernel: detach first
  shell->qp->destroy();
  Tables::instance().unmake(shell);
  return 0;
}

int ibv_attach_mcast(ibv_qp* qp, const ibv_gid* gid, std::uint16_t) {
  QpShell* shell = find<QpShell>(qp);
  return shell == nullptr ? ENOENT : errno_of(shell->qp->attach(gid_of(*gid)));
}

int ibv_detach_mcast(ibv_qp* qp, const ibv_gid* gid, std::uint16_t) {
  QpShell* shell = find<QpShell>(qp);
  return shell == nullptr ? ENOENT : errno_of(shell->qp->detach(gid_of(*gid)));
}

int ibv_query_qp_data_in_order(ibv_qp*, ibv_wr_opcode, std::uint32_t) { return 0; }

}  // extern "C"
