/* cm_external_qp ADDRESS PORT: connections whose queue pairs librdmacm does not know (rdma_init_qp_attr,
 * rdma_establish, rdma_notify), and the options of enhanced connection establishment that travel along. Both ends are
 * in this process. */
#include "program.h"

static struct rdma_event_channel* channel;
static const unsigned access_wanted = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;

static struct rdma_cm_event* next(enum rdma_cm_event_type type) {
  struct rdma_cm_event* event;
  MUST(rdma_get_cm_event(channel, &event) == 0);
  if (event->event != type) say_event(event);
  MUST(event->event == type);
  return event;
}

static struct rdma_cm_id* expect(enum rdma_cm_event_type type) {
  struct rdma_cm_event* event = next(type);
  struct rdma_cm_id* id = event->id;
  MUST(rdma_ack_cm_event(event) == 0);
  return id;
}

static struct ibv_qp* make_qp(struct rdma_cm_id* id, struct ibv_cq* cq) {
  struct ibv_qp_init_attr attributes = {
      .cap = {.max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1},
      .qp_type = IBV_QPT_RC,
      .send_cq = cq,
      .recv_cq = cq};
  struct ibv_qp* qp = ibv_create_qp(id->pd, &attributes);
  MUST(qp != NULL);
  return qp;
}

static void move(struct rdma_cm_id* id, struct ibv_qp* qp, enum ibv_qp_state state) {
  struct ibv_qp_attr attributes = {.qp_state = state};
  int mask = 0;
  MUST(rdma_init_qp_attr(id, &attributes, &mask) == 0);
  MUST(mask & IBV_QP_STATE);
  if (state == IBV_QPS_INIT) MUST((attributes.qp_access_flags & access_wanted) == attributes.qp_access_flags);
  if (state == IBV_QPS_RTR) MUST((mask & IBV_QP_AV) && attributes.dest_qp_num != 0);
  MUST(ibv_modify_qp(qp, &attributes, mask) == 0);
}

static struct rdma_cm_id* resolved(struct sockaddr* to) {
  struct rdma_cm_id* id;
  MUST(rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_resolve_addr(id, NULL, to, 2000) == 0);
  expect(RDMA_CM_EVENT_ADDR_RESOLVED);
  MUST(rdma_resolve_route(id, 2000) == 0);
  expect(RDMA_CM_EVENT_ROUTE_RESOLVED);
  return id;
}

