/* cm_multicast ADDRESS [qp|sync]: binds a datagram id, with a QP or in synchronous mode if asked to, to ADDRESS and
 * does what it is told; says the event that a call makes. Commands: join GROUP, join_ex MASK FLAGS GROUP, leave GROUP,
 * user TYPE STATUS ARG, lookup FLAGS NODE SERVICE, quit. */
#include <dlfcn.h>

#include "program.h"

static struct rdma_event_channel* channel;
static struct rdma_cm_id* id;

/* Newer than Debian's header and library. */
static int (*resolve_addrinfo)(struct rdma_cm_id*, const char*, const char*, const struct rdma_addrinfo*);
static int (*query_addrinfo)(struct rdma_cm_id*, struct rdma_addrinfo**);
static int (*write_cm_event)(struct rdma_cm_id*, enum rdma_cm_event_type, int, uint64_t);

static void* symbol(const char* name) {
  void* const found = dlvsym(RTLD_DEFAULT, name, "RDMACM_1.4");
  MUST(found != NULL);
  return found;
}

static void say_next_event(void) {
  struct rdma_cm_event* event = id->event; /* in synchronous mode: there until the next call */
  if (channel != NULL) MUST(rdma_get_cm_event(channel, &event) == 0);
  say_event(event);
  const unsigned type = event->event;
  if (type == RDMA_CM_EVENT_MULTICAST_JOIN) {
    char group[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, &event->param.ud.ah_attr.grh.dgid, group, sizeof group);
    say("group %s qpn 0x%x qkey 0x%x context %s", group, event->param.ud.qp_num, event->param.ud.qkey,
        (const char*)event->param.ud.private_data);
  } else if (type == 18 || type == 19) {
    uint64_t arg;
    memcpy(&arg, &event->param, sizeof arg);
    say("arg %llu", (unsigned long long)arg);
  }
  if (channel != NULL) MUST(rdma_ack_cm_event(event) == 0);
}

static struct sockaddr* group_address(const char* text) {
  static struct sockaddr_storage address;
  address = parse_address(text, "0");
  return (struct sockaddr*)&address;
}

static void lookup(int flags, const char* node, const char* service) {
  struct rdma_addrinfo hints = {.ai_flags = flags, .ai_port_space = RDMA_PS_UDP}, *info;
  if (!said_ok("resolve_addrinfo", resolve_addrinfo(id, strcmp(node, "-") == 0 ? NULL : node, service, &hints))) return;
  say_next_event();
  if (!said_ok("query_addrinfo", query_addrinfo(id, &info))) return;
  say("port %d", ntohs(((struct sockaddr_in*)info->ai_dst_addr)->sin_port));
  rdma_freeaddrinfo(info);
}

static void obey(const char* line) {
  char group[64], node[64], service[64];
  unsigned mask, flags, type;
  int status;
  unsigned long long arg;
  if (sscanf(line, "join_ex %u %u %63s", &mask, &flags, group) == 3) {
    struct rdma_cm_join_mc_attr_ex attributes = {mask, flags, group_address(group)};
    if (said_ok("join_ex", rdma_join_multicast_ex(id, &attributes, "ex"))) say_next_event();
  } else if (sscanf(line, "join %63s", group) == 1) {
    if (said_ok("join", rdma_join_multicast(id, group_address(group), "plain"))) say_next_event();
  } else if (sscanf(line, "leave %63s", group) == 1) {
    said_ok("leave", rdma_leave_multicast(id, group_address(group)));
  } else if (sscanf(line, "user %u %d %llu", &type, &status, &arg) == 3) {
    if (said_ok("write_cm_event", write_cm_event(id, (enum rdma_cm_event_type)type, status, arg))) say_next_event();
  } else if (sscanf(line, "lookup %u %63s %63s", &flags, node, service) == 3) {
    lookup((int)flags, node, service);
  } else {
    say("what? %s", line);
  }
}

int main(int argc, char** argv) {
  if (argc < 2) return 1;
  struct sockaddr_storage address = parse_address(argv[1], "0");
  struct ibv_qp_init_attr init = {.cap = {.max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1},
                                  .qp_type = IBV_QPT_UD};
  resolve_addrinfo = symbol("rdma_resolve_addrinfo");
  query_addrinfo = symbol("rdma_query_addrinfo");
  write_cm_event = symbol("rdma_write_cm_event");
  const char* how = argc > 2 ? argv[2] : "";
  if (strcmp(how, "sync") != 0) MUST((channel = rdma_create_event_channel()) != NULL);
  MUST(rdma_create_id(channel, &id, NULL, RDMA_PS_UDP) == 0);
  MUST(rdma_bind_addr(id, (struct sockaddr*)&address) == 0);
  if (strcmp(how, "qp") == 0) MUST(rdma_create_qp(id, NULL, &init) == 0);
  say("ready");
  char command[256];
  while (read_command(command, sizeof command) && strcmp(command, "quit") != 0) obey(command);
  if (id->qp != NULL) rdma_destroy_qp(id);
  MUST(rdma_destroy_id(id) == 0);
  if (channel != NULL) rdma_destroy_event_channel(channel);
  return 0;
}
