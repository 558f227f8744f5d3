// The C interface as programs call it, over a Stack of two devices on a simulated network.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <infiniband/verbs.h>

namespace {

extern "C" int ibv_query_gid_type(ibv_context*, std::uint8_t, unsigned, int*);

class Api : public testing::Test {
 protected:
  Api() {
    int count = 0;
    ibv_device** list = ibv_get_device_list(&count);
    EXPECT_EQ(count, 2);
    device[0] = list[0];
    device[1] = list[1];
    EXPECT_EQ(list[2], nullptr);
    ibv_free_device_list(list);
    for (std::size_t i = 0; i < 2; ++i) {
      context[i] = ibv_open_device(device[i]);
      pd[i] = ibv_alloc_pd(context[i]);
      channel[i] = ibv_create_comp_channel(context[i]);
      cq[i] = ibv_create_cq(context[i], 16, this, channel[i], 0);
    }
  }
  ~Api() override {
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(qp[i] == nullptr ? 0 : ibv_destroy_qp(qp[i]), 0);
      EXPECT_EQ(mr[i] == nullptr ? 0 : ibv_dereg_mr(mr[i]), 0);
      EXPECT_EQ(ibv_destroy_cq(cq[i]), 0);
      EXPECT_EQ(ibv_destroy_comp_channel(channel[i]), 0);
      EXPECT_EQ(ibv_dealloc_pd(pd[i]), 0);
      EXPECT_EQ(ibv_close_device(context[i]), 0);
    }
  }

  void create_qp(std::size_t i) {
    ibv_qp_init_attr attributes{};
    attributes.send_cq = attributes.recv_cq = cq[i];
    attributes.cap = {.max_send_wr = 8, .max_recv_wr = 8, .max_send_sge = 2, .max_recv_sge = 2, .max_inline_data = 32};
    attributes.qp_type = IBV_QPT_RC;
    qp[i] = ibv_create_qp(pd[i], &attributes);
    ASSERT_NE(qp[i], nullptr);
    mr[i] = ibv_reg_mr(pd[i], memory[i].data(), memory[i].size(),
                       IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE);
    ASSERT_NE(mr[i], nullptr);
  }
  void connect() {
    create_qp(0);
    create_qp(1);
    for (std::size_t i = 0; i < 2; ++i) {
      ibv_qp_attr a{};
      a.qp_state = IBV_QPS_INIT;
      a.port_num = 1;
      a.qp_access_flags = IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;
      ASSERT_EQ(ibv_modify_qp(qp[i], &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS), 0);
      a.qp_state = IBV_QPS_RTR;
      a.path_mtu = IBV_MTU_1024;
      a.dest_qp_num = qp[1 - i]->qp_num;
      a.max_dest_rd_atomic = a.max_rd_atomic = 1;
      a.ah_attr.is_global = 1;
      a.ah_attr.port_num = 1;
      ASSERT_EQ(ibv_query_gid(context[1 - i], 1, 0, &a.ah_attr.grh.dgid), 0);
      ASSERT_EQ(ibv_modify_qp(qp[i], &a,
                              IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                                  IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER),
                0);
      a.qp_state = IBV_QPS_RTS;
      a.timeout = 14;
      a.retry_cnt = a.rnr_retry = 7;
      ASSERT_EQ(ibv_modify_qp(qp[i], &a,
                              IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
                                  IBV_QP_MAX_QP_RD_ATOMIC),
                0);
      EXPECT_EQ(qp[i]->state, IBV_QPS_RTS);
    }
  }
  ibv_sge sge(std::size_t i, std::uint32_t bytes) {
    return {.addr = reinterpret_cast<std::uintptr_t>(memory[i].data()), .length = bytes, .lkey = mr[i]->lkey};
  }
  int post_receive(std::size_t i, std::uint64_t id) {
    ibv_sge list = sge(i, 4000);
    ibv_recv_wr wr{.wr_id = id, .next = nullptr, .sg_list = &list, .num_sge = 1};
    ibv_recv_wr* bad = nullptr;
    return ibv_post_recv(qp[i], &wr, &bad);
  }
  int post_send(std::size_t i, std::uint64_t id, std::uint32_t bytes, unsigned flags = IBV_SEND_SIGNALED) {
    ibv_sge list = sge(i, bytes);
    ibv_send_wr wr{};
    wr.wr_id = id;
    wr.sg_list = &list;
    wr.num_sge = 1;
    wr.opcode = IBV_WR_SEND;
    wr.send_flags = flags;
    ibv_send_wr* bad = nullptr;
    return ibv_post_send(qp[i], &wr, &bad);
  }
  ibv_wc next(std::size_t i) {
    ibv_wc wc{};
    while (ibv_poll_cq(cq[i], 1, &wc) == 0) {
    }
    return wc;
  }

