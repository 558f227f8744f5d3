/* cm_endpoints ADDRESS PORT: both sides of a connection in synchronous mode, from rdma_getaddrinfo to rdma_destroy_ep,
 * with every helper of rdma_verbs.h; the sides are two threads. Says "ok" for each step of the client. */
#include <pthread.h>

#include "program.h"

enum { bytes = 3000, half = bytes / 2 };

static const char *host, *port;

static struct ibv_qp_init_attr queue_attributes(void) {
  struct ibv_qp_init_attr attributes = {
      .cap = {.max_send_wr = 8, .max_recv_wr = 8, .max_send_sge = 2, .max_recv_sge = 2, .max_inline_data = 16},
      .sq_sig_all = 1};
  return attributes;
}

static struct rdma_cm_id* endpoint(int flags) {
  struct rdma_addrinfo hints = {.ai_flags = flags | RAI_NUMERICHOST, .ai_port_space = RDMA_PS_TCP}, *info;
  struct ibv_qp_init_attr attributes = queue_attributes();
  struct rdma_cm_id* id;
  MUST(rdma_getaddrinfo(host, port, &hints, &info) == 0);
  MUST(rdma_create_ep(&id, info, NULL, &attributes) == 0);
  rdma_freeaddrinfo(info);
  return id;
}

static struct ibv_wc completed(struct rdma_cm_id* id, int (*get)(struct rdma_cm_id*, struct ibv_wc*)) {
  struct ibv_wc wc;
  MUST(get(id, &wc) == 1);
  if (wc.status != IBV_WC_SUCCESS) say("COMPLETION %s", ibv_wc_status_str(wc.status));
  MUST(wc.status == IBV_WC_SUCCESS);
  return wc;
}

/* What the server offers: one region to read, one to write, told in the accept's private data. */
struct offer {
  uint64_t read_address, write_address;
  uint32_t read_key, write_key;
};

static void* serve(void* listening) {
  static unsigned char readable[bytes], writable[bytes], message[2 * bytes];
  unsigned char* const second = message + bytes;
  struct rdma_cm_id *listener = listening, *id;
  MUST(rdma_get_request(listener, &id) == 0);
  MUST(id->qp != NULL && id->event != NULL && id->event->event == RDMA_CM_EVENT_CONNECT_REQUEST);
  MUST(memcmp(id->event->param.conn.private_data, "hello", 5) == 0);
  memset(readable, 'r', bytes);
  struct ibv_mr* read = rdma_reg_read(id, readable, bytes);
  struct ibv_mr* write = rdma_reg_write(id, writable, bytes);
  struct ibv_mr* in = rdma_reg_msgs(id, message, sizeof message);
  MUST(read != NULL && write != NULL && in != NULL);
  MUST(rdma_post_recv(id, &message, message, bytes, in) == 0);
  struct ibv_sge parts[] = {{(uintptr_t)second, half, in->lkey}, {(uintptr_t)second + half, half, in->lkey}};
  MUST(rdma_post_recvv(id, &parts, parts, 2) == 0);
  const struct offer offer = {(uintptr_t)readable, (uintptr_t)writable, read->rkey, write->rkey};
  struct rdma_conn_param param = {.private_data = &offer,
                                  .private_data_len = sizeof offer,
                                  .responder_resources = RDMA_MAX_RESP_RES,
                                  .initiator_depth = RDMA_MAX_INIT_DEPTH};
  MUST(rdma_accept(id, &param) == 0);
  MUST(id->event->event == RDMA_CM_EVENT_ESTABLISHED);
  struct ibv_wc wc = completed(id, rdma_get_recv_comp);
  MUST(wc.byte_len == bytes && wc.wr_id == (uintptr_t)&message && message[0] == 's' && message[bytes - 1] == 's');
  wc = completed(id, rdma_get_recv_comp);
  MUST(wc.byte_len == bytes && wc.wr_id == (uintptr_t)&parts && second[0] == 'v' && second[bytes - 1] == 'V');
  MUST(writable[0] == 'w' && writable[half] == 'W' && writable[bytes - 1] == 'W');
  MUST(rdma_post_send(id, NULL, "done", 4, NULL, IBV_SEND_INLINE) == 0);
  (void)completed(id, rdma_get_send_comp);
  MUST(rdma_disconnect(id) == 0); /* waits for the event of whoever comes first */
  MUST(id->event->event == RDMA_CM_EVENT_DISCONNECTED);
  MUST(rdma_dereg_mr(read) == 0 && rdma_dereg_mr(write) == 0 && rdma_dereg_mr(in) == 0);
  rdma_destroy_ep(id);
  rdma_destroy_ep(listener);
  return NULL;
}

