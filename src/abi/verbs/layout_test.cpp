// The binary contract with programs that were compiled against the distribution's headers.
#include <gtest/gtest.h>

#include "abi/verbs/objects.hpp"

namespace hawser::abi {
namespace {

TEST(Layout, SizesAndOffsetsAreThoseOfTheDistribution) {
  EXPECT_EQ(sizeof(ibv_device), 664U);
  EXPECT_EQ(offsetof(ibv_device, node_type), 16U);
  EXPECT_EQ(offsetof(ibv_device, transport_type), 20U);
  EXPECT_EQ(offsetof(ibv_device, name), 24U);
  EXPECT_EQ(offsetof(ibv_device, dev_name), 88U);
  EXPECT_EQ(offsetof(ibv_device, dev_path), 152U);
  EXPECT_EQ(offsetof(ibv_device, ibdev_path), 408U);
  EXPECT_EQ(sizeof(ibv_context), 328U);
  EXPECT_EQ(offsetof(ibv_context, ops), 8U);
  EXPECT_EQ(offsetof(ibv_context, cmd_fd), 264U);
  EXPECT_EQ(offsetof(ibv_context, async_fd), 268U);
  EXPECT_EQ(offsetof(ibv_context, num_comp_vectors), 272U);
  EXPECT_EQ(offsetof(ibv_context, mutex), 280U);
  EXPECT_EQ(offsetof(ibv_context, abi_compat), 320U);
  EXPECT_EQ(offsetof(ibv_context, ops.alloc_mw), 0x40U);
  EXPECT_EQ(offsetof(ibv_context, ops.bind_mw), 0x48U);
  EXPECT_EQ(offsetof(ibv_context, ops.dealloc_mw), 0x50U);
  EXPECT_EQ(offsetof(ibv_context, ops.poll_cq), 0x60U);
  EXPECT_EQ(offsetof(ibv_context, ops.req_notify_cq), 0x68U);
  EXPECT_EQ(offsetof(ibv_context, ops.post_srq_recv), 0xa8U);
  EXPECT_EQ(offsetof(ibv_context, ops.post_send), 0xd0U);
  EXPECT_EQ(offsetof(ibv_context, ops.post_recv), 0xd8U);
  EXPECT_EQ(sizeof(verbs_context), 648U);
  EXPECT_EQ(offsetof(verbs_context, query_port), 0U);
  EXPECT_EQ(offsetof(verbs_context, create_cq_ex), 200U);
  EXPECT_EQ(offsetof(verbs_context, priv), 208U);
  EXPECT_EQ(offsetof(verbs_context, query_device_ex), 216U);
  EXPECT_EQ(offsetof(verbs_context, create_qp_ex), 264U);
  EXPECT_EQ(offsetof(verbs_context, sz), 312U);
  EXPECT_EQ(offsetof(verbs_context, context), 320U);
  EXPECT_EQ(sizeof(ibv_qp), 160U);
  EXPECT_EQ(offsetof(ibv_qp, handle), 48U);
  EXPECT_EQ(offsetof(ibv_qp, qp_num), 52U);
  EXPECT_EQ(offsetof(ibv_qp, state), 56U);
  EXPECT_EQ(offsetof(ibv_qp, qp_type), 60U);
  EXPECT_EQ(offsetof(ibv_qp, events_completed), 152U);
  EXPECT_EQ(sizeof(ibv_qp_ex), 352U);
  EXPECT_EQ(offsetof(ibv_qp_ex, wr_id), 168U);
  EXPECT_EQ(offsetof(ibv_qp_ex, wr_flags), 176U);
  EXPECT_EQ(offsetof(ibv_qp_ex, wr_atomic_cmp_swp), 184U);
  EXPECT_EQ(offsetof(ibv_qp_ex, wr_atomic_write), 344U);
  EXPECT_EQ(sizeof(ibv_cq), 128U);
  EXPECT_EQ(sizeof(ibv_cq_ex), 288U);
  EXPECT_EQ(offsetof(ibv_cq_ex, status), 132U);
  EXPECT_EQ(offsetof(ibv_cq_ex, wr_id), 136U);
  EXPECT_EQ(offsetof(ibv_cq_ex, start_poll), 144U);
  EXPECT_EQ(sizeof(ibv_srq), 128U);
  EXPECT_EQ(sizeof(ibv_pd), 16U);
  EXPECT_EQ(sizeof(ibv_mr), 48U);
  EXPECT_EQ(sizeof(ibv_mw), 32U);
  EXPECT_EQ(sizeof(ibv_ah), 24U);
  EXPECT_EQ(sizeof(ibv_comp_channel), 16U);
  EXPECT_EQ(sizeof(ibv_xrcd), 8U);
  EXPECT_EQ(sizeof(ibv_dm), 32U);
  EXPECT_EQ(sizeof(ibv_wq), 152U);
  EXPECT_EQ(sizeof(ibv_td), 8U);
  EXPECT_EQ(sizeof(ibv_port_attr), 52U);
  EXPECT_EQ(sizeof(ibv_wc), 48U);
}

TEST(Layout, ShellsBeginWithWhatProgramsSee) {
  const auto begins_with_public = [](const auto& shell) {
    return static_cast<const void*>(&shell.pub) == static_cast<const void*>(&shell);
  };
  EXPECT_TRUE(begins_with_public(DeviceShell{}));
  EXPECT_TRUE(begins_with_public(PdShell{}));
  EXPECT_TRUE(begins_with_public(MrShell{}));
  EXPECT_TRUE(begins_with_public(ChannelShell{}));
  EXPECT_TRUE(begins_with_public(CqShell{}));
  EXPECT_TRUE(begins_with_public(QpShell{}));
  EXPECT_GE(sizeof(DeviceShell), sizeof(ibv_device) + 64);
}

}  // namespace
}  // namespace hawser::abi
