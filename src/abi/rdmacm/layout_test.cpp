// Programs were compiled against these sizes and offsets: they are the distribution's.
#include <cstddef>

#include <gtest/gtest.h>

#include "abi/rdmacm/public.hpp"

namespace {

TEST(RdmacmLayout, StructuresHaveTheDistributionsSizes) {
  EXPECT_EQ(sizeof(rdma_cm_id), 416U);
  EXPECT_EQ(sizeof(rdma_event_channel), 4U);
  EXPECT_EQ(sizeof(rdma_cm_event), 80U);
  EXPECT_EQ(sizeof(rdma_addrinfo), 96U);
  EXPECT_EQ(sizeof(rdma_conn_param), 24U);
  EXPECT_EQ(sizeof(rdma_route), 312U);
}

TEST(RdmacmLayout, FieldsOfAnIdLieWhereInlineFunctionsReadThem) {
  EXPECT_EQ(offsetof(rdma_cm_id, verbs), 0U);
  EXPECT_EQ(offsetof(rdma_cm_id, channel), 8U);
  EXPECT_EQ(offsetof(rdma_cm_id, context), 16U);
  EXPECT_EQ(offsetof(rdma_cm_id, qp), 24U);
  EXPECT_EQ(offsetof(rdma_cm_id, route), 32U);
  EXPECT_EQ(offsetof(rdma_cm_id, ps), 344U);
  EXPECT_EQ(offsetof(rdma_cm_id, port_num), 348U);
  EXPECT_EQ(offsetof(rdma_cm_id, event), 352U);
  EXPECT_EQ(offsetof(rdma_cm_id, send_cq_channel), 360U);
  EXPECT_EQ(offsetof(rdma_cm_id, send_cq), 368U);
  EXPECT_EQ(offsetof(rdma_cm_id, recv_cq_channel), 376U);
  EXPECT_EQ(offsetof(rdma_cm_id, recv_cq), 384U);
  EXPECT_EQ(offsetof(rdma_cm_id, srq), 392U);
  EXPECT_EQ(offsetof(rdma_cm_id, pd), 400U);
  EXPECT_EQ(offsetof(rdma_cm_id, qp_type), 408U);
}

}  // namespace
