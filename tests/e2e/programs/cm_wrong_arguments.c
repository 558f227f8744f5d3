/* cm_wrong_arguments ADDRESS PORT: every call of librdmacm with arguments that it must refuse, on an id in a state in
 * which it would succeed with others. Says "CALL: ERRNO" for each. */
#include "program.h"

static struct rdma_event_channel* channel;

static void expect(enum rdma_cm_event_type wanted) {
  struct rdma_cm_event* event;
  MUST(rdma_get_cm_event(channel, &event) == 0);
  MUST(event->event == wanted && rdma_ack_cm_event(event) == 0);
}

static void options(struct rdma_cm_id* id) {
  uint8_t byte = 1;
  int flag = 1;
  said_ok("set_option of an unknown level", rdma_set_option(id, 7, RDMA_OPTION_ID_TOS, &byte, 1));
  said_ok("set_option of an unknown name", rdma_set_option(id, RDMA_OPTION_ID, 77, &byte, 1));
  said_ok("set_option of a wrong size", rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_TOS, &flag, sizeof flag));
  said_ok("set_option of a flag's wrong size", rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_REUSEADDR, &byte, 1));
  said_ok("set_option without a value", rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_TOS, NULL, 1));
  said_ok("set_option of half a path", rdma_set_option(id, RDMA_OPTION_IB, RDMA_OPTION_IB_PATH, &flag, sizeof flag));
}

static void addresses(struct rdma_cm_id* id, struct sockaddr* good) {
  struct sockaddr_storage strange = {.ss_family = AF_UNIX}, elsewhere = parse_address("203.0.113.1", "1");
  said_ok("bind_addr of no address", rdma_bind_addr(id, NULL));
  said_ok("bind_addr of a strange family", rdma_bind_addr(id, (struct sockaddr*)&strange));
  said_ok("bind_addr of somebody else's address", rdma_bind_addr(id, (struct sockaddr*)&elsewhere));
  said_ok("resolve_addr of no address", rdma_resolve_addr(id, NULL, NULL, 1000));
  said_ok("resolve_addr of a strange family", rdma_resolve_addr(id, NULL, (struct sockaddr*)&strange, 1000));
  said_ok("resolve_addr from somebody else's address", rdma_resolve_addr(id, (struct sockaddr*)&elsewhere, good, 1000));
}

static void queues(struct rdma_cm_id* id) {
  struct ibv_qp_init_attr attributes = {.cap = {.max_send_wr = 1u << 30}, .qp_type = IBV_QPT_RC};
  struct ibv_qp_init_attr_ex extended = {.qp_type = IBV_QPT_RC};
  said_ok("create_qp without attributes", rdma_create_qp(id, NULL, NULL));
  said_ok("create_qp_ex without attributes", rdma_create_qp_ex(id, NULL));
  said_ok("create_qp that is too large", rdma_create_qp(id, NULL, &attributes));
  MUST(id->qp == NULL && id->send_cq == NULL && id->recv_cq_channel == NULL);
  extended.cap.max_send_wr = extended.cap.max_recv_wr = extended.cap.max_send_sge = extended.cap.max_recv_sge = 1;
  said_ok("create_qp_ex without a domain", rdma_create_qp_ex(id, &extended)); /* the default one */
  MUST(id->qp != NULL && id->qp->pd == id->pd && id->send_cq->cq_context == id);
  said_ok("create_qp twice", rdma_create_qp_ex(id, &extended));
  rdma_destroy_qp(id);
  MUST(id->qp == NULL && id->send_cq == NULL);
  rdma_destroy_qp(id); /* harmless */
  said_ok("create_srq without attributes", rdma_create_srq(id, NULL, NULL));
  said_ok("create_srq_ex without attributes", rdma_create_srq_ex(id, NULL));
  rdma_destroy_srq(id); /* harmless */
}

