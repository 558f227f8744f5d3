// Shared receive queues.
#include "abi/verbs/work_requests.hpp"

using namespace hawser;
using namespace hawser::abi;

namespace {

int post_srq_recv(ibv_srq* srq, ibv_recv_wr* list, ibv_recv_wr** bad) {
  auto* shell = live<SrqShell>(srq);
  if (shell == nullptr) {
    *bad = list;
    return EINVAL;
  }
  return post_list<roce::RecvWork>(
      list, bad, [&](auto&& produce) { return shell->srq->post(produce); },
      [&](const ibv_recv_wr& wr, roce::RecvWork& work) { return translate_receive(wr, shell->max_sge, work); });
}

}  // namespace

void hawser::abi::set_shared_receive_operations(verbs_context& context) {
  context.context.ops.post_srq_recv = post_srq_recv;
}

extern "C" {

// ibv_create_srq_ex with a basic queue comes here as well.
ibv_srq* ibv_create_srq(ibv_pd* pd, ibv_srq_init_attr* attributes) {
  PdShell* domain = find<PdShell>(pd);
  if (domain == nullptr) return refuse(EINVAL);
  auto srq = verbs::Srq::create(*domain->context->context, domain->pd,
                                {.max_wr = attributes->attr.max_wr, .max_sge = attributes->attr.max_sge});
  if (!srq) return refuse(errno_of(srq));
  auto* shell = Tables::instance().make<SrqShell>();
  shell->context = domain->context;
  shell->srq = std::move(*srq);
  shell->max_sge = attributes->attr.max_sge;
  shell->srq->set_owner(shell);
  ibv_srq& pub = shell->pub;
  pub.context = pd->context;
  pub.srq_context = attributes->srq_context;
  pub.pd = pd;
  pthread_mutex_init(&pub.mutex, nullptr);
  pthread_cond_init(&pub.cond, nullptr);
  return &pub;
}

int ibv_modify_srq(ibv_srq* srq, ibv_srq_attr* attributes, int mask) {
  SrqShell* shell = find<SrqShell>(srq);
  if (shell == nullptr) return ENOENT;
  if ((mask & ~(IBV_SRQ_MAX_WR | IBV_SRQ_LIMIT)) != 0) return EINVAL;
  const auto named = [&](int bit, std::uint32_t value) {
    return (mask & bit) != 0 ? std::optional(value) : std::nullopt;
  };
  return errno_of(
      shell->srq->modify(named(IBV_SRQ_MAX_WR, attributes->max_wr), named(IBV_SRQ_LIMIT, attributes->srq_limit)));
}

int ibv_query_srq(ibv_srq* srq, ibv_srq_attr* attributes) {
  SrqShell* shell = find<SrqShell>(srq);
  if (shell == nullptr) return ENOENT;
  const verbs::SrqAttributes known = shell->srq->query();
  *attributes = {.max_wr = known.max_wr, .max_sge = known.max_sge, .srq_limit = known.limit};
  return 0;
}

int ibv_destroy_srq(ibv_srq* srq) {
  SrqShell* shell = find<SrqShell>(srq);
  if (shell == nullptr) return ENOENT;
  if (const Status status = shell->srq->close(); !status) return errno_of(status);
  Tables::instance().unmake(shell);
  return 0;
}

}  // extern "C"
