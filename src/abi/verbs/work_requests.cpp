// ibv_post_send, ibv_post_recv, ibv_wr_*.
#include "abi/verbs/work_requests.hpp"

using namespace hawser;
using namespace hawser::abi;

namespace {

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

// Of a datagram. False if this is no address handle of the QP's protection domain.
bool set_destination(roce::SendWork& work, ibv_ah* ah, std::uint32_t qpn, std::uint32_t qkey, const verbs::QpInit& qp) {
  const auto* shell = live<AhShell>(ah);
  if (shell == nullptr || shell->ah->pd() != qp.pd) return false;
  work.ud = {.address = shell->ah->address(), .qpn = Qpn(qpn & 0xFFFFFF), .qkey = QKey(qkey)};
  return true;
}

bool translate_send(const ibv_send_wr& wr, const verbs::QpInit& qp, roce::SendWork& work) {
  const verbs::QpCapabilities& capabilities = qp.capabilities;
  if (wr.num_sge < 0 || static_cast<std::uint32_t>(wr.num_sge) > capabilities.max_send_sge) return false;
  if (!set_operation(work, wr)) return false;
  if (qp.type == verbs::QpType::ud &&
      !set_destination(work, wr.wr.ud.ah, wr.wr.ud.remote_qpn, wr.wr.ud.remote_qkey, qp)) {
    return false;
  }
  work.wr_id = wr.wr_id;
  set_flags(work, wr.send_flags);
  const std::span sges(wr.sg_list, static_cast<std::size_t>(wr.num_sge));
  work.inlined = (wr.send_flags & IBV_SEND_INLINE) != 0 && wr.opcode != IBV_WR_RDMA_READ;
  if (work.inlined) return append_inline(work, sges, capabilities.max_inline_bytes);
  append(work.sges, sges);
  return true;
}

int post_send(ibv_qp* qp, ibv_send_wr* list, ibv_send_wr** bad) {
  auto* shell = live<QpShell>(qp);
  if (shell == nullptr) {
    *bad = list;
    return EINVAL;
  }
  const verbs::QpInit& init = shell->qp->init();
  return post_list<roce::SendWork>(
      list, bad, [&](auto&& produce) { return shell->qp->post_send(produce); },
      [&](const ibv_send_wr& wr, roce::SendWork& work) { return translate_send(wr, init, work); });
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
      [&](const ibv_recv_wr& wr, roce::RecvWork& work) { return translate_receive(wr, sges_max, work); });
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
  const Status status = shell.qp->post_sends_or_none(shell.work);
  shell.work.clear();
  shell.building->unlock();
  return errno_of(status);
}

}  // namespace

void hawser::abi::set_work_operations(ibv_qp_ex& qp) {
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
  // With a handle that is none the work has no destination, and is refused when it is posted.
  qp.wr_set_ud_addr = [](ibv_qp_ex* q, ibv_ah* ah, std::uint32_t qpn, std::uint32_t qkey) {
    if (roce::SendWork* work = last(q)) (void)set_destination(*work, ah, qpn, qkey, shell_of(q).qp->init());
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

void hawser::abi::set_work_request_operations(verbs_context& context) {
  context.context.ops.post_send = post_send;
  context.context.ops.post_recv = post_recv;
}