  std::array<ibv_device*, 2> device{};
  std::array<ibv_context*, 2> context{};
  std::array<ibv_pd*, 2> pd{};
  std::array<ibv_comp_channel*, 2> channel{};
  std::array<ibv_cq*, 2> cq{};
  std::array<ibv_qp*, 2> qp{};
  std::array<ibv_mr*, 2> mr{};
  std::array<std::array<char, 4000>, 2> memory{};
};

TEST_F(Api, DevicesHaveStableAddressesAndReadableTails) {
  ibv_device** list = ibv_get_device_list(nullptr);
  EXPECT_EQ(list[0], device[0]);
  EXPECT_EQ(list[1], device[1]);
  EXPECT_STREQ(ibv_get_device_name(list[0]), "hw_eth0");
  EXPECT_EQ(list[0]->transport_type, IBV_TRANSPORT_IB);
  EXPECT_STREQ(list[1]->ibdev_path, "/sys/class/infiniband/hw_eth1");
  EXPECT_NE(ibv_get_device_guid(list[0]), ibv_get_device_guid(list[1]));
  std::uint64_t after[8];
  std::memcpy(after, reinterpret_cast<char*>(list[0]) + sizeof(ibv_device), sizeof after);
  for (const std::uint64_t word : after) EXPECT_EQ(word, 0U);
  ibv_free_device_list(list);
}

TEST_F(Api, ADeviceIsOpenedOnceAndCounted) {
  ibv_context* again = ibv_open_device(device[0]);
  EXPECT_EQ(again, context[0]);
  EXPECT_EQ(ibv_close_device(again), 0);
  ibv_device stranger{};
  EXPECT_EQ(ibv_open_device(&stranger), nullptr);
  EXPECT_EQ(errno, ENODEV);
}

TEST_F(Api, EverySlotOfOperationsIsFilled) {
  const auto filled = [](const void* begin, const void* end) {
    for (auto* slot = static_cast<void* const*>(begin); slot != end; ++slot) {
      if (*slot == nullptr) return false;
    }
    return true;
  };
  EXPECT_TRUE(filled(&context[0]->ops, &context[0]->ops + 1));
  const verbs_context* extended = verbs_get_ctx(context[0]);
  ASSERT_NE(extended, nullptr);
  EXPECT_EQ(extended->sz, sizeof(verbs_context));
  EXPECT_TRUE(filled(extended, &extended->priv));
  EXPECT_TRUE(filled(&extended->query_device_ex, &extended->_ABI_placeholder3));
  EXPECT_EQ(ibv_alloc_td(context[0], nullptr), nullptr);
  EXPECT_EQ(errno, EOPNOTSUPP);
  EXPECT_GE(context[0]->num_comp_vectors, 1);
}

TEST_F(Api, PortAndGidsAreThoseOfTheInterface) {
  ibv_port_attr port{};
  ASSERT_EQ(ibv_query_port(context[0], 1, &port), 0);
  EXPECT_EQ(port.state, IBV_PORT_ACTIVE);
  EXPECT_EQ(port.active_mtu, IBV_MTU_1024);
  EXPECT_EQ(port.link_layer, IBV_LINK_LAYER_ETHERNET);
  EXPECT_EQ(ibv_query_port(context[0], 2, &port), EINVAL);

  // A program with older headers passes a shorter struct; one with newer headers a longer one.
  std::array<char, 64> bytes;
  bytes.fill(0x55);
  auto* attributes = reinterpret_cast<ibv_port_attr*>(bytes.data());
  ASSERT_EQ(verbs_get_ctx(context[0])->query_port(context[0], 1, attributes, 48), 0);
  EXPECT_EQ(bytes[48], 0x55);
  ASSERT_EQ(verbs_get_ctx(context[0])->query_port(context[0], 1, attributes, 56), 0);
  EXPECT_EQ(bytes[55], 0);
  EXPECT_EQ(bytes[56], 0x55);

  ibv_gid gid{};
  ASSERT_EQ(ibv_query_gid(context[0], 1, 0, &gid), 0);
  EXPECT_EQ(gid.raw[10], 0xff);
  EXPECT_EQ(gid.raw[12], 10);
  ASSERT_EQ(ibv_query_gid(context[0], 1, 5, &gid), 0);
  EXPECT_EQ(gid.raw[12], 0);
  EXPECT_EQ(ibv_query_gid(context[0], 1, port.gid_tbl_len, &gid), -1);
  ibv_gid_entry entry{};
  ASSERT_EQ(ibv_query_gid_ex(context[0], 1, 0, &entry, 0), 0);
  EXPECT_EQ(entry.gid_type, static_cast<std::uint32_t>(IBV_GID_TYPE_ROCE_V2));
  EXPECT_EQ(ibv_query_gid_ex(context[0], 1, 5, &entry, 0), ENODATA);
  EXPECT_EQ(ibv_query_gid_table(context[0], &entry, 1, 0), 1);
  int type = 0;
  ASSERT_EQ(ibv_query_gid_type(context[0], 1, 0, &type), 0);
  EXPECT_EQ(type, 1);
  __be16 pkey = 0;
  ASSERT_EQ(ibv_query_pkey(context[0], 1, 0, &pkey), 0);
  EXPECT_EQ(pkey, 0xFFFF);
}

