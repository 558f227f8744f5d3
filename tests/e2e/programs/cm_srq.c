/* cm_srq ADDRESS PORT [ex]: a server whose connections share one receive queue, made by rdma_create_srq or, with `ex`,
 * by rdma_create_srq_ex; both sides are in this process, in synchronous mode. */
#include <pthread.h>

#include "program.h"

enum { clients = 2, bytes = 64 };
static struct sockaddr_storage address;
static struct ibv_qp_init_attr queues(void) {
  struct ibv_qp_init_attr attributes = {
      .cap = {.max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1},
      .qp_type = IBV_QPT_RC,
      .sq_sig_all = 1};
  return attributes;
}

static void* client(void* number) {
  struct rdma_conn_param param = {.retry_count = 7, .rnr_retry_count = 7};
  struct ibv_qp_init_attr attributes = queues();
  struct rdma_cm_id* id;
  struct ibv_wc wc;
  char message[bytes];
  MUST(rdma_create_id(NULL, &id, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_resolve_addr(id, NULL, (struct sockaddr*)&address, 2000) == 0 && rdma_resolve_route(id, 2000) == 0);
  MUST(rdma_create_qp(id, NULL, &attributes) == 0);
  struct ibv_mr* mr = rdma_reg_msgs(id, message, sizeof message);
  MUST(mr != NULL && rdma_connect(id, &param) == 0);
  snprintf(message, sizeof message, "from %d", *(int*)number);
  MUST(rdma_post_send(id, NULL, message, sizeof message, mr, 0) == 0);
  MUST(rdma_get_send_comp(id, &wc) == 1 && wc.status == IBV_WC_SUCCESS);
  MUST(rdma_disconnect(id) == 0 && rdma_dereg_mr(mr) == 0);
  rdma_destroy_ep(id);
  return NULL;
}

static int create_srq(struct rdma_cm_id* id, int ex) {
  struct ibv_srq_init_attr attributes = {.attr = {.max_wr = 4, .max_sge = 1}};
  struct ibv_srq_init_attr_ex more = {
      .attr = attributes.attr, .comp_mask = IBV_SRQ_INIT_ATTR_TYPE, .srq_type = IBV_SRQT_BASIC};
  const int result = ex ? rdma_create_srq_ex(id, &more) : rdma_create_srq(id, NULL, &attributes);
  MUST(result != 0 || (ex ? more.attr : attributes.attr).max_wr >= 4);
  return result;
}

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  const int ex = argc > 3 && strcmp(argv[3], "ex") == 0;
  static char memory[clients][bytes];
  struct rdma_cm_id *listener, *ids[clients];
  struct rdma_conn_param param = {.rnr_retry_count = 7};
  struct ibv_srq* srq = NULL;
  struct ibv_mr* mr = NULL;
  pthread_t threads[clients];
  int numbers[clients];
  address = parse_address(argv[1], argv[2]);
  MUST(rdma_create_id(NULL, &listener, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_bind_addr(listener, (struct sockaddr*)&address) == 0 && rdma_listen(listener, 4) == 0);
  for (int i = 0; i < clients; ++i) {
    struct ibv_qp_init_attr attributes_of_queues = queues();
    numbers[i] = i;
    MUST(pthread_create(&threads[i], NULL, client, &numbers[i]) == 0);
    MUST(rdma_get_request(listener, &ids[i]) == 0 && ids[i]->qp == NULL);
    if (i == 0) {
      said_ok("create_srq", create_srq(ids[i], ex));
      MUST((srq = ids[i]->srq) != NULL && srq->pd == ids[i]->pd);
      said_ok("create_srq twice", create_srq(ids[i], ex));
      MUST((mr = rdma_reg_msgs(ids[i], memory, sizeof memory)) != NULL);
      for (int slot = 0; slot < clients; ++slot) /* goes to the shared queue: there is no queue pair yet */
        MUST(rdma_post_recv(ids[i], memory[slot], memory[slot], bytes, mr) == 0);
      MUST(rdma_create_qp(ids[i], NULL, &attributes_of_queues) == 0); /* takes the id's shared queue */
    } else {
      attributes_of_queues.srq = srq;
      MUST(rdma_create_qp(ids[i], NULL, &attributes_of_queues) == 0);
    }
    MUST(ids[i]->qp->srq == srq && rdma_accept(ids[i], &param) == 0);
  }
  for (int i = 0; i < clients; ++i) {
    struct ibv_wc wc;
    char expected[bytes];
    MUST(rdma_get_recv_comp(ids[i], &wc) == 1 && wc.status == IBV_WC_SUCCESS && wc.byte_len == bytes);
    snprintf(expected, sizeof expected, "from %d", i);
    MUST(strcmp((const char*)(uintptr_t)wc.wr_id, expected) == 0);
  }
  say("messages: ok");
  for (int i = clients - 1; i >= 0; --i) {
    MUST(rdma_disconnect(ids[i]) == 0 && pthread_join(threads[i], NULL) == 0);
    if (i == 0) MUST(rdma_dereg_mr(mr) == 0);
    rdma_destroy_ep(ids[i]); /* with the first one's shared queue */
  }
  rdma_destroy_ep(listener);
  return 0;
}
