// IBVERBS_PRIVATE_34: what rdma-core's providers call. No provider ever gets a device here, so that nothing of it is
// called with effect; it exists because libmlx5 and libefa, which many programs link, are bound to it at start.
#include <cerrno>
#include <cstdarg>
#include <cstddef>

#define NOT_OFFERED(name) \
  int name() { return EOPNOTSUPP; }

extern "C" {

bool verbs_allow_disassociate_destroy = false;

void verbs_register_driver_34(const void*) {}
void __verbs_log(void*, unsigned, const char*, ...) {}
void* _verbs_init_and_alloc_context(void*, int, std::size_t, void*, unsigned) {
  errno = EOPNOTSUPP;
  return nullptr;
}
void* verbs_open_device(void*, void*) {
  errno = EOPNOTSUPP;
  return nullptr;
}
void verbs_init_cq(void*, void*, void*, void*) {}
void verbs_set_ops(void*, const void*) {}
void verbs_uninit_context(void*) {}
unsigned __ioctl_final_num_attrs(unsigned count, void*) { return count; }
int ibv_read_ibdev_sysfs_file(char*, std::size_t, void*, const char*, ...) {
  errno = EOPNOTSUPP;
  return -1;
}

NOT_OFFERED(execute_ioctl)
NOT_OFFERED(ibv_cmd_advise_mr)
NOT_OFFERED(ibv_cmd_alloc_dm)
NOT_OFFERED(ibv_cmd_alloc_mw)
NOT_OFFERED(ibv_cmd_alloc_pd)
NOT_OFFERED(ibv_cmd_attach_mcast)
NOT_OFFERED(ibv_cmd_close_xrcd)
NOT_OFFERED(ibv_cmd_create_ah)
NOT_OFFERED(ibv_cmd_create_counters)
NOT_OFFERED(ibv_cmd_create_cq)
NOT_OFFERED(ibv_cmd_create_cq_ex)
NOT_OFFERED(ibv_cmd_create_flow)
NOT_OFFERED(ibv_cmd_create_flow_action_esp)
NOT_OFFERED(ibv_cmd_create_qp)
NOT_OFFERED(ibv_cmd_create_qp_ex)
NOT_OFFERED(ibv_cmd_create_qp_ex2)
NOT_OFFERED(ibv_cmd_create_rwq_ind_table)
NOT_OFFERED(ibv_cmd_create_srq)
NOT_OFFERED(ibv_cmd_create_srq_ex)
NOT_OFFERED(ibv_cmd_create_wq)
NOT_OFFERED(ibv_cmd_dealloc_mw)
NOT_OFFERED(ibv_cmd_dealloc_pd)
NOT_OFFERED(ibv_cmd_dereg_mr)
NOT_OFFERED(ibv_cmd_destroy_ah)
NOT_OFFERED(ibv_cmd_destroy_counters)
NOT_OFFERED(ibv_cmd_destroy_cq)
NOT_OFFERED(ibv_cmd_destroy_flow)
NOT_OFFERED(ibv_cmd_destroy_flow_action)
NOT_OFFERED(ibv_cmd_destroy_qp)
NOT_OFFERED(ibv_cmd_destroy_rwq_ind_table)
NOT_OFFERED(ibv_cmd_destroy_srq)
NOT_OFFERED(ibv_cmd_destroy_wq)
NOT_OFFERED(ibv_cmd_detach_mcast)
NOT_OFFERED(ibv_cmd_free_dm)
NOT_OFFERED(ibv_cmd_get_context)
NOT_OFFERED(ibv_cmd_modify_cq)
NOT_OFFERED(ibv_cmd_modify_flow_action_esp)
NOT_OFFERED(ibv_cmd_modify_qp)
NOT_OFFERED(ibv_cmd_modify_qp_ex)
NOT_OFFERED(ibv_cmd_modify_srq)
NOT_OFFERED(ibv_cmd_modify_wq)
NOT_OFFERED(ibv_cmd_open_qp)
NOT_OFFERED(ibv_cmd_open_xrcd)
NOT_OFFERED(ibv_cmd_poll_cq)
NOT_OFFERED(ibv_cmd_post_recv)
NOT_OFFERED(ibv_cmd_post_send)
NOT_OFFERED(ibv_cmd_post_srq_recv)
NOT_OFFERED(ibv_cmd_query_context)
NOT_OFFERED(ibv_cmd_query_device_any)
NOT_OFFERED(ibv_cmd_query_mr)
NOT_OFFERED(ibv_cmd_query_port)
NOT_OFFERED(ibv_cmd_query_qp)
NOT_OFFERED(ibv_cmd_query_srq)
NOT_OFFERED(ibv_cmd_read_counters)
NOT_OFFERED(ibv_cmd_reg_dm_mr)
NOT_OFFERED(ibv_cmd_reg_dmabuf_mr)
NOT_OFFERED(ibv_cmd_reg_mr)
NOT_OFFERED(ibv_cmd_req_notify_cq)
NOT_OFFERED(ibv_cmd_rereg_mr)
NOT_OFFERED(ibv_cmd_resize_cq)

}  // extern "C"