TEST_F(Api, DataGoesThrough) {
  connect();
  std::strcpy(memory[0].data(), "hello");
  ASSERT_EQ(post_receive(1, 21), 0);
  ASSERT_EQ(post_send(0, 11, 3000), 0);
  const ibv_wc received = next(1);
  EXPECT_EQ(received.status, IBV_WC_SUCCESS);
  EXPECT_EQ(received.opcode, IBV_WC_RECV);
  EXPECT_EQ(received.wr_id, 21U);
  EXPECT_EQ(received.byte_len, 3000U);
  EXPECT_EQ(received.qp_num, qp[1]->qp_num);
  EXPECT_EQ(next(0).wr_id, 11U);
  EXPECT_STREQ(memory[1].data(), "hello");
}

TEST_F(Api, AListStopsAtTheFirstBadRequest) {
  connect();
  ibv_sge list = sge(0, 4);
  std::array<ibv_send_wr, 3> wr{};
  for (std::size_t i = 0; i < 3; ++i) {
    wr[i].wr_id = i;
    wr[i].next = i < 2 ? &wr[i + 1] : nullptr;
    wr[i].sg_list = &list;
    wr[i].num_sge = 1;
    wr[i].opcode = IBV_WR_SEND;
    wr[i].send_flags = IBV_SEND_SIGNALED;
  }
  wr[1].num_sge = 3;  // the queue pair has two
  ibv_send_wr* bad = nullptr;
  ASSERT_EQ(post_receive(1, 0), 0);
  EXPECT_EQ(ibv_post_send(qp[0], wr.data(), &bad), EINVAL);
  EXPECT_EQ(bad, &wr[1]);
  EXPECT_EQ(next(0).wr_id, 0U);
  wr[1].num_sge = 1;
  wr[1].opcode = IBV_WR_TSO;
  EXPECT_EQ(ibv_post_send(qp[0], &wr[1], &bad), EINVAL);
}

TEST_F(Api, InlineDataMayBeReusedAtOnce) {
  connect();
  ASSERT_EQ(post_receive(1, 0), 0);
  std::strcpy(memory[0].data(), "first");
  ASSERT_EQ(post_send(0, 0, 6, IBV_SEND_SIGNALED | IBV_SEND_INLINE), 0);
  std::strcpy(memory[0].data(), "later");
  next(1);
  EXPECT_STREQ(memory[1].data(), "first");
  EXPECT_EQ(post_send(0, 0, 33, IBV_SEND_INLINE), EINVAL);
}

TEST_F(Api, EventsComeThroughAPollableDescriptor) {
  connect();
  pollfd descriptor{.fd = channel[1]->fd, .events = POLLIN, .revents = 0};
  ASSERT_EQ(ibv_req_notify_cq(cq[1], 0), 0);
  fcntl(channel[1]->fd, F_SETFL, fcntl(channel[1]->fd, F_GETFL) | O_NONBLOCK);
  ibv_cq* source = nullptr;
  void* user = nullptr;
  EXPECT_EQ(ibv_get_cq_event(channel[1], &source, &user), -1);
  EXPECT_EQ(errno, EAGAIN);
  ASSERT_EQ(post_receive(1, 0), 0);
  ASSERT_EQ(post_send(0, 0, 8), 0);
  EXPECT_EQ(poll(&descriptor, 1, 0), 0);  // nobody has received yet
  next(0);
  EXPECT_EQ(poll(&descriptor, 1, 0), 1);
  EXPECT_EQ(poll(&descriptor, 1, 0), 1);  // level-true
  ASSERT_EQ(ibv_get_cq_event(channel[1], &source, &user), 0);
  EXPECT_EQ(source, cq[1]);
  EXPECT_EQ(user, this);
  EXPECT_EQ(poll(&descriptor, 1, 0), 0);
  ibv_ack_cq_events(source, 1);

  fcntl(channel[1]->fd, F_SETFL, fcntl(channel[1]->fd, F_GETFL) & ~O_NONBLOCK);
  ASSERT_EQ(ibv_req_notify_cq(cq[1], 0), 0);
  ASSERT_EQ(post_receive(1, 0), 0);
  ASSERT_EQ(post_send(0, 0, 8), 0);
  ASSERT_EQ(ibv_get_cq_event(channel[1], &source, &user), 0);  // blocks until it is there
  ibv_ack_cq_events(source, 1);
}

