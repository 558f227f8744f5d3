/* cm_rules ADDRESS PORT: what librdmacm promises of events and queue pairs. Says "ok" for each rule. */
#include <fcntl.h>
#include <pthread.h>

#include "program.h"

static struct rdma_event_channel* channel;

static struct rdma_cm_event* next(enum rdma_cm_event_type type) {
  struct rdma_cm_event* event;
  MUST(rdma_get_cm_event(channel, &event) == 0);
  MUST(event->event == type);
  return event;
}

/* Acknowledges only when destroy_id had every chance to overtake it. */
struct late {
  struct rdma_cm_event* event;
  volatile int destroyed, early;
};

static void* acknowledge_late(void* argument) {
  struct late* late = argument;
  for (int i = 0; i < 50; ++i) {
    poll(NULL, 0, 1);
    if (late->destroyed) late->early = 1;
  }
  MUST(rdma_ack_cm_event(late->event) == 0);
  return NULL;
}

static void non_blocking_channel(void) {
  struct rdma_cm_event* event;
  const int flags = fcntl(channel->fd, F_GETFL);
  MUST(fcntl(channel->fd, F_SETFL, flags | O_NONBLOCK) == 0);
  said_ok("get_cm_event of an empty channel", rdma_get_cm_event(channel, &event));
  MUST(fcntl(channel->fd, F_SETFL, flags) == 0);
}

static struct ibv_context* another_device(const struct rdma_cm_id* id) {
  static struct ibv_context** devices;
  if (devices == NULL) MUST((devices = rdma_get_devices(NULL)) != NULL);
  for (struct ibv_context** device = devices; *device != NULL; ++device)
    if (*device != id->verbs) return *device;
  return NULL;
}

static void queue_pairs(struct rdma_cm_id* id) {
  struct ibv_qp_init_attr attributes = {
      .cap = {.max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1}, .qp_type = IBV_QPT_RC};
  struct ibv_context* other = another_device(id);
  MUST(other != NULL);
  struct ibv_pd* foreign = ibv_alloc_pd(other);
  MUST(foreign != NULL);
  said_ok("create_qp in a domain of another device", rdma_create_qp(id, foreign, &attributes));
  ibv_dealloc_pd(foreign);
  MUST(rdma_create_qp(id, NULL, &attributes) == 0);
  struct ibv_qp_attr now;
  MUST(ibv_query_qp(id->qp, &now, IBV_QP_STATE, &attributes) == 0);
  say("state of a new queue pair: %s", now.qp_state == IBV_QPS_INIT ? "INIT" : "another");
  rdma_destroy_qp(id);
}

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  struct sockaddr_storage address = parse_address(argv[1], argv[2]);
  struct rdma_cm_id* id;
  MUST((channel = rdma_create_event_channel()) != NULL);
  non_blocking_channel();
  MUST(rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_resolve_addr(id, NULL, (struct sockaddr*)&address, 2000) == 0);
  struct late late = {.event = next(RDMA_CM_EVENT_ADDR_RESOLVED)};
  queue_pairs(id);
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, acknowledge_late, &late) == 0);
  MUST(rdma_destroy_id(id) == 0);
  late.destroyed = 1;
  MUST(pthread_join(thread, NULL) == 0);
  said_ok("destroy_id waits for the acknowledgement", late.early);
  rdma_destroy_event_channel(channel);
  return 0;
}
