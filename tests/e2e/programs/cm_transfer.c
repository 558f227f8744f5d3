/* cm_transfer server ADDRESS PORT N        echoes what N connections send
 * cm_transfer client ADDRESS PORT N [R]    sends on N connections in turn, compares every echo, and says each round;
 *                                          ends after R rounds, or after the round during which it was told "stop"
 * Every byte that arrives is compared with what must have been sent. A connection that ends early is said and fails the
 * program, except in a server, which goes on with the others. Both poll, and give way to others between two looks. */
#include <sched.h>

#include "program.h"

struct connection {
  struct endpoint end;
  unsigned index;
  int alive;
};
static struct rdma_event_channel* channel;
static struct connection* connections;
static unsigned count;
static int is_client;

static unsigned char pattern(unsigned connection, unsigned round, size_t at) {
  return (unsigned char)(connection * 31 + round * 7 + at);
}

static struct rdma_cm_event* next_event(void) {
  struct rdma_cm_event* event;
  MUST(rdma_get_cm_event(channel, &event) == 0);
  return event;
}

static void expect(enum rdma_cm_event_type type) {
  struct rdma_cm_event* event = next_event();
  if (event->event != type) {
    say_event(event);
    exit(1);
  }
  MUST(rdma_ack_cm_event(event) == 0);
}

/* The next completion of a queue; -1 if the connection is no more. A client has no events but ends of connections while
 * it waits: a peer that died between its acknowledgement and its echo leaves nothing that would complete with an error.
 */
static int completion(struct ibv_cq* queue, struct ibv_wc* wc) {
  struct pollfd events = {.fd = is_client ? channel->fd : -1, .events = POLLIN};
  int polled;
  while ((polled = ibv_poll_cq(queue, 1, wc)) == 0) {
    if (poll(&events, 1, 0) > 0 && (polled = ibv_poll_cq(queue, 1, wc)) == 0) {
      say("COMPLETION none: the connection has ended");
      return -1;
    }
    if (polled > 0) break;
    sched_yield();
  }
  MUST(polled > 0);
  if (wc->status == IBV_WC_SUCCESS) return 0;
  say("COMPLETION %s", wc->status == IBV_WC_WR_FLUSH_ERR ? "flushed" : ibv_wc_status_str(wc->status));
  return -1;
}

static unsigned char* send_buffer(struct endpoint* end) { return end->memory + (size_t)depth * message_bytes; }

static void connect_one(struct connection* c, struct sockaddr_storage* address) {
  /* Not 7: to rdma_rxe that is for ever, and it would send to a peer that was killed without an end. */
  struct rdma_conn_param param = {.retry_count = 6, .rnr_retry_count = 7};
  struct rdma_cm_id* id;
  MUST(rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_resolve_addr(id, NULL, (struct sockaddr*)address, 5000) == 0);
  expect(RDMA_CM_EVENT_ADDR_RESOLVED);
  MUST(rdma_resolve_route(id, 5000) == 0);
  expect(RDMA_CM_EVENT_ROUTE_RESOLVED);
  open_endpoint(&c->end, id);
  MUST(rdma_connect(id, &param) == 0);
  expect(RDMA_CM_EVENT_ESTABLISHED);
}

static void exchange(struct connection* c, unsigned round) {
  unsigned char* out = send_buffer(&c->end);
  struct ibv_wc wc;
  for (size_t at = 0; at < message_bytes; ++at) out[at] = pattern(c->index, round, at);
  MUST(rdma_post_send(c->end.id, NULL, out, message_bytes, c->end.mr, 0) == 0);
  if (completion(c->end.id->send_cq, &wc) != 0 || completion(c->end.id->recv_cq, &wc) != 0) {
    say("connection %u failed in round %u", c->index, round);
    exit(1);
  }
  const unsigned char* in = c->end.memory + wc.wr_id * message_bytes;
  MUST(wc.byte_len == message_bytes && memcmp(in, out, message_bytes) == 0);
  post_receive(&c->end, (unsigned)wc.wr_id);
}

static int told_to_stop(void) {
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  char command[64];
  return poll(&input, 1, 0) > 0 && (!read_command(command, sizeof command) || strcmp(command, "stop") == 0);
}

