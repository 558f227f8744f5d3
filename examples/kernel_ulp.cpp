// A kernel ULP in user space: everything happens in the handlers, under the kernel's contract. Read it beside a
// drivers/…/ulp of your choice: rdma_resolve_route(cm_id, …) is id.resolve_route(…), a handler that returns non-zero
// ends its id, a CONNECT_REQUEST's new id is the handler's to keep.
//
//   kernel_ulp target ADDRESS PORT            kernel_ulp initiator ADDRESS PORT [ROUNDS]
//
// The initiator counts: it sends a number, the target adds one and sends it back.
#include <array>
#include <atomic>
#include <memory>

#include "example.hpp"

namespace {

using namespace std::chrono_literals;
using hawser::CmEvent;
using hawser::CmEventType;
using hawser::errno_of;
using hawser::IdRef;

// struct ulp_connection: one per id, and gone with it.
struct Connection {
  hawser::Stack* stack{};
  bool initiator{};
  std::uint64_t rounds{};
  hawser::Id cm_id;
  hawser::Pd pd;
  hawser::Cq cq;
  hawser::Mr mr;
  hawser::Qp qp;
  std::array<std::uint64_t, 2> numbers{};  // [0] received, [1] to send
  std::atomic<bool> connected{}, over{};   // handlers may run on another thread
};

// ulp_create_queue_ib()
hawser::Status create_queues(Connection& conn, IdRef cm_id) {
  auto pd = hawser::Pd::create(*conn.stack, cm_id.device());
  if (!pd) return std::unexpected(pd.error());
  auto cq = hawser::Cq::create(*conn.stack, cm_id.device(), 16);
  if (!cq) return std::unexpected(cq.error());
  auto mr = pd->register_memory(std::as_writable_bytes(std::span(conn.numbers)));
  if (!mr) return std::unexpected(mr.error());
  auto qp = cm_id.create_qp(*pd, {.send_cq = *cq, .recv_cq = *cq});
  if (!qp) return std::unexpected(qp.error());
  conn.pd = *pd;
  conn.cq = *cq;
  conn.mr = *mr;
  conn.qp = *qp;
  return conn.qp.post_receive(0, conn.mr.slice(0, 8));
}

hawser::Status send_number(Connection& conn, std::uint64_t number) {
  conn.numbers[1] = number;
  return conn.qp.post_send(1, conn.mr.slice(8, 8), {.signaled = false});
}

// ulp_cm_handler() of the active side. A negative errno ends the id.
int initiator_handler(IdRef cm_id, CmEvent& event, Connection& conn) {
  int ret = 0;
  switch (event.type) {
    case CmEventType::addr_resolved: ret = -errno_of(cm_id.resolve_route(2s)); break;
    case CmEventType::route_resolved:
      ret = -errno_of(create_queues(conn, cm_id));
      if (ret == 0) ret = -errno_of(cm_id.connect_locked({.retry_count = 7, .rnr_retry_count = 7}));
      break;
    case CmEventType::established:
      conn.connected = true;
      ret = -errno_of(send_number(conn, 0));
      break;
    case CmEventType::disconnected: conn.over = true; break;
    case CmEventType::timewait_exit: break;
    default:
      std::cerr << event.text() << std::endl;  // rdma_event_msg(), rdma_reject_msg()
      ret = event.status < 0 ? event.status : -ECONNREFUSED;
  }
  if (ret != 0) conn.over = true;
  return ret;
}

// The passive side: one initiator at a time.
struct Target {
  hawser::Stack& stack;
  std::unique_ptr<Connection> conn;
  std::atomic<bool> ready{};  // conn is there, and stays
};

// Of the listener, and of the connections that it makes.
int target_handler(IdRef cm_id, CmEvent& event, Target& target) {
  switch (event.type) {
    case CmEventType::connect_request: {
      if (target.conn) {
        static_cast<void>(cm_id.reject());
        return -EBUSY;
      }
      auto fresh = std::make_unique<Connection>();
      fresh->stack = &target.stack;
      if (const auto made = create_queues(*fresh, cm_id); !made) return -errno_of(made);
      if (const auto accepted = cm_id.accept({}); !accepted) return -errno_of(accepted);
      fresh->cm_id = event.take_id();
      target.conn = std::move(fresh);
      target.ready = true;
      return 0;
    }
    case CmEventType::established: target.conn->connected = true; return 0;
    case CmEventType::disconnected:
      static_cast<void>(cm_id.disconnect());
      target.conn->over = true;
      return 0;
    default: return 0;
  }
}

// ulp_cq_poll(): the data path, outside of the handlers. Until the queue pair is flushed.
bool look_after_completions(Connection& conn) {
  std::array<hawser::Completion, 16> done;
  const std::size_t count = need(conn.cq.wait(done), "waiting for completions");
  for (const hawser::Completion& wc : std::span(done).first(count)) {
    if (wc.status != hawser::WcStatus::success) {
      if (wc.status != hawser::WcStatus::wr_flush_err) give_up("completion", name(wc.status));
      return false;
    }
    if (wc.opcode != hawser::WcOpcode::recv) continue;
    const std::uint64_t number = conn.numbers[0];
    need(conn.qp.post_receive(0, conn.mr.slice(0, 8)), "post_receive");
    if (conn.initiator && number == conn.rounds) {
      need(conn.cm_id.disconnect(), "disconnect");
      std::cout << "counted to " << number << std::endl;
    } else {
      need(send_number(conn, conn.initiator ? number : number + 1), "post_send");
    }
  }
  return true;
}

int run_initiator(const hawser::SocketAddress& address, std::uint64_t rounds) {
  auto stack = need(hawser::Stack::with_agent(), "opening Hawser");
  Connection conn;
  conn.stack = &stack;
  conn.initiator = true;
  conn.rounds = rounds;
  conn.cm_id = need(stack.create_id([&](IdRef id, CmEvent& event) { return initiator_handler(id, event, conn); }),
                    "rdma_create_id");
  need(conn.cm_id.resolve_addr(nullptr, address, 2s), "rdma_resolve_addr");
  // This thread runs the handlers until there is a connection, and then looks after its completions.
  need(stack.run([&] { return conn.connected || conn.over; }), "running");
  if (!conn.connected) return 1;
  while (look_after_completions(conn)) continue;
  need(stack.run([&] { return conn.over.load(); }), "running");
  return 0;
}

int run_target(const hawser::SocketAddress& address) {
  auto stack = need(hawser::Stack::with_agent(), "opening Hawser");
  Target target{.stack = stack, .conn = {}};
  auto listener = need(hawser::Listener::listen(
                           stack, address, [&](IdRef id, CmEvent& event) { return target_handler(id, event, target); }),
                       "rdma_listen");
  std::cout << "listening on " << listener.id().local_addr().text() << std::endl;
  need(stack.run([&] { return target.ready.load(); }), "running");
  while (look_after_completions(*target.conn)) continue;
  need(stack.run([&] { return target.conn->over.load(); }), "running");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 3 ? argv[1] : "";
  if (role == "target") return run_target(address_of(argv[2], argv[3]));
  if (role == "initiator") return run_initiator(address_of(argv[2], argv[3]), argc > 4 ? std::stoull(argv[4]) : 10);
  std::cerr << "usage: kernel_ulp target ADDRESS PORT | kernel_ulp initiator ADDRESS PORT [ROUNDS]\n";
  return 2;
}
