/* cm_path ADDRESS PORT: a path of the program's own (RDMA_OPTION_IB_PATH) instead of rdma_resolve_route, and a datagram
 * by rdma_post_ud_send. Both sides are in this process. Says what each step came to. */
#include <endian.h>

#include <infiniband/sa.h>

#include "program.h"

static struct rdma_event_channel* channel;
static struct sockaddr_storage address;

/* The next event, which must be this one; the caller acknowledges it. */
static struct rdma_cm_event* next(enum rdma_cm_event_type type) {
  struct rdma_cm_event* event;
  MUST(rdma_get_cm_event(channel, &event) == 0);
  if (event->event != type) say_event(event);
  MUST(event->event == type && event->status == 0);
  return event;
}

static void expect(enum rdma_cm_event_type type) { MUST(rdma_ack_cm_event(next(type)) == 0); }

static struct rdma_cm_id* listener_in(enum rdma_port_space space) {
  struct rdma_cm_id* id;
  MUST(rdma_create_id(channel, &id, NULL, space) == 0);
  MUST(rdma_bind_addr(id, (struct sockaddr*)&address) == 0 && rdma_listen(id, 1) == 0);
  return id;
}

static struct rdma_cm_id* resolved_in(enum rdma_port_space space) {
  struct rdma_cm_id* id;
  MUST(rdma_create_id(channel, &id, NULL, space) == 0);
  MUST(rdma_resolve_addr(id, NULL, (struct sockaddr*)&address, 2000) == 0);
  expect(RDMA_CM_EVENT_ADDR_RESOLVED);
  return id;
}

/* The path that the library found for another id, with the smallest MTU there is. */
static struct ibv_path_data small_path(void) {
  struct rdma_cm_id* id = resolved_in(RDMA_PS_TCP);
  MUST(rdma_resolve_route(id, 2000) == 0);
  expect(RDMA_CM_EVENT_ROUTE_RESOLVED);
  MUST(id->route.num_paths == 1);
  const struct ibv_sa_path_rec* found = id->route.path_rec;
  const uint8_t exactly = 2 << 6;
  struct ibv_path_data data = {.flags = IBV_PATH_FLAG_GMP | IBV_PATH_FLAG_PRIMARY | IBV_PATH_FLAG_BIDIRECTIONAL};
  data.path.dgid = found->dgid;
  data.path.sgid = found->sgid;
  data.path.flowlabel_hoplimit = htobe32(be32toh(found->flow_label) << 8 | found->hop_limit);
  data.path.tclass = found->traffic_class;
  data.path.reversible_numpath = IBV_PATH_RECORD_REVERSIBLE | 1;
  data.path.pkey = htobe16(0xFFFF);
  data.path.mtu = exactly | IBV_MTU_256;
  data.path.rate = (uint8_t)(exactly | found->rate);
  data.path.packetlifetime = (uint8_t)(exactly | found->packet_life_time);
  MUST(found->mtu != IBV_MTU_256);
  MUST(rdma_destroy_id(id) == 0);
  return data;
}

static int set_path(struct rdma_cm_id* id, struct ibv_path_data* data, size_t length) {
  return rdma_set_option(id, RDMA_OPTION_IB, RDMA_OPTION_IB_PATH, data, length);
}

