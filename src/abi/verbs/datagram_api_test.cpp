// Datagrams, multicast and shared receives through the C interface, over a Stack of two devices on a simulated network.
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>
#include <infiniband/verbs.h>

namespace {

constexpr std::uint32_t qkey = 0x11111111;
constexpr std::size_t grh_bytes = sizeof(ibv_grh);

class DatagramApi : public testing::Test {
 protected:
  DatagramApi() {
    constexpr int rights = IBV_ACCESS_LOCAL_WRITE;  // an int: the macro below mixes enumerations
    ibv_device** list = ibv_get_device_list(nullptr);
    for (std::size_t i = 0; i < 2; ++i) {
      context[i] = ibv_open_device(list[i]);
      pd[i] = ibv_alloc_pd(context[i]);
      cq[i] = ibv_create_cq(context[i], 16, nullptr, nullptr, 0);
      mr[i] = ibv_reg_mr(pd[i], memory[i].data(), memory[i].size(), rights);
    }
    ibv_free_device_list(list);
  }
  ~DatagramApi() override {
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(qp[i] == nullptr ? 0 : ibv_destroy_qp(qp[i]), 0);
      EXPECT_EQ(srq[i] == nullptr ? 0 : ibv_destroy_srq(srq[i]), 0);
      EXPECT_EQ(ibv_dereg_mr(mr[i]), 0);
      EXPECT_EQ(ibv_destroy_cq(cq[i]), 0);
      EXPECT_EQ(ibv_dealloc_pd(pd[i]), 0);
      EXPECT_EQ(ibv_close_device(context[i]), 0);
    }
  }

  void create_qp(std::size_t i, std::uint64_t send_operations = 0) {
    ibv_qp_init_attr_ex attributes{};
    attributes.send_cq = attributes.recv_cq = cq[i];
    attributes.cap = {.max_send_wr = 8, .max_recv_wr = 8, .max_send_sge = 2, .max_recv_sge = 2, .max_inline_data = 32};
    attributes.qp_type = IBV_QPT_UD;
    attributes.srq = srq[i];
    attributes.pd = pd[i];
    attributes.comp_mask = IBV_QP_INIT_ATTR_PD;
    if (send_operations != 0) {
      attributes.comp_mask |= IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
      attributes.send_ops_flags = send_operations;
    }
    qp[i] = ibv_create_qp_ex(context[i], &attributes);
    ASSERT_NE(qp[i], nullptr);
    ibv_qp_attr a{};
    a.qp_state = IBV_QPS_INIT;
    a.port_num = 1;
    a.qkey = qkey;
    ASSERT_EQ(ibv_modify_qp(qp[i], &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY), 0);
    a.qp_state = IBV_QPS_RTR;
    ASSERT_EQ(ibv_modify_qp(qp[i], &a, IBV_QP_STATE), 0);
    a.qp_state = IBV_QPS_RTS;
    ASSERT_EQ(ibv_modify_qp(qp[i], &a, IBV_QP_STATE | IBV_QP_SQ_PSN), 0);
  }
  ibv_gid gid(std::size_t i) {
    ibv_gid out{};
    EXPECT_EQ(ibv_query_gid(context[i], 1, 0, &out), 0);
    return out;
  }
  ibv_ah* create_ah(std::size_t from, const ibv_gid& to) {
    ibv_ah_attr attributes{};
    attributes.is_global = 1;
    attributes.port_num = 1;
    attributes.grh.dgid = to;
    attributes.grh.hop_limit = 9;
    return ibv_create_ah(pd[from], &attributes);
  }
  int post_receive(std::size_t i, std::uint64_t id) {
    ibv_sge list{.addr = reinterpret_cast<std::uintptr_t>(memory[i].data()), .length = 1000, .lkey = mr[i]->lkey};
    ibv_recv_wr wr{.wr_id = id, .next = nullptr, .sg_list = &list, .num_sge = 1};
    ibv_recv_wr* bad = nullptr;
    return srq[i] != nullptr ? ibv_post_srq_recv(srq[i], &wr, &bad) : ibv_post_recv(qp[i], &wr, &bad);
  }
  int send(std::size_t i, ibv_ah* ah, std::uint32_t qpn, const char* text) {
    std::strcpy(reinterpret_cast<char*>(memory[i].data()) + 2000, text);
    ibv_sge list{.addr = reinterpret_cast<std::uintptr_t>(memory[i].data()) + 2000,
                 .length = static_cast<std::uint32_t>(std::strlen(text) + 1),
                 .lkey = mr[i]->lkey};
    ibv_send_wr wr{};
    wr.sg_list = &list;
    wr.num_sge = 1;
    wr.opcode = IBV_WR_SEND_WITH_IMM;
    wr.imm_data = 77;
    wr.wr.ud.ah = ah;
    wr.wr.ud.remote_qpn = qpn;
    wr.wr.ud.remote_qkey = qkey;
    ibv_send_wr* bad = nullptr;
    return ibv_post_send(qp[i], &wr, &bad);
  }
  ibv_wc next(std::size_t i) {
    ibv_wc wc{};
    while (ibv_poll_cq(cq[i], 1, &wc) == 0) {
    }
    return wc;
  }
  const char* text(std::size_t i) { return reinterpret_cast<const char*>(memory[i].data()) + grh_bytes; }

