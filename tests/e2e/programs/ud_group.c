/* Datagrams to a group, with plain verbs: ud_group receive SOURCE_IP GROUP_IP | ud_group send SOURCE_IP GROUP_IP TEXT
 * on the device that owns SOURCE_IP. The receiver prints "ready", then each message with its sender's address,
 * and leaves after the message "end". */
#include "program.h"

enum { qkey = 0x11111111, receives = 16, bytes_max = 256 };

static union ibv_gid gid_of(const char* ip) {
  union ibv_gid gid = {0};
  if (inet_pton(AF_INET6, ip, gid.raw) == 1) return gid;
  gid.raw[10] = gid.raw[11] = 0xff;
  MUST(inet_pton(AF_INET, ip, gid.raw + 12) == 1);
  return gid;
}

struct station {
  struct ibv_pd* pd;
  struct ibv_comp_channel* channel;
  struct ibv_cq* cq;
  struct ibv_mr* mr;
  struct ibv_qp* qp;
  int gid_index;
  char memory[receives + 1][bytes_max];
};

/* The device that has this GID. */
static struct ibv_context* open_owner(union ibv_gid source, int* index) {
  struct ibv_device** devices = ibv_get_device_list(NULL);
  MUST(devices != NULL);
  for (struct ibv_device** device = devices; *device; ++device) {
    struct ibv_context* context = ibv_open_device(*device);
    union ibv_gid gid;
    MUST(context != NULL);
    for (*index = 0; *index < 16 && ibv_query_gid(context, 1, *index, &gid) == 0; ++*index) {
      if (memcmp(&gid, &source, sizeof gid) == 0) return context;
    }
    ibv_close_device(context);
  }
  say("no device has that address");
  exit(1);
}

static void set_up(struct station* s, struct ibv_context* context) {
  s->pd = ibv_alloc_pd(context);
  s->channel = ibv_create_comp_channel(context);
  s->cq = ibv_create_cq(context, 2 * receives, NULL, s->channel, 0);
  s->mr = ibv_reg_mr(s->pd, s->memory, sizeof s->memory, IBV_ACCESS_LOCAL_WRITE);
  MUST(s->pd && s->channel && s->cq && s->mr);
  struct ibv_qp_init_attr init = {
      .send_cq = s->cq,
      .recv_cq = s->cq,
      .cap = {.max_send_wr = 1, .max_recv_wr = receives, .max_send_sge = 1, .max_recv_sge = 1},
      .qp_type = IBV_QPT_UD};
  s->qp = ibv_create_qp(s->pd, &init);
  MUST(s->qp != NULL);
  struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = qkey};
  MUST(!ibv_modify_qp(s->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY));
  attr.qp_state = IBV_QPS_RTR;
  MUST(!ibv_modify_qp(s->qp, &attr, IBV_QP_STATE));
  attr.qp_state = IBV_QPS_RTS;
  MUST(!ibv_modify_qp(s->qp, &attr, IBV_QP_STATE | IBV_QP_SQ_PSN));
}

static struct ibv_wc next(struct station* s) {
  struct ibv_wc wc;
  struct ibv_cq* cq;
  void* context;
  for (;;) {
    const int count = ibv_poll_cq(s->cq, 1, &wc);
    MUST(count >= 0);
    if (count == 1) break;
    MUST(!ibv_get_cq_event(s->channel, &cq, &context));
    ibv_ack_cq_events(cq, 1);
    MUST(!ibv_req_notify_cq(cq, 0));
  }
  MUST(wc.status == IBV_WC_SUCCESS);
  return wc;
}

static void post(struct station* s, uint64_t slot) {
  struct ibv_sge sge = {.addr = (uintptr_t)s->memory[slot], .length = bytes_max, .lkey = s->mr->lkey};
  struct ibv_recv_wr wr = {.wr_id = slot, .sg_list = &sge, .num_sge = 1}, *bad;
  MUST(!ibv_post_recv(s->qp, &wr, &bad));
}

static void receive(struct station* s, const union ibv_gid* group) {
  int ended = 0;
  for (uint64_t slot = 0; slot < receives; ++slot) post(s, slot);
  MUST(!ibv_req_notify_cq(s->cq, 0));
  MUST((errno = ibv_attach_mcast(s->qp, group, 0)) == 0);
  say("ready");
  while (!ended) {
    struct ibv_wc wc = next(s);
    struct ibv_ah_attr from;
    char address[INET6_ADDRSTRLEN];
    const char* text = s->memory[wc.wr_id] + sizeof(struct ibv_grh);
    MUST(!ibv_init_ah_from_wc(s->qp->context, 1, &wc, (struct ibv_grh*)s->memory[wc.wr_id], &from));
    inet_ntop(AF_INET6, from.grh.dgid.raw, address, sizeof address);
    say("\"%s\" from %s", text, address);
    ended = strcmp(text, "end") == 0;
    post(s, wc.wr_id);
  }
  MUST(!ibv_detach_mcast(s->qp, group, 0));
}

static void send_text(struct station* s, const union ibv_gid* group, const char* text) {
  struct ibv_ah_attr to = {.is_global = 1, .port_num = 1};
  to.grh.dgid = *group;
  to.grh.sgid_index = s->gid_index;
  to.grh.hop_limit = 1;
  struct ibv_ah* ah = ibv_create_ah(s->pd, &to);
  MUST(ah != NULL);
  strncpy(s->memory[receives], text, bytes_max - 1);
  struct ibv_sge sge = {.addr = (uintptr_t)s->memory[receives], .length = strlen(text) + 1, .lkey = s->mr->lkey};
  struct ibv_send_wr wr = {.sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED}, *bad;
  wr.wr.ud.ah = ah;
  wr.wr.ud.remote_qpn = 0xffffff;
  wr.wr.ud.remote_qkey = qkey;
  MUST(!ibv_post_send(s->qp, &wr, &bad));
  next(s);
  MUST(!ibv_destroy_ah(ah));
}

int main(int argc, char** argv) {
  static struct station s;
  if (argc < 4) return 2;
  const union ibv_gid source = gid_of(argv[2]), group = gid_of(argv[3]);
  struct ibv_context* context = open_owner(source, &s.gid_index);
  set_up(&s, context);
  if (strcmp(argv[1], "receive") == 0) {
    receive(&s, &group);
  } else {
    MUST(!ibv_req_notify_cq(s.cq, 0));
    send_text(&s, &group, argc > 4 ? argv[4] : "end");
  }
  MUST(!ibv_destroy_qp(s.qp) && !ibv_dereg_mr(s.mr) && !ibv_destroy_cq(s.cq));
  MUST(!ibv_destroy_comp_channel(s.channel) && !ibv_dealloc_pd(s.pd) && !ibv_close_device(context));
  return 0;
}
