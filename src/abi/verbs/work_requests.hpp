// Work requests: from verbs.h's lists to the queues of verbs.
#pragma once

#include <span>

#include "abi/verbs/objects.hpp"

namespace hawser::abi {

inline void append(roce::SgeList& list, std::span<const ibv_sge> sges) {
  for (const ibv_sge& sge : sges) list.push_back({.addr = sge.addr, .length = sge.length, .lkey = LKey(sge.lkey)});
}

// False if it has more SGEs than the queue takes.
inline bool translate_receive(const ibv_recv_wr& wr, std::uint32_t sges_max, roce::RecvWork& work) {
  if (wr.num_sge < 0 || static_cast<std::uint32_t>(wr.num_sge) > sges_max) return false;
  work.wr_id = wr.wr_id;
  append(work.sges, {wr.sg_list, static_cast<std::size_t>(wr.num_sge)});
  return true;
}

// Posts a list: `Work` is what the QP takes, `Translate(const Wr&, Work&)` says whether a request can be one.
template <class Work, class Wr, class Post, class Translate>
int post_list(Wr* list, Wr** bad, Post&& post, Translate&& translate_one) {
  Wr* reached = nullptr;
  Wr* next = list;
  bool untranslatable = false;
  const Status status = post([&](Work& work) {
    reached = next;
    if (reached == nullptr) return false;
    untranslatable = !translate_one(*reached, work);
    next = reached->next;
    return !untranslatable;
  });
  const int error = untranslatable ? EINVAL : errno_of(status);
  if (error != 0) *bad = reached;
  return error;
}

// The functions behind ibv_wr_*.
void set_work_operations(ibv_qp_ex& qp);

}  // namespace hawser::abi
