// An echo server and its client, with fetched events: the straight-line style of programs written for librdmacm.
//
//   echo server ADDRESS PORT [CLIENTS]     echo client ADDRESS PORT TEXT
//
// Both run beside all other RDMA programs of the host: the agent shares out UDP 4791 and the ports.
#include <algorithm>
#include <array>

#include "example.hpp"

namespace {

using namespace std::chrono_literals;
using hawser::CmEventType;

// Registered memory and a queue pair for messages of up to 1 KiB, one at a time.
class Messages {
 public:
  Messages(hawser::Stack& stack, hawser::IdRef id)
      : pd_(need(hawser::Pd::create(stack, id.device()), "protection domain")),
        cq_(need(hawser::Cq::create(stack, id.device(), 4), "completion queue")),
        in_mr_(need(pd_.register_memory(in_), "registering memory")),
        out_mr_(need(pd_.register_memory(out_), "registering memory")),
        qp_(need(id.create_qp(pd_, {.send_cq = cq_, .recv_cq = cq_}), "queue pair")) {
    need(qp_.post_receive(1, in_mr_.all()), "posting a receive");  // before the peer can send
  }

  void send(std::string_view text) {
    const auto length = std::min(text.size(), out_.size());
    std::ranges::copy(std::as_bytes(std::span(text.data(), length)), out_.begin());
    need(qp_.post_send(2, out_mr_.slice(0, length)), "posting a send");
    wait_for(hawser::WcOpcode::send);
  }
  std::string receive() {
    const std::string text = text_of(std::span(in_).first(wait_for(hawser::WcOpcode::recv)));
    need(qp_.post_receive(1, in_mr_.all()), "posting a receive");
    return text;
  }

 private:
  // Its length. What completes meanwhile is remembered.
  std::size_t wait_for(hawser::WcOpcode opcode) {
    auto& count = opcode == hawser::WcOpcode::send ? sends_done_ : receives_done_;
    while (count == 0) {
      std::array<hawser::Completion, 2> done;
      const std::size_t n = need(cq_.wait(done), "waiting for a completion");
      for (const hawser::Completion& completion : std::span(done).first(n)) {
        if (completion.status != hawser::WcStatus::success) give_up("work request", name(completion.status));
        if (completion.opcode == hawser::WcOpcode::send) ++sends_done_;
        if (completion.opcode == hawser::WcOpcode::recv) ++receives_done_, length_ = completion.byte_len;
      }
    }
    --count;
    return length_;
  }

  std::array<std::byte, 1024> in_{}, out_{};
  hawser::Pd pd_;
  hawser::Cq cq_;
  hawser::Mr in_mr_, out_mr_;
  hawser::Qp qp_;
  unsigned sends_done_ = 0, receives_done_ = 0;
  std::size_t length_ = 0;
};

void serve(const hawser::SocketAddress& address, int clients) {
  auto stack = need(hawser::Stack::with_agent(), "opening Hawser");
  auto channel = need(hawser::EventChannel::create(stack), "event channel");
  auto listener = need(channel.create_id(), "id");
  need(listener.bind_addr(address), "bind");
  need(listener.listen(16), "listen");
  std::cout << "listening on " << listener.local_addr().text() << std::endl;
  for (int served = 0; served < clients; ++served) {
    auto request = expect(channel, CmEventType::connect_request);
    hawser::Id id = request.take_id();
    Messages messages(stack, id);
    need(id.accept({}), "accept");
    expect(channel, CmEventType::established);
    messages.send("echo: " + messages.receive());
    expect(channel, CmEventType::disconnected);
    need(id.disconnect(), "disconnect");
    std::cout << "served " << id.peer_addr().text() << std::endl;
  }
}

void ask(const hawser::SocketAddress& address, std::string_view text) {
  auto stack = need(hawser::Stack::with_agent(), "opening Hawser");
  auto channel = need(hawser::EventChannel::create(stack), "event channel");
  auto id = need(channel.create_id(), "id");
  need(id.resolve_addr(nullptr, address, 2s), "resolve_addr");
  expect(channel, CmEventType::addr_resolved);
  need(id.resolve_route(2s), "resolve_route");
  expect(channel, CmEventType::route_resolved);
  Messages messages(stack, id);
  need(id.connect({}), "connect");
  expect(channel, CmEventType::established);
  messages.send(text);
  std::cout << messages.receive() << std::endl;
  need(id.disconnect(), "disconnect");
  expect(channel, CmEventType::disconnected);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 3 ? argv[1] : "";
  if (role == "server") {
    serve(address_of(argv[2], argv[3]), argc > 4 ? std::stoi(argv[4]) : 1);
  } else if (role == "client" && argc > 4) {
    ask(address_of(argv[2], argv[3]), argv[4]);
  } else {
    std::cerr << "usage: echo server ADDRESS PORT [CLIENTS] | echo client ADDRESS PORT TEXT\n";
    return 2;
  }
}