static int client(struct sockaddr_storage* address, unsigned rounds_max) {
  unsigned round = 0;
  for (unsigned i = 0; i < count; ++i) connect_one(&connections[i], address);
  say("connected %u", count);
  do {
    for (unsigned i = 0; i < count; ++i) exchange(&connections[i], round);
    say("round %u", ++round);
  } while (round != rounds_max && !told_to_stop());
  for (unsigned i = 0; i < count; ++i) {
    MUST(rdma_disconnect(connections[i].end.id) == 0);
    expect(RDMA_CM_EVENT_DISCONNECTED);
    close_endpoint(&connections[i].end);
  }
  say("done: %u connections, %u rounds", count, round);
  return 0;
}

/* Sends back what has arrived on a connection. */
static void echo(struct connection* c) {
  struct ibv_wc wc;
  while (c->alive && ibv_poll_cq(c->end.id->recv_cq, 1, &wc) > 0) {
    if (wc.status != IBV_WC_SUCCESS) return; /* its DISCONNECTED follows */
    memcpy(send_buffer(&c->end), c->end.memory + wc.wr_id * message_bytes, wc.byte_len);
    post_receive(&c->end, (unsigned)wc.wr_id);
    MUST(rdma_post_send(c->end.id, NULL, send_buffer(&c->end), wc.byte_len, c->end.mr, 0) == 0);
    if (completion(c->end.id->send_cq, &wc) != 0) return;
  }
}

static void on_server_event(unsigned* accepted, unsigned* ended) {
  struct rdma_conn_param param = {.rnr_retry_count = 7};
  struct rdma_cm_event* event = next_event();
  struct rdma_cm_id* id = event->id;
  const enum rdma_cm_event_type type = event->event;
  MUST(rdma_ack_cm_event(event) == 0);
  if (type == RDMA_CM_EVENT_CONNECT_REQUEST && *accepted < count) {
    struct connection* c = &connections[(*accepted)++];
    open_endpoint(&c->end, id);
    c->alive = 1;
    MUST(rdma_accept(id, &param) == 0);
  } else if (type == RDMA_CM_EVENT_DISCONNECTED) {
    struct connection* c = (struct connection*)id->context; /* end is its first member */
    rdma_disconnect(id);
    c->alive = 0;
    say("connection %u disconnected", c->index);
    close_endpoint(&c->end);
    ++*ended;
  } else if (type != RDMA_CM_EVENT_ESTABLISHED && type != RDMA_CM_EVENT_TIMEWAIT_EXIT) {
    say("EVENT %s", rdma_event_str(type));
  }
}

static int server(struct sockaddr_storage* address) {
  struct rdma_cm_id* listener;
  struct pollfd events = {.fd = channel->fd, .events = POLLIN};
  unsigned accepted = 0, ended = 0;
  MUST(rdma_create_id(channel, &listener, NULL, RDMA_PS_TCP) == 0);
  MUST(rdma_bind_addr(listener, (struct sockaddr*)address) == 0);
  MUST(rdma_listen(listener, 128) == 0);
  say("listening");
  while (ended < count) {
    /* Spins while connections are alive, as a program that polls its queues does. */
    if (poll(&events, 1, accepted == ended ? -1 : 0) > 0) on_server_event(&accepted, &ended);
    for (unsigned i = 0; i < accepted; ++i) echo(&connections[i]);
    sched_yield();
  }
  MUST(rdma_destroy_id(listener) == 0);
  say("done: %u connections", count);
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 5) return 1;
  struct sockaddr_storage address = parse_address(argv[2], argv[3]);
  count = (unsigned)strtoul(argv[4], NULL, 10);
  MUST((channel = rdma_create_event_channel()) != NULL);
  MUST((connections = calloc(count, sizeof *connections)) != NULL);
  for (unsigned i = 0; i < count; ++i) connections[i].index = i;
  is_client = strcmp(argv[1], "server") != 0;
  const int status =
      is_client ? client(&address, argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 0) : server(&address);
  rdma_destroy_event_channel(channel);
  free(connections);
  return status;
}
