/* cm_operations server ADDRESS PORT: accepts one connection, offers memory to it, and posts its receives only when it
 * is told "receive"; says what it received cm_operations client ADDRESS PORT: does every operation of a reliable
 * connection with that memory, compares, and at the end touches what it may not; says what each operation came to
 * Synchronous mode: no event channel of their own. */
#include <endian.h>

#include "program.h"

enum {
  region = 65536,
  write_bytes = 10000,
  send_bytes = 5000,
  tail_at = 32768,
  tail_bytes = 3000,
  word_at = 65528,
  receives = 3
};

struct offer {
  uint64_t address;
  uint32_t key;
};
static unsigned char memory[region] __attribute__((aligned(8)));
static unsigned char buffer[region] __attribute__((aligned(8)));

static void create_queues(struct rdma_cm_id* id) {
  struct ibv_qp_init_attr attributes = {
      .cap = {.max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1, .max_inline_data = 32},
      .qp_type = IBV_QPT_RC,
      .sq_sig_all = 1};
  MUST(rdma_create_qp(id, NULL, &attributes) == 0);
}

static unsigned char pattern(size_t at) { return (unsigned char)(at * 7 + at / 256); }

static void fill(unsigned char* at, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) at[i] = pattern(i);
}

static int is_filled(const unsigned char* at, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) {
    if (at[i] != pattern(i)) return 0;
  }
  return 1;
}