static void use(struct rdma_cm_id* id, struct offer at) {
  static unsigned char out[bytes], in[bytes];
  struct ibv_mr* out_mr = rdma_reg_msgs(id, out, bytes);
  struct ibv_mr* in_mr = rdma_reg_msgs(id, in, bytes);
  MUST(out_mr != NULL && in_mr != NULL);
  struct ibv_sge outs[] = {{(uintptr_t)out, half, out_mr->lkey}, {(uintptr_t)out + half, half, out_mr->lkey}};
  struct ibv_sge ins[] = {{(uintptr_t)in, half, in_mr->lkey}, {(uintptr_t)in + half, half, in_mr->lkey}};
  MUST(rdma_post_recv(id, NULL, in, bytes, in_mr) == 0);

  memset(out, 'w', bytes);
  MUST(rdma_post_write(id, &at, out, bytes, out_mr, 0, at.write_address, at.write_key) == 0);
  MUST(completed(id, rdma_get_send_comp).wr_id == (uintptr_t)&at);
  say("post_write: ok");
  memset(out + half, 'W', half);
  MUST(rdma_post_writev(id, NULL, outs, 2, 0, at.write_address, at.write_key) == 0);
  (void)completed(id, rdma_get_send_comp);
  say("post_writev: ok");
  MUST(rdma_post_read(id, NULL, out, bytes, out_mr, 0, at.read_address, at.read_key) == 0);
  (void)completed(id, rdma_get_send_comp);
  MUST(out[0] == 'r' && out[bytes - 1] == 'r');
  say("post_read: ok");
  memset(out, 0, bytes);
  MUST(rdma_post_readv(id, NULL, outs, 2, 0, at.read_address, at.read_key) == 0);
  (void)completed(id, rdma_get_send_comp);
  MUST(out[0] == 'r' && out[bytes - 1] == 'r');
  say("post_readv: ok");
  memset(out, 's', bytes);
  MUST(rdma_post_send(id, NULL, out, bytes, out_mr, 0) == 0);
  (void)completed(id, rdma_get_send_comp);
  say("post_send: ok");
  memset(out, 'v', half);
  memset(out + half, 'V', half);
  MUST(rdma_post_sendv(id, NULL, outs, 2, IBV_SEND_SIGNALED) == 0);
  (void)completed(id, rdma_get_send_comp);
  say("post_sendv: ok");
  MUST(completed(id, rdma_get_recv_comp).byte_len == 4 && memcmp(in, "done", 4) == 0);
  say("get_recv_comp: ok");
  errno = 0;
  said_ok("post_send of too many pieces", rdma_post_sendv(id, NULL, ins, 200, 0));
  MUST(rdma_dereg_mr(out_mr) == 0 && rdma_dereg_mr(in_mr) == 0);
}

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  host = argv[1];
  port = argv[2];
  pthread_t server;
  struct rdma_cm_id* listener = endpoint(RAI_PASSIVE);
  MUST(rdma_listen(listener, 4) == 0);
  said_ok("set_option of a synchronous listener",
          rdma_set_option(listener, RDMA_OPTION_ID, RDMA_OPTION_ID_TOS, &(uint8_t){8}, 1));
  MUST(pthread_create(&server, NULL, serve, listener) == 0);

  struct rdma_cm_id* id = endpoint(0);
  MUST(id->qp != NULL && id->send_cq != NULL && id->recv_cq != NULL && id->send_cq->cq_context == id);
  MUST(id->channel != NULL && id->pd != NULL && id->route.num_paths == 1);
  struct rdma_conn_param param = {.private_data = "hello",
                                  .private_data_len = 5,
                                  .responder_resources = RDMA_MAX_RESP_RES,
                                  .initiator_depth = RDMA_MAX_INIT_DEPTH,
                                  .retry_count = 7,
                                  .rnr_retry_count = 7};
  MUST(rdma_connect(id, &param) == 0);
  MUST(id->event->event == RDMA_CM_EVENT_ESTABLISHED);
  struct offer at;
  memcpy(&at, id->event->param.conn.private_data, sizeof at);
  say("connect: ok");
  use(id, at);
  MUST(rdma_disconnect(id) == 0);
  MUST(id->event->event == RDMA_CM_EVENT_DISCONNECTED);
  say("disconnect: ok");
  rdma_destroy_ep(id);
  MUST(pthread_join(server, NULL) == 0);

  /* Nobody listens any more: the refusal is the error of the call. */
  id = endpoint(0);
  said_ok("connect without a listener", rdma_connect(id, &param));
  MUST(id->event->event == RDMA_CM_EVENT_REJECTED && id->event->status == 8);
  rdma_destroy_ep(id);
  return 0;
}
