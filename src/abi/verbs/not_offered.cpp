// Public functions that exist, so that programs start, and fail with EOPNOTSUPP.
#include "abi/verbs/objects.hpp"

using namespace hawser::abi;

extern "C" {

// Shared receive queues.
ibv_srq* ibv_create_srq(ibv_pd*, ibv_srq_init_attr*) { return refuse(EOPNOTSUPP); }
int ibv_modify_srq(ibv_srq*, ibv_srq_attr*, int) { return EOPNOTSUPP; }
int ibv_query_srq(ibv_srq*, ibv_srq_attr*) { return EOPNOTSUPP; }
int ibv_destroy_srq(ibv_srq*) { return EOPNOTSUPP; }

// Datagrams and multicast.
ibv_ah* ibv_create_ah(ibv_pd*, ibv_ah_attr*) { return refuse(EOPNOTSUPP); }
ibv_ah* ibv_create_ah_from_wc(ibv_pd*, ibv_wc*, ibv_grh*, std::uint8_t) { return refuse(EOPNOTSUPP); }
int ibv_init_ah_from_wc(ibv_context*, std::uint8_t, ibv_wc*, ibv_grh*, ibv_ah_attr*) { return EOPNOTSUPP; }
int ibv_destroy_ah(ibv_ah*) { return EOPNOTSUPP; }
int ibv_attach_mcast(ibv_qp*, const ibv_gid*, std::uint16_t) { return EOPNOTSUPP; }
int ibv_detach_mcast(ibv_qp*, const ibv_gid*, std::uint16_t) { return EOPNOTSUPP; }
int ibv_resolve_eth_l2_from_gid(ibv_context*, ibv_ah_attr*, std::uint8_t*, std::uint16_t*) { return EOPNOTSUPP; }

// Memory that is shared with other processes or devices, or changed in place.
ibv_mr* ibv_reg_dmabuf_mr(ibv_pd*, std::uint64_t, std::size_t, std::uint64_t, int, int) { return refuse(EOPNOTSUPP); }
int ibv_rereg_mr(ibv_mr*, int, ibv_pd*, void*, std::size_t, int) {
  errno = EOPNOTSUPP;
  return IBV_REREG_MR_ERR_INPUT;
}
ibv_context* ibv_import_device(int) { return refuse(EOPNOTSUPP); }
ibv_pd* ibv_import_pd(ibv_context*, std::uint32_t) { return refuse(EOPNOTSUPP); }
void ibv_unimport_pd(ibv_pd*) {}
ibv_mr* ibv_import_mr(ibv_pd*, std::uint32_t) { return refuse(EOPNOTSUPP); }
void ibv_unimport_mr(ibv_mr*) {}
ibv_dm* ibv_import_dm(ibv_context*, std::uint32_t) { return refuse(EOPNOTSUPP); }
void ibv_unimport_dm(ibv_dm*) {}

int ibv_set_ece(ibv_qp*, ibv_ece*) { return EOPNOTSUPP; }
int ibv_query_ece(ibv_qp*, ibv_ece*) { return EOPNOTSUPP; }

// Newer than the headers that we are built against: IBVERBS_1.15 to 1.17.
void* ibv_alloc_dmah(ibv_context*, void*) { return refuse(EOPNOTSUPP); }
int ibv_dealloc_dmah(void*) { return EOPNOTSUPP; }
ibv_mr* ibv_reg_mr_ex(ibv_pd*, void*) { return refuse(EOPNOTSUPP); }
int ibv_dm_export_dmabuf_fd(ibv_dm*) {
  errno = EOPNOTSUPP;
  return -1;
}
int ibv_query_port_speed(ibv_context*, std::uint32_t, std::uint64_t*) { return EOPNOTSUPP; }
void* ibv_alloc_buf(ibv_pd*, void*) { return refuse(EOPNOTSUPP); }
int ibv_free_buf(void*) { return EOPNOTSUPP; }
ibv_mr* ibv_reg_buf_mr(ibv_pd*, void*) { return refuse(EOPNOTSUPP); }

}  // extern "C"