TEST_F(Api, AnObjectInUseIsBusyAndAnUnknownOneIsRefused) {
  create_qp(0);
  EXPECT_EQ(ibv_dealloc_pd(pd[0]), EBUSY);
  EXPECT_EQ(ibv_destroy_cq(cq[0]), EBUSY);
  EXPECT_EQ(ibv_destroy_comp_channel(channel[0]), EBUSY);

  ibv_qp* stale = qp[0];
  EXPECT_EQ(ibv_destroy_qp(stale), 0);
  qp[0] = nullptr;
  EXPECT_EQ(ibv_destroy_qp(stale), ENOENT);
  ibv_send_wr wr{};
  ibv_send_wr* bad = nullptr;
  EXPECT_EQ(context[0]->ops.post_send(stale, &wr, &bad), EINVAL);
  EXPECT_EQ(bad, &wr);

  auto* nonsense = reinterpret_cast<ibv_pd*>(std::uintptr_t{0x10});
  EXPECT_EQ(ibv_dealloc_pd(nonsense), ENOENT);
  EXPECT_EQ(ibv_dealloc_pd(reinterpret_cast<ibv_pd*>(cq[0])), ENOENT);
  const std::uint32_t handle = pd[0]->handle;
  pd[0]->handle ^= 1;
  EXPECT_EQ(ibv_dealloc_pd(pd[0]), ENOENT);
  pd[0]->handle = handle;
}

// The leak checker sees what it leaves behind.
TEST_F(Api, AQueuePairTakesTheMemoryOfOneThatEnded) {
  std::set<ibv_qp*> seen;
  constexpr int made = 200;
  for (int i = 0; i < made; ++i) {
    create_qp(0);
    seen.insert(qp[0]);
    EXPECT_EQ(ibv_destroy_qp(std::exchange(qp[0], nullptr)), 0);
    EXPECT_EQ(ibv_dereg_mr(std::exchange(mr[0], nullptr)), 0);
  }
  EXPECT_LT(seen.size(), made);
}

// In C an enum is any int: 0x106 is not ERR.
TEST_F(Api, ANumberThatIsNoStateIsRefused) {
  create_qp(0);
  for (const int number : {-1, 7, 9, 0x106}) {
    ibv_qp_attr attributes{};
    std::memcpy(&attributes.qp_state, &number, sizeof number);
    EXPECT_EQ(ibv_modify_qp(qp[0], &attributes, IBV_QP_STATE), EINVAL);
  }
}

TEST_F(Api, MemoryThatIsNotThereIsRefused) {
  void* map = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_EQ(ibv_reg_mr(pd[0], map, 4096, 0), nullptr);
  EXPECT_EQ(errno, EFAULT);
  munmap(map, 4096);
  EXPECT_EQ(ibv_reg_mr(pd[0], map, 4096, 0), nullptr);
  EXPECT_EQ(errno, EFAULT);
}

TEST_F(Api, WhatIsNotOfferedSaysSo) {
  ibv_qp_init_attr attributes{};
  attributes.send_cq = attributes.recv_cq = cq[0];
  for (const ibv_qp_type type : {IBV_QPT_UC, IBV_QPT_RAW_PACKET}) {
    attributes.qp_type = type;
    EXPECT_EQ(ibv_create_qp(pd[0], &attributes), nullptr);
    EXPECT_EQ(errno, EOPNOTSUPP);
  }
}

