/* cm_fork ADDRESS PORT: connects, forks, and connects from the child as well while the parent's connection stays. The
 * child then tries to use what its parent made. Exit status 0 if both connections were what they should be. */
#include <sys/wait.h>

#include "program.h"

static struct rdma_event_channel* channel;
static struct endpoint end;

static void expect(enum rdma_cm_event_type wanted) {
  struct rdma_cm_event* event;
  MUST(rdma_get_cm_event(channel, &event) == 0);
  const enum rdma_cm_event_type type = event->event;
  say_event(event);
  MUST(rdma_ack_cm_event(event) == 0);
  MUST(type == wanted);
}

static void connect_to(struct sockaddr* address) {
  struct rdma_conn_param param = {.retry_count = 7, .rnr_retry_count = 7};
  MUST((channel = rdma_create_event_channel()) != NULL);
  MUST(rdma_create_id(channel, &end.id, &end, RDMA_PS_TCP) == 0);
  MUST(rdma_resolve_addr(end.id, NULL, address, 2000) == 0);
  expect(RDMA_CM_EVENT_ADDR_RESOLVED);
  MUST(rdma_resolve_route(end.id, 2000) == 0);
  expect(RDMA_CM_EVENT_ROUTE_RESOLVED);
  open_endpoint(&end, end.id);
  MUST(rdma_connect(end.id, &param) == 0);
  expect(RDMA_CM_EVENT_ESTABLISHED);
}

static void disconnect(void) {
  MUST(rdma_disconnect(end.id) == 0);
  expect(RDMA_CM_EVENT_DISCONNECTED);
  close_endpoint(&end);
  rdma_destroy_event_channel(channel);
}

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  struct sockaddr_storage address = parse_address(argv[1], argv[2]);
  connect_to((struct sockaddr*)&address);
  say("parent is connected");
  const pid_t child = fork();
  MUST(child >= 0);
  if (child == 0) {
    struct rdma_cm_id* of_parent = end.id;
    said_ok("disconnect of the parent's id", rdma_disconnect(of_parent));
    connect_to((struct sockaddr*)&address);
    disconnect();
    said_ok("destroy of the parent's id", rdma_destroy_id(of_parent));
    _exit(0);
  }
  int status = 0;
  MUST(waitpid(child, &status, 0) == child);
  say("child: %d", status);
  struct pollfd event = {.fd = channel->fd, .events = POLLIN};
  MUST(poll(&event, 1, 0) >= 0);
  say("events of the parent meanwhile: %d", event.revents & POLLIN ? 1 : 0);
  disconnect();
  say("parent: done");
  return status == 0 ? 0 : 1;
}
