/* cm_connect ADDRESS PORT [deaf|linger]: resolves, connects and prints every event until the connection has ended; with
 * `deaf` it takes no event any more once it has called rdma_connect (so that it never answers a REP), until the command
 * `hear`; with `linger` it keeps its id after the end, until the command `quit`. Commands: deaf, hear, disconnect,
 * quit. Exit status 0 if it was connected. */
#include "program.h"

static struct rdma_event_channel* channel;
static struct endpoint end;

static int is_last(enum rdma_cm_event_type type) {
  switch (type) {
    case RDMA_CM_EVENT_ADDR_ERROR:
    case RDMA_CM_EVENT_ROUTE_ERROR:
    case RDMA_CM_EVENT_CONNECT_ERROR:
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_REJECTED:
    case RDMA_CM_EVENT_DISCONNECTED: return 1;
    default: return 0;
  }
}

static enum rdma_cm_event_type on_event(void) {
  struct rdma_cm_event* event;
  MUST(rdma_get_cm_event(channel, &event) == 0);
  const enum rdma_cm_event_type type = event->event;
  say_event(event);
  MUST(rdma_ack_cm_event(event) == 0);
  if (type == RDMA_CM_EVENT_ADDR_RESOLVED) {
    said_ok("resolve_route", rdma_resolve_route(end.id, 2000));
  } else if (type == RDMA_CM_EVENT_ROUTE_RESOLVED) {
    struct rdma_conn_param param = {.retry_count = 7, .rnr_retry_count = 7};
    open_endpoint(&end, end.id);
    said_ok("connect", rdma_connect(end.id, &param));
  } else if (type == RDMA_CM_EVENT_DISCONNECTED) {
    rdma_disconnect(end.id);
    say_flushed(&end);
  }
  return type;
}

/* Takes no event until it is told to hear; 0 if nobody will tell. */
static int be_deaf(void) {
  char command[64];
  say("deaf");
  do {
    if (!read_command(command, sizeof command)) return 0;
  } while (strcmp(command, "hear") != 0);
  return 1;
}

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  const int deaf = argc > 3 && strcmp(argv[3], "deaf") == 0;
  const int linger = argc > 3 && strcmp(argv[3], "linger") == 0;
  int connected = 0;
  struct sockaddr_storage address = parse_address(argv[1], argv[2]);
  MUST((channel = rdma_create_event_channel()) != NULL);
  MUST(rdma_create_id(channel, &end.id, &end, RDMA_PS_TCP) == 0);
  if (!said_ok("resolve_addr", rdma_resolve_addr(end.id, NULL, (struct sockaddr*)&address, 2000))) return 2;
  for (;;) {
    char command[64];
    if (channel_before_input(channel)) {
      const enum rdma_cm_event_type type = on_event();
      connected |= type == RDMA_CM_EVENT_ESTABLISHED;
      if (is_last(type) && !linger) break;
      if (type == RDMA_CM_EVENT_ROUTE_RESOLVED && deaf && !be_deaf()) return 3;
      continue;
    }
    if (!read_command(command, sizeof command) || strcmp(command, "quit") == 0) break;
    if (strcmp(command, "deaf") == 0 && !be_deaf()) return 3;
    if (strcmp(command, "disconnect") == 0) said_ok("disconnect", rdma_disconnect(end.id));
  }
  close_endpoint(&end);
  rdma_destroy_event_channel(channel);
  return connected ? 0 : 1;
}