TEST_F(Api, ExtendedCallsMoveTheSameData) {
  connect();
  ibv_cq_init_attr_ex cq_attributes{};
  cq_attributes.cqe = 8;
  cq_attributes.wc_flags = IBV_WC_STANDARD_FLAGS;
  ibv_cq_ex* extended = ibv_create_cq_ex(context[0], &cq_attributes);
  ASSERT_NE(extended, nullptr);
  EXPECT_EQ(ibv_qp_to_qp_ex(qp[0]), nullptr);  // made without send operations
  ibv_qp_init_attr_ex qp_attributes{};
  qp_attributes.send_cq = qp_attributes.recv_cq = ibv_cq_ex_to_cq(extended);
  qp_attributes.cap = {.max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1, .max_inline_data = 0};
  qp_attributes.qp_type = IBV_QPT_RC;
  qp_attributes.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
  qp_attributes.pd = pd[0];
  qp_attributes.send_ops_flags = IBV_QP_EX_WITH_SEND;
  ibv_qp* made = ibv_create_qp_ex(context[0], &qp_attributes);
  ASSERT_NE(made, nullptr);
  ibv_qp_attr error{};
  error.qp_state = IBV_QPS_ERR;
  ASSERT_EQ(ibv_modify_qp(made, &error, IBV_QP_STATE), 0);
  ibv_qp_ex* work = ibv_qp_to_qp_ex(made);
  ASSERT_NE(work, nullptr);
  ibv_wr_start(work);
  work->wr_id = 5;
  work->wr_flags = IBV_SEND_SIGNALED;
  ibv_wr_send(work);
  ibv_wr_set_sge(work, mr[0]->lkey, reinterpret_cast<std::uintptr_t>(memory[0].data()), 8);
  ASSERT_EQ(ibv_wr_complete(work), 0);
  ibv_wr_start(work);
  for (work->wr_id = 6; work->wr_id <= 10; ++work->wr_id) ibv_wr_send(work);
  EXPECT_EQ(ibv_wr_complete(work), ENOMEM);  // one more than the queue holds: none of them is posted
  ibv_poll_cq_attr poll_attributes{};
  ASSERT_EQ(ibv_start_poll(extended, &poll_attributes), 0);
  EXPECT_EQ(extended->wr_id, 5U);
  EXPECT_EQ(extended->status, IBV_WC_WR_FLUSH_ERR);
  EXPECT_EQ(ibv_wc_read_qp_num(extended), made->qp_num);
  EXPECT_EQ(ibv_next_poll(extended), ENOENT);
  ibv_end_poll(extended);
  EXPECT_EQ(ibv_destroy_qp(made), 0);
  EXPECT_EQ(ibv_destroy_cq(ibv_cq_ex_to_cq(extended)), 0);
}

TEST_F(Api, AChildCannotUseItsParentsObjects) {
  connect();
  const pid_t child = fork();
  if (child == 0) {
    ibv_send_wr wr{};
    ibv_send_wr* bad = nullptr;
    ibv_wc wc{};
    const bool refused = ibv_post_send(qp[0], &wr, &bad) == EINVAL && ibv_poll_cq(cq[0], 1, &wc) < 0 &&
                         ibv_destroy_qp(qp[0]) == ENOENT && ibv_dereg_mr(mr[0]) == ENOENT &&
                         ibv_dealloc_pd(pd[0]) == ENOENT && ibv_close_device(context[0]) == -1;
    _exit(refused ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ASSERT_EQ(post_receive(1, 0), 0);  // the parent goes on
  ASSERT_EQ(post_send(0, 1, 8), 0);
  EXPECT_EQ(next(0).status, IBV_WC_SUCCESS);
  next(1);
}

TEST(Rates, ConvertBothWays) {
  EXPECT_EQ(ibv_rate_to_mult(IBV_RATE_100_GBPS), 41);
  EXPECT_EQ(mult_to_ibv_rate(4), IBV_RATE_10_GBPS);
  EXPECT_EQ(ibv_rate_to_mbps(IBV_RATE_25_GBPS), 25781);
  EXPECT_EQ(mbps_to_ibv_rate(400000), IBV_RATE_400_GBPS);
  EXPECT_EQ(ibv_rate_to_mult(IBV_RATE_MAX), -1);
  EXPECT_EQ(mbps_to_ibv_rate(1), IBV_RATE_MAX);
}

TEST(Strings, NameEveryValue) {
  EXPECT_STREQ(ibv_wc_status_str(IBV_WC_SUCCESS), "success");
  EXPECT_STREQ(ibv_wc_status_str(static_cast<ibv_wc_status>(31)), "unknown");
  EXPECT_STREQ(ibv_event_type_str(IBV_EVENT_WQ_FATAL), "WQ fatal error");
  EXPECT_STREQ(ibv_port_state_str(IBV_PORT_ACTIVE), "active");
  EXPECT_STREQ(ibv_node_type_str(IBV_NODE_UNKNOWN), "unknown");
}

}  // namespace