static void own_path(void) {
  struct ibv_path_data data = small_path();
  struct rdma_cm_id *listener = listener_in(RDMA_PS_TCP), *id = resolved_in(RDMA_PS_TCP);
  struct endpoint active, passive;
  struct rdma_conn_param param = {.retry_count = 7, .rnr_retry_count = 7};
  said_ok("path of a wrong length", set_path(id, &data, sizeof data - 1));
  said_ok("path", set_path(id, &data, sizeof data));
  expect(RDMA_CM_EVENT_ROUTE_RESOLVED);
  said_ok("path of an id that has one", set_path(id, &data, sizeof data));
  MUST(id->route.num_paths == 1 && id->route.path_rec->mtu == IBV_MTU_256);
  open_endpoint(&active, id);
  MUST(rdma_connect(id, &param) == 0);
  struct rdma_cm_event* request = next(RDMA_CM_EVENT_CONNECT_REQUEST);
  open_endpoint(&passive, request->id);
  MUST(rdma_ack_cm_event(request) == 0 && rdma_accept(passive.id, &param) == 0);
  expect(RDMA_CM_EVENT_ESTABLISHED);
  expect(RDMA_CM_EVENT_ESTABLISHED);
  struct ibv_qp_attr now;
  struct ibv_qp_init_attr init;
  struct ibv_wc wc;
  MUST(ibv_query_qp(passive.id->qp, &now, IBV_QP_PATH_MTU, &init) == 0);
  say("path MTU of the peer: %d", 128 << now.path_mtu);
  unsigned char* const message = active.memory + depth * message_bytes;
  memset(message, 'm', message_bytes);
  MUST(rdma_post_send(id, NULL, message, message_bytes, active.mr, 0) == 0);
  MUST(rdma_get_recv_comp(passive.id, &wc) == 1 && wc.status == IBV_WC_SUCCESS && wc.byte_len == message_bytes);
  MUST(memcmp(passive.memory, message, message_bytes) == 0);
  say("message: ok");
  close_endpoint(&active);
  close_endpoint(&passive);
  MUST(rdma_destroy_id(listener) == 0);
}

static void create_datagram_qp(struct rdma_cm_id* id) {
  struct ibv_qp_init_attr attributes = {
      .cap = {.max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1}, .qp_type = IBV_QPT_UD};
  MUST(rdma_create_qp(id, NULL, &attributes) == 0);
}

static void datagram(void) {
  enum { bytes = 100, grh_bytes = 40 };
  static char out[bytes], in[grh_bytes + bytes];
  struct rdma_cm_id *listener = listener_in(RDMA_PS_UDP), *id = resolved_in(RDMA_PS_UDP), *peer;
  struct rdma_conn_param param = {0};
  struct ibv_wc wc;
  MUST(rdma_resolve_route(id, 2000) == 0);
  expect(RDMA_CM_EVENT_ROUTE_RESOLVED);
  create_datagram_qp(id);
  MUST(rdma_connect(id, &param) == 0);
  struct rdma_cm_event* event = next(RDMA_CM_EVENT_CONNECT_REQUEST);
  peer = event->id;
  MUST(rdma_ack_cm_event(event) == 0);
  create_datagram_qp(peer);
  struct ibv_mr* receiving = rdma_reg_msgs(peer, in, sizeof in);
  MUST(receiving != NULL && rdma_post_recv(peer, NULL, in, sizeof in, receiving) == 0);
  param.qp_num = peer->qp->qp_num;
  MUST(rdma_accept(peer, &param) == 0);
  event = next(RDMA_CM_EVENT_ESTABLISHED);
  struct ibv_ah* to = ibv_create_ah(id->pd, &event->param.ud.ah_attr);
  const uint32_t qpn = event->param.ud.qp_num;
  MUST(to != NULL && rdma_ack_cm_event(event) == 0);
  struct ibv_mr* sending = rdma_reg_msgs(id, out, sizeof out);
  memset(out, 'd', sizeof out);
  MUST(sending != NULL);
  said_ok("post_ud_send", rdma_post_ud_send(id, out, out, sizeof out, sending, IBV_SEND_SIGNALED, to, qpn));
  MUST(rdma_get_send_comp(id, &wc) == 1 && wc.status == IBV_WC_SUCCESS && wc.wr_id == (uintptr_t)out);
  MUST(rdma_get_recv_comp(peer, &wc) == 1 && wc.status == IBV_WC_SUCCESS && wc.byte_len == sizeof in);
  MUST(wc.src_qp == id->qp->qp_num && memcmp(in + grh_bytes, out, sizeof out) == 0);
  say("datagram: ok");
  MUST(ibv_destroy_ah(to) == 0 && rdma_dereg_mr(sending) == 0 && rdma_dereg_mr(receiving) == 0);
  rdma_destroy_qp(id);
  rdma_destroy_qp(peer);
  MUST(rdma_destroy_id(id) == 0 && rdma_destroy_id(peer) == 0 && rdma_destroy_id(listener) == 0);
}

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  address = parse_address(argv[1], argv[2]);
  MUST((channel = rdma_create_event_channel()) != NULL);
  own_path();
  datagram();
  rdma_destroy_event_channel(channel);
  return 0;
}
