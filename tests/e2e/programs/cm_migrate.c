/* cm_migrate ADDRESS PORT: moves ids between channels and synchronous mode, with and without events that wait or were
 * not acknowledged yet. Both ends are in this process. */
#include <pthread.h>

#include "program.h"

static struct sockaddr_storage address;
static struct rdma_conn_param param = {.retry_count = 7, .rnr_retry_count = 7};

static struct rdma_cm_event* next(struct rdma_event_channel* channel) {
  struct rdma_cm_event* event;
  MUST(rdma_get_cm_event(channel, &event) == 0);
  return event;
}

static void expect(struct rdma_event_channel* channel, struct rdma_cm_id* id, enum rdma_cm_event_type type) {
  struct rdma_cm_event* event = next(channel);
  if (event->event != type) say_event(event);
  MUST(event->id == id && event->event == type && event->status == 0);
  MUST(rdma_ack_cm_event(event) == 0);
}

static struct rdma_event_channel* new_channel(void) {
  struct rdma_event_channel* channel = rdma_create_event_channel();
  MUST(channel != NULL);
  return channel;
}

static int readable(struct rdma_event_channel* channel) {
  struct pollfd file = {.fd = channel->fd, .events = POLLIN};
  return poll(&file, 1, 0) == 1;
}

struct late_acknowledgement {
  struct rdma_cm_event* event;
  volatile int migrated, early;
};

/* Acknowledges only when the migration had every chance to overtake it. */
static void* acknowledge_late(void* argument) {
  struct late_acknowledgement* late = argument;
  for (int i = 0; i < 50; ++i) {
    poll(NULL, 0, 1);
    if (late->migrated) late->early = 1;
  }
  MUST(rdma_ack_cm_event(late->event) == 0);
  return NULL;
}

struct move {
  struct rdma_cm_id* id;
  struct rdma_event_channel* to;
};

static void* move(void* argument) {
  struct move* this = argument;
  MUST(rdma_migrate_id(this->id, this->to) == 0);
  return NULL;
}

/* The id has moved, and rdma_migrate_id waits for an acknowledgement. */
static void wait_until_moved(const struct move* this) {
  struct rdma_event_channel* volatile* now = &this->id->channel;
  for (int i = 0; i < 10000 && *now != this->to; ++i) poll(NULL, 0, 1);
  MUST(*now == this->to);
}

/* Routes an id to `to` on `channel`. */
static struct rdma_cm_id* routed(struct rdma_event_channel* channel) {
  struct rdma_cm_id* id;
  MUST(rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_resolve_addr(id, NULL, (struct sockaddr*)&address, 2000) == 0);
  expect(channel, id, RDMA_CM_EVENT_ADDR_RESOLVED);
  MUST(rdma_resolve_route(id, 2000) == 0);
  expect(channel, id, RDMA_CM_EVENT_ROUTE_RESOLVED);
  return id;
}

