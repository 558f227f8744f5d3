// Queue pairs: creation, states, ibv_post_*, ibv_wr_*.
#include <algorithm>

#include "abi/verbs/objects.hpp"

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

verbs::AddressVector address_of(const ibv_ah_attr& a) {
  verbs::AddressVector out;
  std::ranges::copy(a.grh.dgid.raw, out.destination.bytes.begin());
  out.flow_label = a.grh.flow_label;
  out.source_gid_index = a.grh.sgid_index;
  out.hop_limit = a.grh.hop_limit;
  out.traffic_class = a.grh.traffic_class;
  out.dlid = a.dlid;
  out.service_level = a.sl;
  out.source_path_bits = a.src_path_bits;
  out.static_rate = a.static_rate;
  out.is_global = a.is_global != 0;
  out.port = a.port_num;
  return out;
}

ibv_ah_attr public_address(const verbs::AddressVector& a) {
  ibv_ah_attr out{};
  std::ranges::copy(a.destination.bytes, out.grh.dgid.raw);
  out.grh.flow_label = a.flow_label;
  out.grh.sgid_index = a.source_gid_index;
  out.grh.hop_limit = a.hop_limit;
  out.grh.traffic_class = a.traffic_class;
  out.dlid = a.dlid;
  out.sl = a.service_level;
  out.src_path_bits = a.source_path_bits;
  out.static_rate = a.static_rate;
  out.is_global = a.is_global ? 1 : 0;
  out.port_num = a.port;
  return out;
}