  std::array<ibv_context*, 2> context{};
  std::array<ibv_pd*, 2> pd{};
  std::array<ibv_cq*, 2> cq{};
  std::array<ibv_mr*, 2> mr{};
  std::array<ibv_srq*, 2> srq{};
  std::array<ibv_qp*, 2> qp{};
  std::array<std::array<unsigned char, 4096>, 2> memory{};
};

TEST_F(DatagramApi, AMessageComesWithEverythingThatAnAnswerNeeds) {
  create_qp(0);
  create_qp(1);
  ASSERT_EQ(post_receive(0, 4), 0);
  ASSERT_EQ(post_receive(1, 5), 0);
  ibv_ah* ah = create_ah(0, gid(1));
  ASSERT_NE(ah, nullptr);
  EXPECT_EQ(ibv_dealloc_pd(pd[0]), EBUSY);
  ASSERT_EQ(send(0, ah, qp[1]->qp_num, "question"), 0);
  ibv_wc wc = next(1);
  EXPECT_EQ(wc.status, IBV_WC_SUCCESS);
  EXPECT_EQ(wc.wr_id, 5U);
  EXPECT_EQ(wc.opcode, IBV_WC_RECV);
  EXPECT_EQ(wc.wc_flags, static_cast<unsigned>(IBV_WC_GRH) | IBV_WC_WITH_IMM);
  EXPECT_EQ(wc.imm_data, 77U);
  EXPECT_EQ(wc.src_qp, qp[0]->qp_num);
  EXPECT_EQ(wc.byte_len, grh_bytes + 9);
  EXPECT_STREQ(text(1), "question");

  auto* grh = reinterpret_cast<ibv_grh*>(memory[1].data());
  ibv_ah_attr attributes{};
  ASSERT_EQ(ibv_init_ah_from_wc(context[1], 1, &wc, grh, &attributes), 0);
  EXPECT_EQ(std::memcmp(&attributes.grh.dgid, gid(0).raw, 16), 0);
  EXPECT_EQ(attributes.is_global, 1);
  EXPECT_EQ(attributes.grh.sgid_index, 0);
  ibv_ah* back = ibv_create_ah_from_wc(pd[1], &wc, grh, 1);
  ASSERT_NE(back, nullptr);
  ASSERT_EQ(send(1, back, wc.src_qp, "answer"), 0);
  wc = next(0);
  EXPECT_EQ(wc.src_qp, qp[1]->qp_num);
  EXPECT_STREQ(text(0), "answer");
  EXPECT_EQ(ibv_destroy_ah(ah), 0);
  EXPECT_EQ(ibv_destroy_ah(ah), ENOENT);
  EXPECT_EQ(ibv_destroy_ah(back), 0);
}

TEST_F(DatagramApi, AHandleThatIsNoneIsRefused) {
  create_qp(0);
  EXPECT_EQ(send(0, nullptr, 1, "x"), EINVAL);
  ibv_ah* foreign = create_ah(1, gid(0));  // of another protection domain
  EXPECT_EQ(send(0, foreign, 1, "x"), EINVAL);
  ASSERT_EQ(ibv_destroy_ah(foreign), 0);
  EXPECT_EQ(send(0, foreign, 1, "x"), EINVAL);
  ibv_wc no_header{};
  EXPECT_EQ(ibv_create_ah_from_wc(pd[0], &no_header, reinterpret_cast<ibv_grh*>(memory[0].data()), 1), nullptr);
  EXPECT_EQ(errno, EINVAL);
}

TEST_F(DatagramApi, ExtendedWorkRequests) {
  create_qp(0, IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM);
  create_qp(1);
  ASSERT_EQ(post_receive(1, 5), 0);
  ibv_ah* ah = create_ah(0, gid(1));
  ibv_qp_ex* extended = ibv_qp_to_qp_ex(qp[0]);
  ASSERT_NE(extended, nullptr);
  char message[] = "extended";
  ibv_wr_start(extended);
  extended->wr_id = 9;
  extended->wr_flags = IBV_SEND_SIGNALED;
  ibv_wr_send(extended);
  ibv_wr_set_ud_addr(extended, ah, qp[1]->qp_num, qkey);
  ibv_wr_set_inline_data(extended, message, sizeof message);
  ASSERT_EQ(ibv_wr_complete(extended), 0);
  EXPECT_EQ(next(0).wr_id, 9U);
  EXPECT_EQ(next(1).src_qp, qp[0]->qp_num);
  EXPECT_STREQ(text(1), "extended");
  ibv_wr_start(extended);
  ibv_wr_send(extended);
  ibv_wr_set_inline_data(extended, message, sizeof message);
  EXPECT_EQ(ibv_wr_complete(extended), EINVAL);  // to nowhere
  EXPECT_EQ(ibv_destroy_ah(ah), 0);
}