static int server(struct sockaddr_storage* address) {
  struct rdma_cm_id *listener, *id;
  MUST(rdma_create_id(NULL, &listener, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_bind_addr(listener, (struct sockaddr*)address) == 0 && rdma_listen(listener, 4) == 0);
  say("listening");
  MUST(rdma_get_request(listener, &id) == 0);
  say("private data %.5s", (const char*)id->event->param.conn.private_data);
  create_queues(id);
  struct ibv_mr* offered =
      ibv_reg_mr(id->pd, memory, region,
                 IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC);
  struct ibv_mr* in = rdma_reg_msgs(id, buffer, region);
  MUST(offered != NULL && in != NULL);
  struct offer offer = {(uintptr_t)memory, offered->rkey};
  struct rdma_conn_param param = {.private_data = &offer,
                                  .private_data_len = sizeof offer,
                                  .responder_resources = 4,
                                  .initiator_depth = 4,
                                  .rnr_retry_count = 7};
  MUST(rdma_accept(id, &param) == 0);
  say("accepted");
  char command[64];
  MUST(read_command(command, sizeof command) && strcmp(command, "receive") == 0);
  for (int i = 0; i < receives; ++i) {
    MUST(rdma_post_recv(id, NULL, buffer + (size_t)i * send_bytes, send_bytes, in) == 0);
  }
  for (int i = 0; i < receives; ++i) {
    struct ibv_wc wc;
    MUST(rdma_get_recv_comp(id, &wc) == 1 && wc.status == IBV_WC_SUCCESS);
    if (wc.opcode == IBV_WC_RECV_RDMA_WITH_IMM) {
      say("written, immediate %x, data %s", be32toh(wc.imm_data),
          is_filled(memory + tail_at, tail_bytes) ? "right" : "wrong");
    } else {
      const unsigned char* at = buffer + (size_t)i * send_bytes;
      say("received %u, immediate %x, data %s", wc.byte_len, (wc.wc_flags & IBV_WC_WITH_IMM) ? be32toh(wc.imm_data) : 0,
          is_filled(at, wc.byte_len) ? "right" : "wrong");
    }
  }
  MUST(read_command(command, sizeof command));
  rdma_disconnect(id);
  MUST(rdma_dereg_mr(offered) == 0 && rdma_dereg_mr(in) == 0);
  rdma_destroy_qp(id);
  MUST(rdma_destroy_id(id) == 0 && rdma_destroy_id(listener) == 0);
  return 0;
}

static struct rdma_cm_id* id;
static struct offer offer;
static struct ibv_mr* local;

/* One work request on `bytes` of our buffer and the offered memory at `remote`, done. */
static enum ibv_wc_status done(struct ibv_send_wr wr, unsigned bytes, uint64_t remote, uint32_t key) {
  struct ibv_sge sge = {(uintptr_t)buffer, bytes, local->lkey};
  struct ibv_send_wr* bad;
  struct ibv_wc wc;
  if (wr.opcode == IBV_WR_ATOMIC_CMP_AND_SWP || wr.opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
    wr.wr.atomic.remote_addr = offer.address + remote;
    wr.wr.atomic.rkey = key;
  } else {
    wr.wr.rdma.remote_addr = offer.address + remote;
    wr.wr.rdma.rkey = key;
  }
  wr.sg_list = &sge;
  wr.num_sge = bytes > 0;
  MUST(ibv_post_send(id->qp, &wr, &bad) == 0);
  MUST(rdma_get_send_comp(id, &wc) == 1);
  return wc.status;
}

static void say_done(const char* what, enum ibv_wc_status status, int is_right) {
  say("%s: %s%s", what, ibv_wc_status_str(status), is_right ? "" : ", data wrong");
}

static uint64_t fetched(void) {
  uint64_t value;
  memcpy(&value, buffer, sizeof value);
  return value;
}

static int client(struct sockaddr_storage* address) {
  struct rdma_conn_param param = {.private_data = "hello",
                                  .private_data_len = 5,
                                  .responder_resources = 4,
                                  .initiator_depth = 4,
                                  .retry_count = 7,
                                  .rnr_retry_count = 7};
  MUST(rdma_create_id(NULL, &id, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_resolve_addr(id, NULL, (struct sockaddr*)address, 5000) == 0 && rdma_resolve_route(id, 5000) == 0);
  create_queues(id);
  MUST((local = rdma_reg_msgs(id, buffer, region)) != NULL);
  MUST(rdma_connect(id, &param) == 0);
  memcpy(&offer, id->event->param.conn.private_data, sizeof offer);

  struct ibv_send_wr write = {.opcode = IBV_WR_RDMA_WRITE}, read = {.opcode = IBV_WR_RDMA_READ};
  fill(buffer, write_bytes);
  say_done("write", done(write, write_bytes, 0, offer.key), 1);
  memset(buffer, 0, region);
  enum ibv_wc_status status = done(read, write_bytes, 0, offer.key);
  say_done("read", status, is_filled(buffer, write_bytes));
  say_done("write of nothing", done(write, 0, 0, offer.key), 1);
  say_done("read of nothing", done(read, 0, 0, offer.key), 1);

  struct ibv_send_wr add = {.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD, .wr.atomic.compare_add = 0x100000005};
  struct ibv_send_wr swap = {.opcode = IBV_WR_ATOMIC_CMP_AND_SWP,
                             .wr.atomic = {.compare_add = 0x100000005, .swap = 0x42}};
  status = done(add, 8, word_at, offer.key);
  say_done("fetch and add", status, fetched() == 0);
  status = done(swap, 8, word_at, offer.key);
  say_done("compare and swap", status, fetched() == 0x100000005);
  status = done(swap, 8, word_at, offer.key);
  say_done("compare and do not swap", status, fetched() == 0x42);

  say("sending");
  fill(buffer, send_bytes);
  say_done("send", done((struct ibv_send_wr){.opcode = IBV_WR_SEND}, send_bytes, 0, 0), 1);
  struct ibv_send_wr small = {.opcode = IBV_WR_SEND_WITH_IMM,
                              .imm_data = htobe32(0x12345678),
                              .send_flags = IBV_SEND_INLINE | IBV_SEND_SOLICITED};
  say_done("send inline with immediate", done(small, 21, 0, 0), 1);
  struct ibv_send_wr write_imm = {.opcode = IBV_WR_RDMA_WRITE_WITH_IMM, .imm_data = htobe32(0x87654321)};
  say_done("write with immediate", done(write_imm, tail_bytes, tail_at, offer.key), 1);

  say_done("write with a wrong key", done(write, 100, 0, offer.key ^ 0x5500), 1);
  say_done("write after that", done(write, 100, 0, offer.key), 1);
  rdma_disconnect(id);
  MUST(rdma_dereg_mr(local) == 0);
  rdma_destroy_qp(id);
  MUST(rdma_destroy_id(id) == 0);
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 4) return 1;
  struct sockaddr_storage address = parse_address(argv[2], argv[3]);
  return strcmp(argv[1], "server") == 0 ? server(&address) : client(&address);
}
