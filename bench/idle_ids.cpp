// Memory of idle connected ids: one process connects COUNT ids to itself without queue pairs of its own (it names QPNs
// that nobody uses), and reports how much its heap grew. Prints one line of JSON.
#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <rdma/rdma_cma.h>

namespace {

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::_Exit(1);
}

std::size_t heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Takes events of the channel until one of `wanted` came; accepts and establishes on the way.
rdma_cm_event* take(rdma_event_channel* channel, rdma_cm_event_type wanted) {
  rdma_cm_event* event = nullptr;
  if (rdma_get_cm_event(channel, &event) != 0) die("rdma_get_cm_event");
  if (event->event != wanted) {
    std::fprintf(stderr, "unexpected event %s (status %d), wanted %s\n", rdma_event_str(event->event), event->status,
                 rdma_event_str(wanted));
    std::_Exit(1);
  }
  return event;
}

void expect(rdma_event_channel* channel, rdma_cm_event_type wanted) { rdma_ack_cm_event(take(channel, wanted)); }

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 1000;
  rdma_event_channel* server_channel = rdma_create_event_channel();
  rdma_event_channel* client_channel = rdma_create_event_channel();
  rdma_cm_id* listener = nullptr;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (!server_channel || !client_channel) die("rdma_create_event_channel");
  if (rdma_create_id(server_channel, &listener, nullptr, RDMA_PS_TCP) != 0) die("rdma_create_id");
  if (rdma_bind_addr(listener, generic) != 0 || rdma_listen(listener, 64) != 0) die("rdma_listen");
  address.sin_port = rdma_get_src_port(listener);

  std::vector<rdma_cm_id*> ids;
  const auto connect_one = [&](unsigned number) {
    rdma_cm_id* client = nullptr;
    if (rdma_create_id(client_channel, &client, nullptr, RDMA_PS_TCP) != 0) die("rdma_create_id");
    if (rdma_resolve_addr(client, nullptr, generic, 2000) != 0) die("rdma_resolve_addr");
    expect(client_channel, RDMA_CM_EVENT_ADDR_RESOLVED);
    if (rdma_resolve_route(client, 2000) != 0) die("rdma_resolve_route");
    expect(client_channel, RDMA_CM_EVENT_ROUTE_RESOLVED);
    rdma_conn_param param{};
    param.qp_num = 0x100000 + 2 * number;
    if (rdma_connect(client, &param) != 0) die("rdma_connect");
    rdma_cm_event* request = take(server_channel, RDMA_CM_EVENT_CONNECT_REQUEST);
    rdma_cm_id* server = request->id;
    rdma_ack_cm_event(request);
    param.qp_num = 0x100001 + 2 * number;
    if (rdma_accept(server, &param) != 0) die("rdma_accept");
    expect(client_channel, RDMA_CM_EVENT_CONNECT_RESPONSE);
    if (rdma_establish(client) != 0) die("rdma_establish");
    expect(server_channel, RDMA_CM_EVENT_ESTABLISHED);
    ids.push_back(client);
    ids.push_back(server);
  };

  connect_one(0);  // whatever is made once is made now
  const std::size_t before = heap_bytes();
  for (int i = 1; i <= count; ++i) connect_one(static_cast<unsigned>(i));
  const std::size_t grown = heap_bytes() - before;
  std::printf("{\"connected_ids\": %d, \"bytes_per_id\": %.0f}\n", 2 * count,
              static_cast<double>(grown) / (2.0 * count));
  std::fflush(stdout);
  std::_Exit(0);  // the agent ends the connections, as for every process that leaves without destroying its ids
}