/* While a migration waits for the acknowledgement of an event, the id works on the new channel. */
static void use_while_migrating(struct rdma_event_channel* from, struct rdma_event_channel* to) {
  pthread_t thread;
  struct move moving = {.to = to};
  MUST(rdma_create_id(from, &moving.id, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_resolve_addr(moving.id, NULL, (struct sockaddr*)&address, 2000) == 0);
  struct rdma_cm_event* late = next(from);
  MUST(pthread_create(&thread, NULL, move, &moving) == 0);
  wait_until_moved(&moving);
  MUST(rdma_resolve_route(moving.id, 2000) == 0);
  expect(to, moving.id, RDMA_CM_EVENT_ROUTE_RESOLVED);
  MUST(rdma_ack_cm_event(late) == 0);
  MUST(pthread_join(thread, NULL) == 0);
  MUST(rdma_destroy_id(moving.id) == 0);
}

static struct rdma_cm_id* take_request(struct rdma_event_channel* channel, struct rdma_cm_event** request) {
  *request = next(channel);
  MUST((*request)->event == RDMA_CM_EVENT_CONNECT_REQUEST && (*request)->status == 0);
  MUST((*request)->id->channel == channel);
  return (*request)->id;
}

/* The same of a listener: a request that comes meanwhile comes on the new channel. */
static void listen_while_migrating(struct rdma_event_channel* from, struct rdma_event_channel* to) {
  pthread_t thread;
  struct rdma_event_channel* clients = new_channel();
  struct move moving = {.to = to};
  struct rdma_cm_event *late, *request;
  struct rdma_conn_param without_qp = {.retry_count = 7, .qp_num = 77};
  MUST(rdma_create_id(from, &moving.id, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_bind_addr(moving.id, (struct sockaddr*)&address) == 0 && rdma_listen(moving.id, 4) == 0);
  struct rdma_cm_id *first = routed(clients), *second = routed(clients);
  MUST(rdma_connect(first, &without_qp) == 0);
  struct rdma_cm_id* first_child = take_request(from, &late);
  MUST(pthread_create(&thread, NULL, move, &moving) == 0);
  wait_until_moved(&moving);
  without_qp.qp_num = 78;
  MUST(rdma_connect(second, &without_qp) == 0);
  struct rdma_cm_id* second_child = take_request(to, &request);
  MUST(rdma_reject(second_child, NULL, 0) == 0 && rdma_reject(first_child, NULL, 0) == 0);
  MUST(rdma_ack_cm_event(request) == 0 && rdma_ack_cm_event(late) == 0);
  MUST(pthread_join(thread, NULL) == 0);
  for (struct rdma_cm_id** id = (struct rdma_cm_id*[]){first_child, second_child, first, second, moving.id, NULL}; *id;
       ++id) {
    while (readable(clients)) MUST(rdma_ack_cm_event(next(clients)) == 0); /* REJECTED */
    MUST(rdma_destroy_id(*id) == 0);
  }
  rdma_destroy_event_channel(clients);
}

static void* accept_one(void* listener) {
  struct rdma_cm_id* id;
  MUST(rdma_get_request(listener, &id) == 0);
  struct endpoint end;
  open_endpoint(&end, id);
  MUST(rdma_accept(id, &param) == 0);
  MUST(rdma_disconnect(id) == 0);
  close_endpoint(&end);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  address = parse_address(argv[1], argv[2]);
  struct sockaddr* const to = (struct sockaddr*)&address;
  struct rdma_event_channel *first = new_channel(), *second = new_channel();
  struct rdma_cm_id* id;

  /* An event that waits moves along. */
  MUST(rdma_create_id(first, &id, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_resolve_addr(id, NULL, to, 2000) == 0);
  while (!readable(first)) poll(NULL, 0, 1);
  MUST(rdma_migrate_id(id, second) == 0);
  MUST(id->channel == second && !readable(first) && readable(second));
  expect(second, id, RDMA_CM_EVENT_ADDR_RESOLVED);
  say("waiting event: ok");

  /* The migration waits for the acknowledgement of what was fetched. */
  MUST(rdma_resolve_route(id, 2000) == 0);
  struct late_acknowledgement late = {.event = next(second)};
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, acknowledge_late, &late) == 0);
  MUST(rdma_migrate_id(id, first) == 0);
  late.migrated = 1;
  MUST(pthread_join(thread, NULL) == 0);
  MUST(!late.early && id->channel == first);
  say("unacknowledged event: ok");
  said_ok("to the channel that it is on", rdma_migrate_id(id, first));
  MUST(rdma_destroy_id(id) == 0);

  /* A listener to synchronous mode; then a client, which was resolved on a channel, and back. */
  struct rdma_cm_id* listener;
  MUST(rdma_create_id(first, &listener, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_bind_addr(listener, to) == 0 && rdma_listen(listener, 4) == 0);
  said_ok("get_request with a channel", rdma_get_request(listener, &id));
  MUST(rdma_migrate_id(listener, NULL) == 0);
  MUST(listener->channel != NULL && listener->channel != first);
  said_ok("to synchronous mode twice", rdma_migrate_id(listener, NULL));
  MUST(pthread_create(&thread, NULL, accept_one, listener) == 0);

  struct endpoint end;
  MUST(rdma_create_id(first, &id, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_resolve_addr(id, NULL, to, 2000) == 0);
  expect(first, id, RDMA_CM_EVENT_ADDR_RESOLVED);
  MUST(rdma_migrate_id(id, NULL) == 0);
  MUST(rdma_resolve_route(id, 2000) == 0); /* returns when it is resolved */
  MUST(id->event != NULL && id->event->event == RDMA_CM_EVENT_ROUTE_RESOLVED);
  open_endpoint(&end, id);
  MUST(rdma_connect(id, &param) == 0);
  say("synchronous connect: ok");
  MUST(rdma_migrate_id(id, second) == 0); /* acknowledges what the last call left in id->event */
  MUST(id->event == NULL && id->channel == second);
  MUST(rdma_disconnect(id) == 0); /* returns at once: the event comes on the channel */
  expect(second, id, RDMA_CM_EVENT_DISCONNECTED);
  say("back to a channel: ok");
  close_endpoint(&end);
  MUST(pthread_join(thread, NULL) == 0);
  MUST(rdma_destroy_id(listener) == 0);

  use_while_migrating(first, second);
  say("event during the migration: ok");
  listen_while_migrating(first, second);
  say("request during the migration: ok");

  /* A request that waits moves with its listener. */
  MUST(rdma_create_id(first, &listener, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_bind_addr(listener, to) == 0 && rdma_listen(listener, 4) == 0);
  MUST(rdma_create_id(second, &id, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_resolve_addr(id, NULL, to, 2000) == 0);
  expect(second, id, RDMA_CM_EVENT_ADDR_RESOLVED);
  MUST(rdma_resolve_route(id, 2000) == 0);
  expect(second, id, RDMA_CM_EVENT_ROUTE_RESOLVED);
  open_endpoint(&end, id);
  MUST(rdma_connect(id, &param) == 0);
  while (!readable(first)) poll(NULL, 0, 1);
  struct rdma_event_channel* third = new_channel();
  MUST(rdma_migrate_id(listener, third) == 0);
  MUST(!readable(first) && readable(third));
  struct rdma_cm_event* request = next(third);
  struct rdma_cm_id* child = request->id;
  MUST(request->event == RDMA_CM_EVENT_CONNECT_REQUEST && request->listen_id == listener && child->channel == third);
  MUST(rdma_ack_cm_event(request) == 0);
  MUST(rdma_reject(child, "no", 2) == 0);
  MUST(rdma_destroy_id(child) == 0);
  request = next(second);
  MUST(request->event == RDMA_CM_EVENT_REJECTED && request->status == 28);
  MUST(memcmp(request->param.conn.private_data, "no", 2) == 0);
  MUST(rdma_ack_cm_event(request) == 0);
  say("waiting request: ok");
  close_endpoint(&end);
  MUST(rdma_destroy_id(listener) == 0);
  rdma_destroy_event_channel(third);
  rdma_destroy_event_channel(second);
  rdma_destroy_event_channel(first);
  return 0;
}
