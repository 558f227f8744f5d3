/* cm_wrong_state ADDRESS PORT: calls what the state of an id does not allow, and says each call's errno. A listener
 * must be at ADDRESS PORT. Each line is "STATE CALL: ERRNO". */
#include "program.h"

static struct rdma_event_channel* channel;

static struct rdma_cm_id* create(void) {
  struct rdma_cm_id* id;
  MUST(rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) == 0);
  return id;
}

static void expect(enum rdma_cm_event_type type) {
  struct rdma_cm_event* event;
  MUST(rdma_get_cm_event(channel, &event) == 0);
  MUST(event->event == type);
  MUST(rdma_ack_cm_event(event) == 0);
}

/* Calls every entry point but those named in `allowed`. */
static void call_all(struct rdma_cm_id* id, const char* state, const char* allowed, struct sockaddr* address) {
  struct rdma_conn_param param = {.retry_count = 7, .qp_num = 17};
  struct sockaddr_in any = {.sin_family = AF_INET};
  char line[64];
#define CALL(name, expression)                         \
  if (strstr(allowed, name) == NULL) {                 \
    snprintf(line, sizeof line, "%s %s", state, name); \
    said_ok(line, expression);                         \
  }
  CALL("bind_addr", rdma_bind_addr(id, (struct sockaddr*)&any));
  CALL("resolve_addr", rdma_resolve_addr(id, NULL, address, 1000));
  CALL("resolve_route", rdma_resolve_route(id, 1000));
  CALL("connect", rdma_connect(id, &param));
  CALL("listen", rdma_listen(id, 1));
  CALL("accept", rdma_accept(id, &param));
  CALL("reject", rdma_reject(id, NULL, 0));
  CALL("disconnect", rdma_disconnect(id));
}

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  struct sockaddr_storage address = parse_address(argv[1], argv[2]);
  struct sockaddr* there = (struct sockaddr*)&address;
  struct sockaddr_in any = {.sin_family = AF_INET};
  MUST((channel = rdma_create_event_channel()) != NULL);

  struct rdma_cm_id* id = create();
  call_all(id, "IDLE", "bind_addr resolve_addr listen", there);
  MUST(rdma_bind_addr(id, (struct sockaddr*)&any) == 0);
  call_all(id, "ADDR_BOUND", "resolve_addr listen", there);
  MUST(rdma_listen(id, 1) == 0);
  call_all(id, "LISTEN", "", there);
  MUST(rdma_destroy_id(id) == 0);

  id = create();
  MUST(rdma_resolve_addr(id, NULL, there, 2000) == 0);
  expect(RDMA_CM_EVENT_ADDR_RESOLVED);
  call_all(id, "ADDR_RESOLVED", "resolve_route", there);
  MUST(rdma_resolve_route(id, 2000) == 0);
  expect(RDMA_CM_EVENT_ROUTE_RESOLVED);
  call_all(id, "ROUTE_RESOLVED", "connect", there);
  MUST(rdma_destroy_id(id) == 0);

  rdma_destroy_event_channel(channel);
  return 0;
}