static void connections(struct rdma_cm_id* id) {
  static char data[255];
  struct rdma_conn_param param = {.retry_count = 7, .private_data = data, .private_data_len = 57};
  said_ok("connect with too much private data", rdma_connect(id, &param));
  param.private_data_len = 0;
  param.responder_resources = 254;
  said_ok("connect with too many responder resources", rdma_connect(id, &param));
  param.responder_resources = 0;
  param.initiator_depth = 254;
  said_ok("connect with too much depth", rdma_connect(id, &param));
  said_ok("resolve_route without time", rdma_resolve_route(id, 0));
}

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  struct sockaddr_storage address = parse_address(argv[1], argv[2]);
  struct sockaddr* const good = (struct sockaddr*)&address;
  struct rdma_cm_id *id, stranger = {0};
  struct rdma_event_channel no_channel = {.fd = -1};
  MUST((channel = rdma_create_event_channel()) != NULL);
  said_ok("create_id of an unknown port space", rdma_create_id(channel, &id, NULL, 0x42));
  said_ok("create_id to nowhere", rdma_create_id(channel, NULL, NULL, RDMA_PS_TCP));
  said_ok("create_id to nowhere without a channel", rdma_create_id(NULL, NULL, NULL, RDMA_PS_TCP));
  said_ok("create_id on no channel of ours", rdma_create_id(&no_channel, &id, NULL, RDMA_PS_TCP));
  MUST(rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) == 0);
  options(id);
  said_ok("create_qp before there is a device",
          rdma_create_qp(id, NULL, &(struct ibv_qp_init_attr){.qp_type = IBV_QPT_RC}));
  said_ok("create_srq before there is a device",
          rdma_create_srq(id, NULL, &(struct ibv_srq_init_attr){.attr = {1, 1, 0}}));
  addresses(id, good);
  MUST(rdma_resolve_addr(id, NULL, good, 2000) == 0);
  expect(RDMA_CM_EVENT_ADDR_RESOLVED);
  said_ok("resolve_route without time", rdma_resolve_route(id, 0));
  MUST(rdma_resolve_route(id, 2000) == 0);
  expect(RDMA_CM_EVENT_ROUTE_RESOLVED);
  queues(id);
  connections(id);
  said_ok("migrate_id to no channel of ours", rdma_migrate_id(id, &no_channel));
  said_ok("get_request of a client", rdma_get_request(id, &id));
  said_ok("get_cm_event to nowhere", rdma_get_cm_event(channel, NULL));
  said_ok("ack_cm_event of no event of ours", rdma_ack_cm_event(&(struct rdma_cm_event){.id = id}));
  said_ok("create_ep to nowhere", rdma_create_ep(NULL, NULL, NULL, NULL));
  said_ok("create_ep of nothing", rdma_create_ep(&id, NULL, NULL, NULL));
  said_ok("create_ep of an unknown port space",
          rdma_create_ep(&id, &(struct rdma_addrinfo){.ai_port_space = 0x42}, NULL, NULL));
  said_ok(
      "create_ep without an address",
      rdma_create_ep(&id, &(struct rdma_addrinfo){.ai_port_space = RDMA_PS_TCP, .ai_qp_type = IBV_QPT_RC}, NULL, NULL));
  said_ok("destroy_id of a stranger", rdma_destroy_id(&stranger));
  rdma_destroy_ep(&stranger); /* harmless */
  rdma_freeaddrinfo(NULL);
  int count = -1;
  struct ibv_context** devices = rdma_get_devices(&count);
  MUST(devices != NULL && count >= 2 && devices[count] == NULL && devices[0] != NULL);
  rdma_free_devices(devices);
  MUST((devices = rdma_get_devices(NULL)) != NULL);
  rdma_free_devices(devices);
  MUST(rdma_destroy_id(id) == 0);
  said_ok("destroy_id twice", rdma_destroy_id(id));
  rdma_destroy_event_channel(channel);
  rdma_destroy_event_channel(channel); /* none of ours any more */
  return 0;
}
