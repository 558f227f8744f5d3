// How calls answer that need no Stack: 0 or -1 and errno; pointers that are not ours; what is not offered.
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <unistd.h>

#include <array>

#include <gtest/gtest.h>

#include "abi/rdmacm/objects.hpp"
#include "abi/rdmacm/public.hpp"

// As C sees it, where an enum is any int.
extern "C" int create_id(rdma_event_channel* channel, rdma_cm_id** id, void* context, int space) asm("rdma_create_id");

namespace {

#define EXPECT_FAILS(call, error) \
  do {                            \
    errno = 0;                    \
    EXPECT_EQ(call, -1);          \
    EXPECT_EQ(errno, error);      \
  } while (false)

TEST(RdmacmConventions, AStrangersPointerIsEinval) {
  rdma_cm_id stranger{};
  rdma_event_channel channel{};
  rdma_cm_event event{};
  rdma_cm_event* fetched = nullptr;
  ibv_qp_attr attributes{};
  ibv_qp_init_attr init{};
  int mask = 0;
  sockaddr address{};
  for (rdma_cm_id* id : {&stranger, static_cast<rdma_cm_id*>(nullptr)}) {
    EXPECT_FAILS(rdma_destroy_id(id), EINVAL);
    EXPECT_FAILS(rdma_bind_addr(id, &address), EINVAL);
    EXPECT_FAILS(rdma_resolve_addr(id, nullptr, &address, 1), EINVAL);
    EXPECT_FAILS(rdma_resolve_route(id, 1), EINVAL);
    EXPECT_FAILS(rdma_create_qp(id, nullptr, &init), EINVAL);
    EXPECT_FAILS(rdma_connect(id, nullptr), EINVAL);
    EXPECT_FAILS(rdma_listen(id, 1), EINVAL);
    EXPECT_FAILS(rdma_accept(id, nullptr), EINVAL);
    EXPECT_FAILS(rdma_reject(id, nullptr, 0), EINVAL);
    EXPECT_FAILS(rdma_disconnect(id), EINVAL);
    EXPECT_FAILS(rdma_establish(id), EINVAL);
    EXPECT_FAILS(rdma_notify(id, IBV_EVENT_COMM_EST), EINVAL);
    EXPECT_FAILS(rdma_migrate_id(id, nullptr), EINVAL);
    EXPECT_FAILS(rdma_set_option(id, 0, 0, nullptr, 0), EINVAL);
    EXPECT_FAILS(rdma_init_qp_attr(id, &attributes, &mask), EINVAL);
    EXPECT_FAILS(rdma_get_request(id, nullptr), EINVAL);
    EXPECT_FAILS(rdma_join_multicast(id, &address, nullptr), EINVAL);
    EXPECT_FAILS(rdma_leave_multicast(id, &address), EINVAL);
    EXPECT_FAILS(rdma_write_cm_event(id, RDMA_CM_EVENT_ADDR_RESOLVED, 0, 0), EINVAL);
    rdma_destroy_qp(id);
    rdma_destroy_ep(id);
  }
  EXPECT_FAILS(rdma_get_cm_event(&channel, &fetched), EINVAL);
  EXPECT_FAILS(rdma_get_cm_event(nullptr, &fetched), EINVAL);
  EXPECT_FAILS(rdma_ack_cm_event(&event), EINVAL);
  EXPECT_FAILS(rdma_ack_cm_event(nullptr), EINVAL);
  rdma_destroy_event_channel(nullptr);
}

TEST(RdmacmConventions, ANumberThatIsNoPortSpaceIsEinval) {
  rdma_cm_id* id = nullptr;
  for (const int space : {0, -1, 0x7777, 0x10000 + RDMA_PS_TCP})
    EXPECT_FAILS(create_id(nullptr, &id, nullptr, space), EINVAL);
}

TEST(RdmacmConventions, EventsHaveNames) {  // [spec 6.4.20]
  EXPECT_STREQ(rdma_event_str(RDMA_CM_EVENT_ADDR_RESOLVED), "RDMA_CM_EVENT_ADDR_RESOLVED");
  EXPECT_STREQ(rdma_event_str(RDMA_CM_EVENT_TIMEWAIT_EXIT), "RDMA_CM_EVENT_TIMEWAIT_EXIT");
}

TEST(RdmacmConventions, RpollIsPollOnOrdinaryDescriptors) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  pollfd readable{ends[0], POLLIN, 0};
  EXPECT_EQ(rpoll(&readable, 1, 0), 0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  EXPECT_EQ(rpoll(&readable, 1, 0), 1);
  EXPECT_EQ(readable.revents, POLLIN);
  EXPECT_FAILS(rsocket(AF_INET, SOCK_STREAM, 0), EOPNOTSUPP);
  EXPECT_FAILS(rread(ends[0], nullptr, 0), EOPNOTSUPP);
  close(ends[0]);
  close(ends[1]);
}

TEST(RdmacmConventions, GetaddrinfoTranslatesTheFirstAnswer) {  // [spec 6.4.15]
  rdma_addrinfo* info = nullptr;
  rdma_addrinfo hints{};
  hints.ai_port_space = RDMA_PS_TCP;
  ASSERT_EQ(rdma_getaddrinfo("127.0.0.1", "7471", &hints, &info), 0);
  EXPECT_EQ(info->ai_family, AF_INET);
  EXPECT_EQ(info->ai_qp_type, IBV_QPT_RC);
  EXPECT_EQ(info->ai_port_space, RDMA_PS_TCP);
  EXPECT_EQ(info->ai_src_addr, nullptr);
  ASSERT_EQ(info->ai_dst_len, sizeof(sockaddr_in));
  EXPECT_EQ(reinterpret_cast<sockaddr_in*>(info->ai_dst_addr)->sin_port, htons(7471));
  EXPECT_EQ(info->ai_next, nullptr);
  rdma_freeaddrinfo(info);

  hints.ai_flags = RAI_PASSIVE | RAI_NUMERICHOST;
  hints.ai_port_space = RDMA_PS_UDP;
  ASSERT_EQ(rdma_getaddrinfo("::1", "9", &hints, &info), 0);
  EXPECT_EQ(info->ai_family, AF_INET6);
  EXPECT_EQ(info->ai_qp_type, IBV_QPT_UD);
  EXPECT_EQ(info->ai_dst_addr, nullptr);
  EXPECT_EQ(info->ai_src_len, sizeof(sockaddr_in6));
  rdma_freeaddrinfo(info);

  EXPECT_FAILS(rdma_getaddrinfo(nullptr, nullptr, nullptr, &info), EINVAL);
  EXPECT_EQ(rdma_getaddrinfo("no-number", "1", &hints, &info), EAI_NONAME);
  hints.ai_flags = 0x30;
  EXPECT_FAILS(rdma_getaddrinfo("::1", nullptr, &hints, &info), EOPNOTSUPP);
}

TEST(EventDescriptor, IsReadableWhileEventsPend) {
  const auto descriptor = hawser::abi::rdmacm::EventDescriptor::create();
  ASSERT_NE(descriptor, nullptr);
  pollfd readable{descriptor->fd(), POLLIN, 0};
  EXPECT_EQ(poll(&readable, 1, 0), 0);
  EXPECT_EQ(fcntl(descriptor->fd(), F_GETFL) & O_NONBLOCK, 0) << "blocking is the program's choice";
  for (int i = 0; i < 3; ++i) {
    descriptor->set_pending(true);
    EXPECT_EQ(poll(&readable, 1, 0), 1);
    EXPECT_EQ(poll(&readable, 1, 0), 1);
    descriptor->set_pending(false);
    EXPECT_EQ(poll(&readable, 1, 0), 0);
  }
}

}  // namespace