TEST_F(DatagramApi, RdmaIsNotForDatagrams) {
  ibv_qp_init_attr_ex attributes{};
  attributes.send_cq = attributes.recv_cq = cq[0];
  attributes.qp_type = IBV_QPT_UD;
  attributes.pd = pd[0];
  attributes.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
  attributes.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE;
  EXPECT_EQ(ibv_create_qp_ex(context[0], &attributes), nullptr);
  EXPECT_EQ(errno, EOPNOTSUPP);
}

TEST_F(DatagramApi, AGroupIsHeardWhileAttached) {
  create_qp(0);
  create_qp(1);
  ibv_gid group = gid(0);
  group.raw[12] = 239;
  ibv_ah* ah = create_ah(0, group);
  ASSERT_NE(ah, nullptr);
  EXPECT_EQ(ibv_attach_mcast(qp[1], &group, 0), 0);
  ASSERT_EQ(post_receive(1, 5), 0);
  ASSERT_EQ(send(0, ah, 0xFFFFFF, "everybody"), 0);
  const ibv_wc wc = next(1);
  EXPECT_EQ(wc.src_qp, qp[0]->qp_num);
  EXPECT_STREQ(text(1), "everybody");
  EXPECT_EQ(ibv_destroy_qp(qp[1]), EBUSY);
  EXPECT_EQ(ibv_detach_mcast(qp[1], &group, 0), 0);
  EXPECT_EQ(ibv_detach_mcast(qp[1], &group, 0), EINVAL);
  const ibv_gid unicast = gid(0);
  EXPECT_EQ(ibv_attach_mcast(qp[1], &unicast, 0), EINVAL);
  EXPECT_EQ(ibv_destroy_ah(ah), 0);
}

TEST_F(DatagramApi, ASharedQueueServesDatagrams) {
  ibv_srq_init_attr_ex attributes{};
  attributes.attr = {.max_wr = 4, .max_sge = 1, .srq_limit = 0};
  attributes.comp_mask = IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD;
  attributes.srq_type = IBV_SRQT_BASIC;
  attributes.pd = pd[1];
  srq[1] = ibv_create_srq_ex(context[1], &attributes);
  ASSERT_NE(srq[1], nullptr);
  create_qp(0);
  create_qp(1);
  EXPECT_EQ(qp[1]->srq, srq[1]);
  EXPECT_EQ(ibv_destroy_srq(srq[1]), EBUSY);
  ASSERT_EQ(post_receive(1, 5), 0);
  ibv_srq_attr wanted{.max_wr = 0, .max_sge = 0, .srq_limit = 1};
  ASSERT_EQ(ibv_modify_srq(srq[1], &wanted, IBV_SRQ_LIMIT), 0);
  EXPECT_EQ(ibv_modify_srq(srq[1], &wanted, 64), EINVAL);
  ibv_ah* ah = create_ah(0, gid(1));
  ASSERT_EQ(send(0, ah, qp[1]->qp_num, "shared"), 0);
  EXPECT_EQ(next(1).wr_id, 5U);
  ibv_async_event event{};
  ASSERT_EQ(ibv_get_async_event(context[1], &event), 0);
  EXPECT_EQ(event.event_type, IBV_EVENT_SRQ_LIMIT_REACHED);
  EXPECT_EQ(event.element.srq, srq[1]);
  ibv_ack_async_event(&event);
  ibv_srq_attr now{};
  ASSERT_EQ(ibv_query_srq(srq[1], &now), 0);
  EXPECT_EQ(now.max_wr, 4U);
  EXPECT_EQ(now.srq_limit, 0U);
  ibv_qp_attr a{};
  a.qp_state = IBV_QPS_ERR;
  ASSERT_EQ(ibv_modify_qp(qp[1], &a, IBV_QP_STATE), 0);
  ASSERT_EQ(ibv_get_async_event(context[1], &event), 0);
  EXPECT_EQ(event.event_type, IBV_EVENT_QP_LAST_WQE_REACHED);
  EXPECT_EQ(event.element.qp, qp[1]);
  ibv_ack_async_event(&event);
  EXPECT_EQ(ibv_destroy_ah(ah), 0);
}

TEST_F(DatagramApi, TheDeviceSaysWhatItOffers) {
  ibv_device_attr attributes{};
  ASSERT_EQ(ibv_query_device(context[0], &attributes), 0);
  EXPECT_GT(attributes.max_ah, 0);
  EXPECT_GT(attributes.max_srq, 0);
  EXPECT_GT(attributes.max_srq_wr, 0);
  EXPECT_GT(attributes.max_srq_sge, 0);
  EXPECT_GT(attributes.max_mcast_grp, 0);
  EXPECT_GT(attributes.max_mcast_qp_attach, 0);
}

}  // namespace
