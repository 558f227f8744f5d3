/* cm_no_ack ADDRESS PORT: destroys an id of which it fetched an event that it does not acknowledge before the command
 * `ack`. With `exit` as a third argument it ends without either. */
#include <pthread.h>

#include "program.h"

static struct rdma_cm_event* event;

static void* acknowledge_when_told(void* unused) {
  char command[64];
  MUST(read_command(command, sizeof command));
  MUST(rdma_ack_cm_event(event) == 0);
  return unused;
}

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  struct sockaddr_storage address = parse_address(argv[1], argv[2]);
  struct rdma_event_channel* channel = rdma_create_event_channel();
  struct rdma_cm_id* id;
  pthread_t thread;
  MUST(channel != NULL && rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_resolve_addr(id, NULL, (struct sockaddr*)&address, 2000) == 0);
  MUST(rdma_get_cm_event(channel, &event) == 0);
  if (argc > 3) return 0;
  MUST(pthread_create(&thread, NULL, acknowledge_when_told, NULL) == 0);
  say("destroying");
  said_ok("destroy_id", rdma_destroy_id(id));
  MUST(pthread_join(thread, NULL) == 0);
  rdma_destroy_event_channel(channel);
  return 0;
}
