// Public functions that exist, so that programs start, and fail with EOPNOTSUPP.
#include "abi/verbs/objects.hpp"

using namespace hawser::abi;

extern "C" {

// A soft device has no Ethernet addresses to know: the kernel finds them.
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
