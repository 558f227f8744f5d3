/* cm_storm server ADDRESS PORT N    accepts N connections
 * cm_storm client ADDRESS PORT N    connects N ids, all at once: every REQ is on its way before the first answer is
 * read Both say when all are established; then they wait for the line "end" (the client disconnects all, the server
 * follows) and say what they saw. One channel, one completion queue: no descriptor per connection. */
#include "program.h"

static struct rdma_event_channel* channel;
static struct ibv_cq* queue;
static struct rdma_cm_id** ids;
static unsigned count;

/* The next event that says something new of a connection. */
static enum rdma_cm_event_type next_event(struct rdma_cm_id** id) {
  struct rdma_cm_event* event;
  enum rdma_cm_event_type type;
  do {
    MUST(rdma_get_cm_event(channel, &event) == 0);
    type = event->event;
    *id = event->id;
    MUST(rdma_ack_cm_event(event) == 0);
  } while (type == RDMA_CM_EVENT_TIMEWAIT_EXIT);
  return type;
}

static void check(enum rdma_cm_event_type type, int expected) {
  if (expected) return;
  say("unexpected %s", rdma_event_str(type));
  exit(1);
}

static struct rdma_cm_id* expect(enum rdma_cm_event_type expected) {
  struct rdma_cm_id* id;
  const enum rdma_cm_event_type type = next_event(&id);
  check(type, type == expected);
  return id;
}

static void create_qp(struct rdma_cm_id* id) {
  if (queue == NULL) MUST((queue = ibv_create_cq(id->verbs, 16, NULL, NULL, 0)) != NULL);
  struct ibv_qp_init_attr attributes = {
      .send_cq = queue,
      .recv_cq = queue,
      .cap = {.max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1},
      .qp_type = IBV_QPT_RC};
  MUST(rdma_create_qp(id, NULL, &attributes) == 0);
}

static void destroy(struct rdma_cm_id* id) {
  rdma_destroy_qp(id);
  MUST(rdma_destroy_id(id) == 0);
}

static void wait_for_end(void) {
  char command[64];
  MUST(read_command(command, sizeof command) && strcmp(command, "end") == 0);
}

static void client(struct sockaddr_storage* address) {
  struct rdma_conn_param param = {.retry_count = 7, .rnr_retry_count = 7};
  for (unsigned i = 0; i < count; ++i) {
    MUST(rdma_create_id(channel, &ids[i], NULL, RDMA_PS_TCP) == 0);
    MUST(rdma_resolve_addr(ids[i], NULL, (struct sockaddr*)address, 30000) == 0);
  }
  for (unsigned i = 0; i < count; ++i) MUST(rdma_resolve_route(expect(RDMA_CM_EVENT_ADDR_RESOLVED), 30000) == 0);
  for (unsigned i = 0; i < count; ++i) create_qp(expect(RDMA_CM_EVENT_ROUTE_RESOLVED));
  for (unsigned i = 0; i < count; ++i) MUST(rdma_connect(ids[i], &param) == 0);
  for (unsigned i = 0; i < count; ++i) expect(RDMA_CM_EVENT_ESTABLISHED);
  say("established %u", count);
  wait_for_end();
  for (unsigned i = 0; i < count; ++i) MUST(rdma_disconnect(ids[i]) == 0);
  for (unsigned i = 0; i < count; ++i) expect(RDMA_CM_EVENT_DISCONNECTED);
  for (unsigned i = 0; i < count; ++i) destroy(ids[i]);
}

static void server(struct sockaddr_storage* address) {
  struct rdma_conn_param param = {.rnr_retry_count = 7};
  struct rdma_cm_id* listener;
  MUST(rdma_create_id(channel, &listener, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_bind_addr(listener, (struct sockaddr*)address) == 0);
  MUST(rdma_listen(listener, 0) == 0);
  say("listening");
  for (unsigned accepted = 0, established = 0; established < count;) {
    struct rdma_cm_id* id;
    const enum rdma_cm_event_type type = next_event(&id);
    check(type, type == RDMA_CM_EVENT_ESTABLISHED || (type == RDMA_CM_EVENT_CONNECT_REQUEST && accepted < count));
    if (type == RDMA_CM_EVENT_ESTABLISHED) {
      ++established;
      continue;
    }
    ids[accepted++] = id;
    create_qp(id);
    MUST(rdma_accept(id, &param) == 0);
  }
  say("established %u", count);
  for (unsigned i = 0; i < count; ++i) MUST(rdma_disconnect(expect(RDMA_CM_EVENT_DISCONNECTED)) == 0);
  say("disconnected %u", count);
  wait_for_end();
  for (unsigned i = 0; i < count; ++i) destroy(ids[i]);
  MUST(rdma_destroy_id(listener) == 0);
}

int main(int argc, char** argv) {
  if (argc != 5) return 1;
  struct sockaddr_storage address = parse_address(argv[2], argv[3]);
  count = (unsigned)strtoul(argv[4], NULL, 10);
  MUST((channel = rdma_create_event_channel()) != NULL);
  MUST((ids = calloc(count, sizeof *ids)) != NULL);
  if (strcmp(argv[1], "server") == 0) {
    server(&address);
  } else {
    client(&address);
  }
  if (queue != NULL) ibv_destroy_cq(queue);
  rdma_destroy_event_channel(channel);
  free(ids);
  say("done");
  return 0;
}