static void say_ece(const char* who, struct rdma_cm_id* id) {
  struct ibv_ece ece = {0};
  MUST(rdma_get_remote_ece(id, &ece) == 0);
  say("%s: vendor 0x%x options 0x%x", who, ece.vendor_id, ece.options);
}

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  struct sockaddr_storage address = parse_address(argv[1], argv[2]);
  struct sockaddr* const to = (struct sockaddr*)&address;
  struct rdma_cm_id* listener;
  MUST((channel = rdma_create_event_channel()) != NULL);
  MUST(rdma_create_id(channel, &listener, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_bind_addr(listener, to) == 0 && rdma_listen(listener, 4) == 0);

  struct rdma_cm_id* active = resolved(to);
  struct ibv_cq* cq = ibv_create_cq(active->verbs, 16, NULL, NULL, 0);
  MUST(cq != NULL);
  struct ibv_qp* active_qp = make_qp(active, cq);
  struct ibv_qp_attr attributes = {.qp_state = IBV_QPS_RTR};
  int mask;
  MUST(rdma_init_qp_attr(active, &attributes, &mask) == 0); /* there is no connection: what INIT needs */
  MUST((mask & IBV_QP_PORT) && !(mask & IBV_QP_AV));
  attributes.qp_state = IBV_QPS_SQD;
  said_ok("init_qp_attr for SQD", rdma_init_qp_attr(active, &attributes, &mask));
  said_ok("init_qp_attr without a mask", rdma_init_qp_attr(active, &attributes, NULL));
  said_ok("connect without a queue pair or parameters", rdma_connect(active, NULL));

  struct ibv_ece ece = {.vendor_id = 0x15b3, .options = 7};
  MUST(rdma_set_local_ece(active, &ece) == 0);
  said_ok("set_local_ece without a vendor", rdma_set_local_ece(active, &(struct ibv_ece){.options = 1}));
  said_ok("set_local_ece with a mask", rdma_set_local_ece(active, &(struct ibv_ece){.vendor_id = 1, .comp_mask = 1}));
  said_ok("set_local_ece of nothing", rdma_set_local_ece(active, NULL));
  said_ok("get_remote_ece to nowhere", rdma_get_remote_ece(active, NULL));
  said_ok("establish before connect", rdma_establish(active));
  struct rdma_conn_param param = {.retry_count = 7,
                                  .rnr_retry_count = 7,
                                  .responder_resources = 4,
                                  .initiator_depth = 4,
                                  .qp_num = active_qp->qp_num};
  MUST(rdma_connect(active, &param) == 0);

  struct rdma_cm_id* passive = expect(RDMA_CM_EVENT_CONNECT_REQUEST);
  say_ece("request", passive);
  struct ibv_qp* passive_qp = make_qp(passive, cq);
  move(passive, passive_qp, IBV_QPS_INIT);
  move(passive, passive_qp, IBV_QPS_RTR);
  move(passive, passive_qp, IBV_QPS_RTS);
  ece.options = 3;
  MUST(rdma_set_local_ece(passive, &ece) == 0);
  param.qp_num = passive_qp->qp_num;
  said_ok("accept without a queue pair or parameters", rdma_accept(passive, NULL));
  MUST(rdma_accept(passive, &param) == 0);

  struct rdma_cm_event* event = next(RDMA_CM_EVENT_CONNECT_RESPONSE);
  MUST(event->id == active && event->param.conn.qp_num == passive_qp->qp_num);
  MUST(rdma_ack_cm_event(event) == 0);
  say_ece("response", active);
  move(active, active_qp, IBV_QPS_INIT);
  move(active, active_qp, IBV_QPS_RTR);
  move(active, active_qp, IBV_QPS_RTS);
  MUST(rdma_establish(active) == 0);
  MUST(expect(RDMA_CM_EVENT_ESTABLISHED) == passive); /* the active side is told nothing more */
  said_ok("notify of an established connection", rdma_notify(passive, IBV_EVENT_COMM_EST));
  said_ok("notify of something else", rdma_notify(passive, IBV_EVENT_SQ_DRAINED));

  struct ibv_mr* mr;
  static char message[] = "over a queue pair of one's own", arrived[sizeof message];
  MUST((mr = ibv_reg_mr(active->pd, message, sizeof message, 0)) != NULL);
  struct ibv_mr* into = ibv_reg_mr(passive->pd, arrived, sizeof arrived, IBV_ACCESS_LOCAL_WRITE);
  MUST(into != NULL);
  struct ibv_sge in = {(uintptr_t)arrived, sizeof arrived, into->lkey},
                 out = {(uintptr_t)message, sizeof message, mr->lkey};
  struct ibv_recv_wr receive = {.sg_list = &in, .num_sge = 1}, *bad_receive;
  struct ibv_send_wr send = {.sg_list = &out, .num_sge = 1, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED},
                     *bad;
  MUST(ibv_post_recv(passive_qp, &receive, &bad_receive) == 0);
  MUST(ibv_post_send(active_qp, &send, &bad) == 0);
  for (int completions = 0; completions < 2;) {
    struct ibv_wc wc;
    const int polled = ibv_poll_cq(cq, 1, &wc);
    MUST(polled >= 0 && (polled == 0 || wc.status == IBV_WC_SUCCESS));
    completions += polled;
  }
  MUST(memcmp(message, arrived, sizeof message) == 0);
  say("message: ok");
  MUST(rdma_disconnect(active) == 0);
  MUST(expect(RDMA_CM_EVENT_DISCONNECTED) == passive);
  MUST(rdma_disconnect(passive) == 0);
  MUST(expect(RDMA_CM_EVENT_DISCONNECTED) == active);
  ibv_dereg_mr(mr);
  ibv_dereg_mr(into);
  ibv_destroy_qp(active_qp);
  ibv_destroy_qp(passive_qp);
  MUST(rdma_destroy_id(passive) == 0 && rdma_destroy_id(active) == 0);

  /* A refusal because the options do not fit. */
  active = resolved(to);
  active_qp = make_qp(active, cq);
  MUST(rdma_set_local_ece(active, &ece) == 0);
  param.qp_num = active_qp->qp_num;
  MUST(rdma_connect(active, &param) == 0);
  passive = expect(RDMA_CM_EVENT_CONNECT_REQUEST);
  MUST(rdma_reject_ece(passive, "ece", 3) == 0);
  said_ok("reject_ece twice", rdma_reject_ece(passive, NULL, 0));
  event = next(RDMA_CM_EVENT_REJECTED);
  say("rejected: %d %.3s", event->status, (const char*)event->param.conn.private_data);
  MUST(rdma_ack_cm_event(event) == 0);
  MUST(rdma_destroy_id(passive) == 0 && rdma_destroy_id(active) == 0);

  /* A queue pair of librdmacm's: the library negotiates itself, and the calls are refused. */
  struct endpoint end;
  active = resolved(to);
  open_endpoint(&end, active);
  said_ok("set_local_ece with a queue pair", rdma_set_local_ece(active, &ece));
  said_ok("get_remote_ece with a queue pair", rdma_get_remote_ece(active, &ece));
  said_ok("establish with a queue pair", rdma_establish(active));
  said_ok("a second queue pair", rdma_create_qp(active, NULL, &(struct ibv_qp_init_attr){.qp_type = IBV_QPT_RC}));
  close_endpoint(&end);
  ibv_destroy_qp(active_qp);
  ibv_destroy_cq(cq);
  MUST(rdma_destroy_id(listener) == 0);
  rdma_destroy_event_channel(channel);
  return 0;
}
