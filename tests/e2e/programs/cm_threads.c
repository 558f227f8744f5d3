/* cm_threads ADDRESS PORT: everything that threads may do with librdmacm at the same time. Four threads call with one
 * and the same id, whatever it is in the middle of; one fetches events and hands them to another, which acknowledges
 * them; one moves the id between channels. */
#include <pthread.h>
#include <stdatomic.h>

#include "program.h"

enum { callers = 4, calls = 200, moves = 20 };

static struct rdma_event_channel* channels[2];
static struct rdma_cm_id* id;
static struct sockaddr_storage address;
static atomic_uint called;

static void* call(void* unused) {
  struct rdma_conn_param param = {.retry_count = 7};
  unsigned char tos = 8;
  for (unsigned i = 0; i < calls; ++i) {
    rdma_resolve_addr(id, NULL, (struct sockaddr*)&address, 2000);
    rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_TOS, &tos, sizeof tos);
    rdma_resolve_route(id, 2000);
    rdma_connect(id, &param);
    rdma_reject(id, NULL, 0);
    rdma_disconnect(id);
    ++called;
  }
  return unused;
}

static void* move(void* unused) {
  for (unsigned i = 0; i < moves; ++i) MUST(rdma_migrate_id(id, channels[(i + 1) % 2]) == 0);
  return unused;
}

/* Events on their way from the thread that fetches to the one that acknowledges. */
static int handed[2];

static void* fetch(void* channel) {
  struct rdma_cm_event* event;
  struct pollfd ready = {.fd = ((struct rdma_event_channel*)channel)->fd, .events = POLLIN};
  for (;;) {
    MUST(poll(&ready, 1, -1) == 1);
    MUST(rdma_get_cm_event(channel, &event) == 0);
    MUST(event->status != -EINVAL); /* no library loses an id that moves */
    MUST(write(handed[1], &event, sizeof event) == sizeof event);
  }
}

static void* acknowledge(void* unused) {
  struct rdma_cm_event* event;
  while (read(handed[0], &event, sizeof event) == sizeof event) MUST(rdma_ack_cm_event(event) == 0);
  return unused;
}

static pthread_t start(void* (*run)(void*), void* argument) {
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, run, argument) == 0);
  return thread;
}

int main(int argc, char** argv) {
  pthread_t working[callers], mover;
  if (argc < 3) return 1;
  address = parse_address(argv[1], argv[2]);
  MUST(pipe(handed) == 0);
  for (unsigned i = 0; i < 2; ++i) MUST((channels[i] = rdma_create_event_channel()) != NULL);
  MUST(rdma_create_id(channels[0], &id, NULL, RDMA_PS_TCP) == 0);
  start(acknowledge, NULL);
  for (unsigned i = 0; i < 2; ++i) start(fetch, channels[i]);
  mover = start(move, NULL);
  for (unsigned i = 0; i < callers; ++i) working[i] = start(call, NULL);
  pthread_join(mover, NULL);
  for (unsigned i = 0; i < callers; ++i) pthread_join(working[i], NULL);
  MUST(rdma_destroy_id(id) == 0);
  say("rounds of calls: %u", called);
  return 0;
}
