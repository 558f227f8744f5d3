/* cm_listen ADDRESS PORT [hold]: listens, prints every event, and accepts each connection; with `hold` only when told
 * so. Commands: accept, reject, disconnect (the newest connection), quit. Exit status 2 if it could not bind or listen.
 */
#include "program.h"

static struct rdma_event_channel* channel;

static void accept_newest(struct endpoint* end) {
  struct rdma_conn_param param = {.rnr_retry_count = 7};
  said_ok("accept", rdma_accept(end->id, &param));
}

static void on_event(struct rdma_cm_event* event, struct endpoint** newest, int hold) {
  struct rdma_cm_id* id = event->id;
  const enum rdma_cm_event_type type = event->event;
  say_event(event);
  MUST(rdma_ack_cm_event(event) == 0);
  switch (type) {
    case RDMA_CM_EVENT_CONNECT_REQUEST:
      MUST((*newest = calloc(1, sizeof **newest)) != NULL);
      if (said_ok("create_qp", try_open_endpoint(*newest, id)) && !hold) accept_newest(*newest);
      break;
    case RDMA_CM_EVENT_DISCONNECTED:
      rdma_disconnect(id);
      say_flushed(id->context);
      /* fall through */
    case RDMA_CM_EVENT_REJECTED:
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_CONNECT_ERROR:
      if (id->context == *newest) *newest = NULL;
      close_endpoint(id->context);
      say("closed");
      break;
    default: break;
  }
}

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  const int hold = argc > 3 && strcmp(argv[3], "hold") == 0;
  struct sockaddr_storage address = parse_address(argv[1], argv[2]);
  struct rdma_cm_id* listener;
  struct endpoint* newest = NULL;
  MUST((channel = rdma_create_event_channel()) != NULL);
  MUST(rdma_create_id(channel, &listener, NULL, RDMA_PS_TCP) == 0);
  if (!said_ok("bind", rdma_bind_addr(listener, (struct sockaddr*)&address))) return 2;
  if (!said_ok("listen", rdma_listen(listener, 16))) return 2;
  say("listening on %d", ntohs(rdma_get_src_port(listener)));
  for (;;) {
    struct rdma_cm_event* event;
    char command[64];
    if (channel_before_input(channel)) {
      MUST(rdma_get_cm_event(channel, &event) == 0);
      on_event(event, &newest, hold);
      continue;
    }
    if (!read_command(command, sizeof command) || strcmp(command, "quit") == 0) break;
    if (newest == NULL) {
      say("no connection");
    } else if (strcmp(command, "accept") == 0) {
      accept_newest(newest);
    } else if (strcmp(command, "reject") == 0) {
      said_ok("reject", rdma_reject(newest->id, NULL, 0));
    } else if (strcmp(command, "disconnect") == 0) {
      said_ok("disconnect", rdma_disconnect(newest->id));
    }
  }
  if (newest != NULL) close_endpoint(newest);
  MUST(rdma_destroy_id(listener) == 0);
  rdma_destroy_event_channel(channel);
  return 0;
}
