/* cm_events listen ADDRESS PORT            listens, accepts every connection
 * cm_events connect ADDRESS PORT [own|slow] connects; `own`: with a queue pair that is not the id's; `slow`: timewait
 *                                          lasts for minutes
 * Prints every event of the connection manager and of the devices there were at the start, and stays until told "quit".
 * Commands: disconnect (the newest connection), devices (which there are now, with the state of their port and their
 * GIDs), break (the newest connection's queue pair goes to ERROR), quit. */
#include "program.h"

enum { devices_max = 16 };
static struct rdma_event_channel* channel;
static struct ibv_context* contexts[devices_max];
static int context_count;
static struct endpoint* newest;

static const char* async_name(enum ibv_event_type type) {
  switch (type) {
    case IBV_EVENT_DEVICE_FATAL: return "IBV_EVENT_DEVICE_FATAL";
    case IBV_EVENT_PORT_ACTIVE: return "IBV_EVENT_PORT_ACTIVE";
    case IBV_EVENT_PORT_ERR: return "IBV_EVENT_PORT_ERR";
    case IBV_EVENT_GID_CHANGE: return "IBV_EVENT_GID_CHANGE";
    default: return ibv_event_type_str(type);
  }
}

static void open_devices(void) {
  struct ibv_context** list = rdma_get_devices(&context_count);
  MUST(list != NULL && context_count <= devices_max);
  memcpy(contexts, list, (size_t)context_count * sizeof *list);
  rdma_free_devices(list);
}

static void say_devices(void) {
  int count = 0;
  struct ibv_device** list = ibv_get_device_list(&count);
  MUST(list != NULL);
  for (int i = 0; i < count; ++i) {
    struct ibv_context* context = ibv_open_device(list[i]);
    struct ibv_port_attr port;
    char text[INET6_ADDRSTRLEN], gids[512] = "";
    MUST(context != NULL && ibv_query_port(context, 1, &port) == 0);
    for (int index = 0; index < port.gid_tbl_len; ++index) {
      static const union ibv_gid none;
      union ibv_gid gid;
      MUST(ibv_query_gid(context, 1, index, &gid) == 0);
      if (memcmp(&gid, &none, sizeof gid) == 0) continue;
      strcat(strcat(gids, " "), inet_ntop(AF_INET6, gid.raw, text, sizeof text));
    }
    say("DEVICE %s %s%s", ibv_get_device_name(list[i]), port.state == IBV_PORT_ACTIVE ? "ACTIVE" : "DOWN", gids);
    ibv_close_device(context);
  }
  ibv_free_device_list(list);
  say("DEVICES %d", count);
}

static void on_async_event(struct ibv_context* context) {
  struct ibv_async_event event;
  MUST(ibv_get_async_event(context, &event) == 0);
  say("ASYNC %s %s", ibv_get_device_name(context->device), async_name(event.event_type));
  ibv_ack_async_event(&event);
}

static struct endpoint* new_endpoint(struct rdma_cm_id* id) {
  struct endpoint* end;
  MUST((end = calloc(1, sizeof *end)) != NULL);
  open_endpoint(end, id);
  return end;
}

static void on_event(int own) {
  struct rdma_conn_param param = {.retry_count = 7, .rnr_retry_count = 7};
  struct rdma_cm_event* event;
  MUST(rdma_get_cm_event(channel, &event) == 0);
  struct rdma_cm_id* id = event->id;
  const enum rdma_cm_event_type type = event->event;
  say_event(event);
  MUST(rdma_ack_cm_event(event) == 0);
  switch (type) {
    case RDMA_CM_EVENT_ADDR_RESOLVED: said_ok("resolve_route", rdma_resolve_route(id, 2000)); break;
    case RDMA_CM_EVENT_ROUTE_RESOLVED:
      if (own) {
        param.qp_num = 0x4242; /* nobody's: nothing is ever sent */
      } else {
        newest = new_endpoint(id);
      }
      said_ok("connect", rdma_connect(id, &param));
      break;
    case RDMA_CM_EVENT_CONNECT_REQUEST:
      newest = new_endpoint(id);
      said_ok("accept", rdma_accept(id, &param));
      break;
    case RDMA_CM_EVENT_CONNECT_RESPONSE: said_ok("establish", rdma_establish(id)); break;
    case RDMA_CM_EVENT_DISCONNECTED: rdma_disconnect(id); break;
    case RDMA_CM_EVENT_DEVICE_REMOVAL:
      if (id->context != NULL) {
        if (newest == id->context) newest = NULL;
        close_endpoint(id->context);
      } else {
        MUST(rdma_destroy_id(id) == 0);
      }
      say("destroyed");
      break;
    default: break;
  }
}

static void on_command(const char* command) {
  if (strcmp(command, "devices") == 0) {
    say_devices();
  } else if (newest == NULL) {
    say("no connection");
  } else if (strcmp(command, "disconnect") == 0) {
    said_ok("disconnect", rdma_disconnect(newest->id));
  } else if (strcmp(command, "break") == 0) {
    struct ibv_qp_attr error = {.qp_state = IBV_QPS_ERR};
    MUST(ibv_modify_qp(newest->id->qp, &error, IBV_QP_STATE) == 0);
    say("broken");
  }
}

int main(int argc, char** argv) {
  if (argc < 4) return 1;
  const int own = argc > 4 && strcmp(argv[4], "own") == 0;
  struct sockaddr_storage address = parse_address(argv[2], argv[3]);
  struct rdma_cm_id* id;
  open_devices();
  MUST((channel = rdma_create_event_channel()) != NULL);
  MUST(rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) == 0);
  if (argc > 4 && strcmp(argv[4], "slow") == 0) {
    uint8_t timeout = 25; /* of an acknowledgement, 4.096 us * 2^25; timewait lasts as long */
    MUST(rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout, sizeof timeout) == 0);
  }
  if (strcmp(argv[1], "listen") == 0) {
    MUST(rdma_bind_addr(id, (struct sockaddr*)&address) == 0);
    MUST(rdma_listen(id, 16) == 0);
    say("listening");
  } else if (!said_ok("resolve_addr", rdma_resolve_addr(id, NULL, (struct sockaddr*)&address, 1000))) {
    return 2;
  }
  for (;;) {
    struct pollfd files[devices_max + 2] = {{.fd = channel->fd, .events = POLLIN},
                                            {.fd = STDIN_FILENO, .events = POLLIN}};
    char command[64];
    for (int i = 0; i < context_count; ++i)
      files[i + 2] = (struct pollfd){.fd = contexts[i]->async_fd, .events = POLLIN};
    while (poll(files, (nfds_t)context_count + 2, -1) < 0) MUST(errno == EINTR);
    if (files[0].revents & POLLIN) on_event(own);
    for (int i = 0; i < context_count; ++i) {
      if (files[i + 2].revents & POLLIN) on_async_event(contexts[i]);
    }
    if ((files[1].revents & POLLIN) == 0) continue;
    if (!read_command(command, sizeof command) || strcmp(command, "quit") == 0) break;
    on_command(command);
  }
  return 0; /* what is left, the agent ends */
}