// Only fields that the mask names are read: the others may not be initialised.
verbs::QpAttributes attributes_of(const ibv_qp_attr& a, unsigned mask) {
  verbs::QpAttributes out;
  const auto named = [&](ibv_qp_attr_mask bit) { return (mask & static_cast<unsigned>(bit)) != 0; };
  if (named(IBV_QP_STATE)) out.state = static_cast<verbs::QpState>(a.qp_state);
  if (named(IBV_QP_CUR_STATE)) out.current_state = static_cast<verbs::QpState>(a.cur_qp_state);
  if (named(IBV_QP_PATH_MTU)) out.path_mtu = static_cast<std::uint8_t>(a.path_mtu);
  if (named(IBV_QP_PATH_MIG_STATE)) out.path_migration_state = static_cast<std::uint8_t>(a.path_mig_state);
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

// --- work requests ---

void append(roce::SgeList& list, std::span<const ibv_sge> sges) {
  for (const ibv_sge& sge : sges) list.push_back({.addr = sge.addr, .length = sge.length, .lkey = LKey(sge.lkey)});
}

// False if there is more than `bytes_max`; nothing is read then.
bool append_inline(roce::SendWork& work, std::span<const ibv_sge> sges, std::size_t bytes_max) {
  std::size_t bytes = work.inline_data.size();
  for (const ibv_sge& sge : sges) bytes += sge.length;
  if (bytes > bytes_max) return false;
  for (const ibv_sge& sge : sges) {
    const auto* data = reinterpret_cast<const std::byte*>(sge.addr);
    work.inline_data.insert(work.inline_data.end(), data, data + sge.length);
  }
  return true;
}

void set_flags(roce::SendWork& work, unsigned flags) {
  work.signaled = (flags & IBV_SEND_SIGNALED) != 0;
  work.solicited = (flags & IBV_SEND_SOLICITED) != 0;
  work.fence = (flags & IBV_SEND_FENCE) != 0;
}

// The operation and its own fields. False for what is not spoken here.
bool set_operation(roce::SendWork& work, const ibv_send_wr& wr) {
  work.op = static_cast<roce::WorkOp>(wr.opcode);
  switch (wr.opcode) {
    case IBV_WR_SEND: return true;
    case IBV_WR_SEND_WITH_IMM: work.imm_data = wr.imm_data; return true;
    case IBV_WR_SEND_WITH_INV: work.invalidate_rkey = RKey(wr.invalidate_rkey); return true;
    case IBV_WR_RDMA_WRITE_WITH_IMM: work.imm_data = wr.imm_data; [[fallthrough]];
    case IBV_WR_RDMA_WRITE:
    case IBV_WR_RDMA_READ:
      work.remote_addr = wr.wr.rdma.remote_addr;
      work.rkey = RKey(wr.wr.rdma.rkey);
      return true;
    case IBV_WR_ATOMIC_CMP_AND_SWP:
    case IBV_WR_ATOMIC_FETCH_AND_ADD:
      work.remote_addr = wr.wr.atomic.remote_addr;
      work.rkey = RKey(wr.wr.atomic.rkey);
      work.compare_add = wr.wr.atomic.compare_add;
      work.swap = wr.wr.atomic.swap;
      return true;
    default: return false;
  }
}

bool translate(const ibv_send_wr& wr, const verbs::QpCapabilities& capabilities, roce::SendWork& work) {
  if (wr.num_sge < 0 || static_cast<std::uint32_t>(wr.num_sge) > capabilities.max_send_sge) return false;
  if (!set_operation(work, wr)) return false;
  work.wr_id = wr.wr_id;
  set_flags(work, wr.send_flags);
  const std::span sges(wr.sg_list, static_cast<std::size_t>(wr.num_sge));
  work.inlined = (wr.send_flags & IBV_SEND_INLINE) != 0 && wr.opcode != IBV_WR_RDMA_READ;
  if (work.inlined) return append_inline(work, sges, capabilities.max_inline_bytes);
  append(work.sges, sges);
  return true;
}

// Posts a list: `Work` is what the QP takes, `Translate(const Wr&, Work&)` says whether a request can be one.
template <class Work, class Wr, class Post, class Translate>
int post_list(Wr* list, Wr** bad, Post&& post, Translate&& translate_one) {
  Wr* current = nullptr;
  Wr* next = list;
  bool untranslatable = false;
  const Status status = post([&](Work& work) {
    current = next;
    if (current == nullptr) return false;
    untranslatable = !translate_one(*current, work);
    next = current->next;
    return !untranslatable;
  });
  const int error = untranslatable ? EINVAL : errno_of(status);
  if (error != 0) *bad = current;
  return error;
}

int post_send(ibv_qp* qp, ibv_send_wr* list, ibv_send_wr** bad) {
  auto* shell = live<QpShell>(qp);
  if (shell == nullptr) {
    *bad = list;
    return EINVAL;
  }
  const verbs::QpCapabilities& capabilities = shell->qp->init().capabilities;
  return post_list<roce::SendWork>(
      list, bad, [&](auto&& produce) { return shell->qp->post_send(produce); },
      [&](const ibv_send_wr& wr, roce::SendWork& work) { return translate(wr, capabilities, work); });
}

int post_recv(ibv_qp* qp, ibv_recv_wr* list, ibv_recv_wr** bad) {
  auto* shell = live<QpShell>(qp);
  if (shell == nullptr) {
    *bad = list;
    return EINVAL;
  }
  const std::uint32_t sges_max = shell->qp->init().capabilities.max_recv_sge;
  return post_list<roce::RecvWork>(
      list, bad, [&](auto&& produce) { return shell->qp->post_receive(produce); },
      [&](const ibv_recv_wr& wr, roce::RecvWork& work) {
        if (wr.num_sge < 0 || static_cast<std::uint32_t>(wr.num_sge) > sges_max) return false;
        work.wr_id = wr.wr_id;
        append(work.sges, {wr.sg_list, static_cast<std::size_t>(wr.num_sge)});
        return true;
      });
}

// --- ibv_wr_*: the same, built up by calls ---

QpShell& shell_of(ibv_qp_ex* qp) { return *reinterpret_cast<QpShell*>(qp); }

roce::SendWork& begin(ibv_qp_ex* qp, roce::WorkOp op) {
  roce::SendWork& work = shell_of(qp).work.emplace_back();
  work.op = op;
  work.wr_id = qp->wr_id;
  set_flags(work, qp->wr_flags);
  return work;
}

void begin_rdma(ibv_qp_ex* qp, roce::WorkOp op, std::uint32_t rkey, std::uint64_t address, __be32 imm = 0) {
  roce::SendWork& work = begin(qp, op);
  work.rkey = RKey(rkey);
  work.remote_addr = address;
  work.imm_data = imm;
}

void begin_atomic(ibv_qp_ex* qp, roce::WorkOp op, std::uint32_t rkey, std::uint64_t address, std::uint64_t compare_add,
                  std::uint64_t swap) {
  begin_rdma(qp, op, rkey, address);
  shell_of(qp).work.back().compare_add = compare_add;
  shell_of(qp).work.back().swap = swap;
}

// Data comes after its operation; without one there is nothing to add to.
roce::SendWork* last(ibv_qp_ex* qp) { return shell_of(qp).work.empty() ? nullptr : &shell_of(qp).work.back(); }

void add_inline(ibv_qp_ex* qp, const void* data, std::size_t bytes) {
  roce::SendWork* work = last(qp);
  if (work == nullptr) return;
  work->inlined = true;
  const auto* begin = static_cast<const std::byte*>(data);
  work->inline_data.insert(work->inline_data.end(), begin, begin + bytes);
}

int complete(ibv_qp_ex* qp) {
  QpShell& shell = shell_of(qp);
  auto next = shell.work.begin();
  const Status status = shell.qp->post_send([&](roce::SendWork& work) {
    if (next == shell.work.end()) return false;
    work = std::move(*next++);
    return true;
  });
  shell.work.clear();
  shell.building->unlock();
  return errno_of(status);
}

void set_work_operations(ibv_qp_ex& qp) {
  using roce::WorkOp;
  qp.wr_start = [](ibv_qp_ex* q) {
    shell_of(q).building->lock();
    shell_of(q).work.clear();
  };
  qp.wr_complete = complete;
  qp.wr_abort = [](ibv_qp_ex* q) {
    shell_of(q).work.clear();
    shell_of(q).building->unlock();
  };
  qp.wr_send = [](ibv_qp_ex* q) { begin(q, WorkOp::send); };
  qp.wr_send_imm = [](ibv_qp_ex* q, __be32 imm) { begin(q, WorkOp::send_with_imm).imm_data = imm; };
  qp.wr_send_inv = [](ibv_qp_ex* q, std::uint32_t rkey) {
    begin(q, WorkOp::send_with_inv).invalidate_rkey = RKey(rkey);
  };
  qp.wr_rdma_read = [](ibv_qp_ex* q, std::uint32_t rkey, std::uint64_t at) {
    begin_rdma(q, WorkOp::rdma_read, rkey, at);
  };
  qp.wr_rdma_write = [](ibv_qp_ex* q, std::uint32_t rkey, std::uint64_t at) {
    begin_rdma(q, WorkOp::rdma_write, rkey, at);
  };
  qp.wr_rdma_write_imm = [](ibv_qp_ex* q, std::uint32_t rkey, std::uint64_t at, __be32 imm) {
    begin_rdma(q, WorkOp::rdma_write_with_imm, rkey, at, imm);
  };
  qp.wr_atomic_cmp_swp = [](ibv_qp_ex* q, std::uint32_t rkey, std::uint64_t at, std::uint64_t compare,
                            std::uint64_t swap) {
    begin_atomic(q, WorkOp::atomic_cmp_and_swp, rkey, at, compare, swap);
  };
  qp.wr_atomic_fetch_add = [](ibv_qp_ex* q, std::uint32_t rkey, std::uint64_t at, std::uint64_t add) {
    begin_atomic(q, WorkOp::atomic_fetch_and_add, rkey, at, add, 0);
  };
  qp.wr_set_sge = [](ibv_qp_ex* q, std::uint32_t lkey, std::uint64_t at, std::uint32_t length) {
    if (roce::SendWork* work = last(q)) work->sges.push_back({.addr = at, .length = length, .lkey = LKey(lkey)});
  };
  qp.wr_set_sge_list = [](ibv_qp_ex* q, std::size_t count, const ibv_sge* list) {
    if (roce::SendWork* work = last(q)) append(work->sges, {list, count});
  };
  qp.wr_set_inline_data = [](ibv_qp_ex* q, void* data, std::size_t bytes) { add_inline(q, data, bytes); };
  qp.wr_set_inline_data_list = [](ibv_qp_ex* q, std::size_t count, const ibv_data_buf* list) {
    for (const ibv_data_buf& buffer : std::span(list, count)) add_inline(q, buffer.addr, buffer.length);
  };
}

// --- creation ---

int check_type(const ibv_qp_init_attr& attributes) {
  if (attributes.qp_type != IBV_QPT_RC) return EOPNOTSUPP;
  return attributes.srq == nullptr ? 0 : EOPNOTSUPP;
}

QpShell* create(ibv_pd* pd, ibv_qp_init_attr& attributes) {
  if (const int error = check_type(attributes); error != 0) return refuse(error);
  PdShell* domain = find<PdShell>(pd);
  CqShell* send_cq = find<CqShell>(attributes.send_cq);
  CqShell* recv_cq = find<CqShell>(attributes.recv_cq);
  if (domain == nullptr || send_cq == nullptr || recv_cq == nullptr) return refuse(EINVAL);
  ContextShell* context = domain->context;
  if (send_cq->context != context || recv_cq->context != context) return refuse(EINVAL);
  auto qp = verbs::Qp::create(*context->context, {.pd = domain->pd,
                                                  .send_cq = send_cq->cq,
                                                  .recv_cq = recv_cq->cq,
                                                  .capabilities = capabilities_of(attributes.cap),
                                                  .signal_all = attributes.sq_sig_all != 0});
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
  constexpr std::uint64_t known_operations = IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM |
                                             IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM |
                                             IBV_QP_EX_WITH_RDMA_READ | IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP |
                                             IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD | IBV_QP_EX_WITH_SEND_WITH_INV;
  const auto has = [&](std::uint32_t bit) { return (attributes->comp_mask & bit) != 0; };
  if ((attributes->comp_mask & ~known) != 0 || (has(IBV_QP_INIT_ATTR_CREATE_FLAGS) && attributes->create_flags != 0) ||
      (has(IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) && (attributes->send_ops_flags & ~known_operations) != 0)) {
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

void hawser::abi::set_queue_pair_operations(verbs_context& context) {
  context.create_qp_ex = create_qp_ex;
  context.context.ops.post_send = post_send;
  context.context.ops.post_recv = post_recv;
}

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
  const Status status = shell->qp->modify(attributes_of(*attributes, bits), bits);
  if (!status) return errno_of(status);
  const verbs::QpState state = shell->qp->state();
  qp->state = static_cast<ibv_qp_state>(state);
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
           .srq = nullptr,
           .cap = attributes->cap,
           .qp_type = IBV_QPT_RC,
           .sq_sig_all = shell->qp->init().signal_all ? 1 : 0};
  qp->state = attributes->qp_state;
  return 0;
}

int ibv_destroy_qp(ibv_qp* qp) {
  QpShell* shell = find<QpShell>(qp);
  if (shell == nullptr) return ENOENT;
  shell->qp->destroy();
  Tables::instance().unmake(shell);
  return 0;
}

int ibv_query_qp_data_in_order(ibv_qp*, ibv_wr_opcode, std::uint32_t) { return 0; }

}  // extern "C"
