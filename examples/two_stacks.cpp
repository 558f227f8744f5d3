// Two Hawsers in one process, without an agent: each owns UDP 4791 of one address, and they talk to each other over the
// kernel's network as if they were two programs. Needs nothing but an unused UDP port 4791 on both addresses.
//
//   two_stacks [ADDRESS ADDRESS]      (default: 127.0.0.1 127.0.0.2)
#include <array>

#include "example.hpp"

namespace {

using namespace std::chrono_literals;
using hawser::CmEventType;

hawser::Stack open(const std::string& address) {
  const auto ip = hawser::IpAddress::parse(address);
  if (!ip) give_up(address, "not an IP address");
  return need(hawser::Stack::alone({.address = *ip}), "a Stack on " + address);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string left_address = argc > 2 ? argv[1] : "127.0.0.1";
  const std::string right_address = argc > 2 ? argv[2] : "127.0.0.2";
  hawser::Stack left = open(left_address);
  hawser::Stack right = open(right_address);
  for (const hawser::Stack* stack : {&left, &right}) {
    for (const hawser::Device& device : stack->devices()) {
      std::cout << device.name() << " " << device.gids().front().text() << std::endl;
    }
  }

  auto left_events = need(hawser::EventChannel::create(left), "event channel");
  auto right_events = need(hawser::EventChannel::create(right), "event channel");
  auto listener = need(right_events.create_id(), "id");
  need(listener.bind_addr(address_of(right_address, "7471")), "bind");
  need(listener.listen(1), "listen");

  auto id = need(left_events.create_id(), "id");
  need(id.resolve_addr(nullptr, address_of(right_address, "7471"), 2s), "resolve_addr");
  expect(left_events, CmEventType::addr_resolved);
  need(id.resolve_route(2s), "resolve_route");
  expect(left_events, CmEventType::route_resolved);
  auto pd = need(hawser::Pd::create(left, id.device()), "pd");
  auto cq = need(hawser::Cq::create(left, id.device(), 4), "cq");
  auto qp = need(id.create_qp(pd, {.send_cq = cq, .recv_cq = cq, .max_inline_bytes = 64}), "qp");
  need(id.connect({}), "connect");

  auto request = need(right_events.get_event(), "waiting for the request");
  hawser::Id child = request.take_id();
  std::array<std::byte, 64> memory{};
  auto child_pd = need(hawser::Pd::create(right, child.device()), "pd");
  auto child_mr = need(child_pd.register_memory(memory), "mr");
  auto child_cq = need(hawser::Cq::create(right, child.device(), 4), "cq");
  auto child_qp = need(child.create_qp(child_pd, {.send_cq = child_cq, .recv_cq = child_cq}), "qp");
  need(child_qp.post_receive(1, child_mr.all()), "post_receive");
  need(child.accept({}), "accept");
  expect(left_events, CmEventType::established);
  expect(right_events, CmEventType::established);

  const std::string text = "hello from the other Stack of this process";
  const hawser::LocalMemory bytes{
      reinterpret_cast<std::uint64_t>(text.data()), static_cast<std::uint32_t>(text.size()), {}};
  need(qp.post_send(2, bytes, {.inline_data = true}), "post_send");
  std::array<hawser::Completion, 1> done;
  need(child_cq.wait(done), "waiting for the message");
  if (done[0].status != hawser::WcStatus::success) give_up("receive", name(done[0].status));
  std::cout << text_of(std::span(memory).first(done[0].byte_len)) << std::endl;

  need(id.disconnect(), "disconnect");
  expect(right_events, CmEventType::disconnected);
  need(child.disconnect(), "disconnect");
  expect(left_events, CmEventType::disconnected);
}
