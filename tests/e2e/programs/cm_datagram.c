/* cm_datagram listen ADDRESS PORT [OPTION…]: listens in port space UDP, prints every event, accepts each request; with
 * `hold` only when told so. Commands: accept, reject (the newest request), close (the listener), quit.
 * cm_datagram connect ADDRESS PORT [OPTION…]: resolves, connects, prints every event until the attempt has ended. Exit
 * status 0 if the service was resolved.
 * Options: data=TEXT is sent as private data; qp=NUMBER is named instead of a QP of the id; timeout=N, retries=N and
 * report set Hawser's options of the id. */
#include <hawser/rdma_options.h>

#include "program.h"

static struct rdma_event_channel* channel;
static struct rdma_conn_param param;
static int hold, timeout = -1, retries = -1, report;

static void read_options(int count, char** options) {
  for (int i = 0; i < count; ++i) {
    if (strncmp(options[i], "data=", 5) == 0) {
      param.private_data = options[i] + 5;
      param.private_data_len = (uint8_t)strlen(options[i] + 5);
    } else if (strncmp(options[i], "qp=", 3) == 0) {
      param.qp_num = (uint32_t)strtoul(options[i] + 3, NULL, 0);
    } else if (strncmp(options[i], "timeout=", 8) == 0) {
      timeout = atoi(options[i] + 8);
    } else if (strncmp(options[i], "retries=", 8) == 0) {
      retries = atoi(options[i] + 8);
    } else if (strcmp(options[i], "report") == 0) {
      report = 1;
    } else if (strcmp(options[i], "hold") == 0) {
      hold = 1;
    }
  }
}

static void set_byte(struct rdma_cm_id* id, const char* what, int name, int value) {
  uint8_t byte = (uint8_t)value;
  if (value >= 0) said_ok(what, rdma_set_option(id, HAWSER_OPTION_LEVEL, name, &byte, sizeof byte));
}

static void set_options(struct rdma_cm_id* id) {
  set_byte(id, "set timeout", HAWSER_OPTION_CM_RESPONSE_TIMEOUT, timeout);
  set_byte(id, "set retries", HAWSER_OPTION_CM_RETRIES, retries);
  if (!report) return;
  said_ok("set report",
          rdma_set_option(id, HAWSER_OPTION_LEVEL, HAWSER_OPTION_CM_REPORT_UNREACHABLE, &report, sizeof report));
}

static void create_qp(struct rdma_cm_id* id) {
  struct ibv_qp_init_attr attributes = {
      .cap = {.max_send_wr = depth, .max_recv_wr = depth, .max_send_sge = 1, .max_recv_sge = 1}, .qp_type = IBV_QPT_UD};
  if (param.qp_num == 0) MUST(rdma_create_qp(id, NULL, &attributes) == 0);
}

static void say_ud(const struct rdma_cm_event* event) {
  const struct rdma_ud_param* ud = &event->param.ud;
  char peer[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, ud->ah_attr.grh.dgid.raw, peer, sizeof peer);
  say_event(event);
  say("  private data %d: %.*s", ud->private_data_len, ud->private_data_len, (const char*)ud->private_data);
  if (event->event != RDMA_CM_EVENT_ESTABLISHED) return;
  say("  qp %#x key %#x to %s global %d port %d", ud->qp_num, ud->qkey, peer, ud->ah_attr.is_global,
      ud->ah_attr.port_num);
}

static void destroy(struct rdma_cm_id* id) {
  if (id->qp != NULL) rdma_destroy_qp(id);
  MUST(rdma_destroy_id(id) == 0);
}

static int is_last(enum rdma_cm_event_type type) {
  return type != RDMA_CM_EVENT_ADDR_RESOLVED && type != RDMA_CM_EVENT_ROUTE_RESOLVED;
}

static int connect_to(struct sockaddr* address) {
  struct rdma_cm_id* id;
  enum rdma_cm_event_type type;
  MUST(rdma_create_id(channel, &id, NULL, RDMA_PS_UDP) == 0);
  set_options(id);
  if (!said_ok("resolve_addr", rdma_resolve_addr(id, NULL, address, 2000))) return 2;
  do {
    struct rdma_cm_event* event;
    MUST(rdma_get_cm_event(channel, &event) == 0);
    type = event->event;
    say_ud(event);
    MUST(rdma_ack_cm_event(event) == 0);
    if (type == RDMA_CM_EVENT_ADDR_RESOLVED) said_ok("resolve_route", rdma_resolve_route(id, 2000));
    if (type == RDMA_CM_EVENT_ROUTE_RESOLVED) {
      create_qp(id);
      if (!said_ok("connect", rdma_connect(id, &param))) break;
    }
  } while (!is_last(type));
  destroy(id);
  return type == RDMA_CM_EVENT_ESTABLISHED ? 0 : 1;
}

static int listen_on(struct sockaddr* address) {
  struct rdma_cm_id *listener, *newest = NULL;
  MUST(rdma_create_id(channel, &listener, NULL, RDMA_PS_UDP) == 0);
  if (!said_ok("bind", rdma_bind_addr(listener, address))) return 2;
  if (!said_ok("listen", rdma_listen(listener, 16))) return 2;
  say("listening on %d", ntohs(rdma_get_src_port(listener)));
  for (;;) {
    struct rdma_cm_event* event;
    char command[64];
    if (channel_before_input(channel)) {
      MUST(rdma_get_cm_event(channel, &event) == 0);
      if (newest != NULL) destroy(newest);
      newest = event->id;
      say_ud(event);
      MUST(rdma_ack_cm_event(event) == 0);
      say("  from %d to %d", ntohs(rdma_get_dst_port(newest)), ntohs(rdma_get_src_port(newest)));
      create_qp(newest);
      if (!hold) said_ok("accept", rdma_accept(newest, &param));
      continue;
    }
    if (!read_command(command, sizeof command) || strcmp(command, "quit") == 0) break;
    if (strcmp(command, "accept") == 0) said_ok("accept", rdma_accept(newest, &param));
    if (strcmp(command, "reject") == 0)
      said_ok("reject", rdma_reject(newest, param.private_data, param.private_data_len));
    if (strcmp(command, "close") == 0) {
      said_ok("close", rdma_destroy_id(listener));
      listener = NULL;
    }
  }
  if (newest != NULL) destroy(newest);
  if (listener != NULL) MUST(rdma_destroy_id(listener) == 0);
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 4) return 1;
  struct sockaddr_storage address = parse_address(argv[2], argv[3]);
  read_options(argc - 4, argv + 4);
  MUST((channel = rdma_create_event_channel()) != NULL);
  const int status =
      strcmp(argv[1], "listen") == 0 ? listen_on((struct sockaddr*)&address) : connect_to((struct sockaddr*)&address);
  rdma_destroy_event_channel(channel);
  return status;
}
