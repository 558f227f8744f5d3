// Datagrams: a service that is asked for its queue pair (UD, SIDR), and a multicast group.
//
//   datagrams serve ADDRESS PORT [QUESTIONS]      datagrams ask ADDRESS PORT TEXT
//   datagrams listen ADDRESS GROUP [MESSAGES]     datagrams tell ADDRESS GROUP TEXT
//
// ADDRESS is the server's; of listen and tell, one of this host's, which says on which network the group is.
#include <algorithm>
#include <array>

#include "example.hpp"

namespace {

using namespace std::chrono_literals;
using hawser::CmEventType;

// The queue pair of a datagram id, for texts of up to 1000 bytes, one at a time.
class Mailbox {
 public:
  struct Letter {
    std::string text;
    hawser::UdDestination sender;
  };

  Mailbox(hawser::Stack& stack, hawser::IdRef id)
      : pd_(need(hawser::Pd::create(stack, id.device()), "protection domain")),
        cq_(need(hawser::Cq::create(stack, id.device(), 4), "completion queue")),
        mr_(need(pd_.register_memory(in_), "registering memory")),
        qp_(need(id.create_qp(pd_, {.send_cq = cq_, .recv_cq = cq_, .max_inline_bytes = 256}), "queue pair")) {
    need(qp_.post_receive(1, mr_.all()), "posting a receive");
  }

  [[nodiscard]] hawser::UdDestination destination(const hawser::UdParam& to) const {
    return {need(hawser::AddressHandle::create(pd_, to.ah_attr), "address handle"), to.qpn, to.qkey};
  }
  // Inline, so that nothing has to stay until it has left. Whether it arrives, nobody says.
  void send(const hawser::UdDestination& to, std::string_view text) {
    const hawser::LocalMemory bytes{reinterpret_cast<std::uint64_t>(text.data()),
                                    static_cast<std::uint32_t>(std::min<std::size_t>(text.size(), 256)),
                                    {}};
    need(qp_.post_send(2, bytes, to, {.signaled = false, .inline_data = true}), "posting a send");
  }
  Letter receive() {
    std::array<hawser::Completion, 1> done;
    need(cq_.wait(done), "waiting for a datagram");
    if (done[0].status != hawser::WcStatus::success) give_up("receive", name(done[0].status));
    const auto received = std::span(in_).first(done[0].byte_len);
    // The text lies behind the header that says where it came from.
    Letter letter{
        text_of(received.subspan(hawser::grh_bytes)),
        {need(hawser::AddressHandle::create_from_wc(pd_, done[0], received), "the way back"), done[0].src_qpn}};
    need(qp_.post_receive(1, mr_.all()), "posting a receive");
    return letter;
  }

 private:
  std::array<std::byte, hawser::grh_bytes + 1000> in_{};
  hawser::Pd pd_;
  hawser::Cq cq_;
  hawser::Mr mr_;
  hawser::Qp qp_;
};

void serve(const hawser::SocketAddress& address, int questions) {
  auto stack = need(hawser::Stack::with_agent(), "opening Hawser");
  auto channel = need(hawser::EventChannel::create(stack), "event channel");
  auto listener = need(channel.create_id(hawser::PortSpace::udp), "id");
  need(listener.bind_addr(address), "bind");
  need(listener.listen(16), "listen");
  std::cout << "serving on " << listener.local_addr().text() << std::endl;
  for (int answered = 0; answered < questions; ++answered) {
    auto request = expect(channel, CmEventType::connect_request);
    if (request.private_data.empty() || request.private_data[0] == std::byte{}) {
      // The peer hears SidrStatus::reject, and this.
      need(request.take_id().reject(std::as_bytes(std::span("say who you are"))), "reject");
      continue;
    }
    hawser::Id id = request.take_id();
    Mailbox mailbox(stack, id);
    need(id.accept({}), "accept");  // tells the peer queue pair and key; no event follows
    const Mailbox::Letter letter = mailbox.receive();
    mailbox.send(letter.sender, "echo: " + letter.text);
  }
}

void ask(const hawser::SocketAddress& address, const std::string& text) {
  auto stack = need(hawser::Stack::with_agent(), "opening Hawser");
  auto channel = need(hawser::EventChannel::create(stack), "event channel");
  auto id = need(channel.create_id(hawser::PortSpace::udp), "id");
  need(id.resolve_addr(nullptr, address, 2s), "resolve_addr");
  expect(channel, CmEventType::addr_resolved);
  need(id.resolve_route(2s), "resolve_route");
  expect(channel, CmEventType::route_resolved);
  Mailbox mailbox(stack, id);
  const std::string_view who = text.empty() ? "" : "an example";
  need(id.connect({.private_data = std::as_bytes(std::span(who))}), "connect");
  const auto found = expect(channel, CmEventType::established);
  mailbox.send(mailbox.destination(found.ud), text);
  std::cout << mailbox.receive().text << std::endl;
}

// An id that is bound to the address and a member of the group.
struct Member {
  Member(const hawser::SocketAddress& address, const hawser::SocketAddress& group, hawser::JoinAs as) {
    need(id.bind_addr(address), "bind");
    mailbox.emplace(stack, id);
    membership = need(id.join_multicast(group, as), "joining the group");
    to_group = mailbox->destination(expect(channel, CmEventType::multicast_join).ud);
  }
  hawser::Stack stack = need(hawser::Stack::with_agent(), "opening Hawser");
  hawser::EventChannel channel = need(hawser::EventChannel::create(stack), "event channel");
  hawser::Id id = need(channel.create_id(hawser::PortSpace::udp), "id");
  std::optional<Mailbox> mailbox;
  hawser::MulticastHandle membership;
  hawser::UdDestination to_group;
};

void listen(const hawser::SocketAddress& address, const hawser::SocketAddress& group, int messages) {
  Member member(address, group, hawser::JoinAs::full_member);
  std::cout << "listening to " << group.ip.text() << std::endl;
  for (int heard = 0; heard < messages; ++heard) {
    const Mailbox::Letter letter = member.mailbox->receive();
    std::cout << letter.text << std::endl;
    member.mailbox->send(letter.sender, "heard: " + letter.text);
  }
  need(member.id.leave_multicast(member.membership), "leaving the group");
}

// To whoever is in the group; prints the first answer.
void tell(const hawser::SocketAddress& address, const hawser::SocketAddress& group, const std::string& text) {
  Member member(address, group, hawser::JoinAs::send_only);
  member.mailbox->send(member.to_group, text);
  std::cout << member.mailbox->receive().text << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 3 ? argv[1] : "";
  if (role == "serve") {
    serve(address_of(argv[2], argv[3]), argc > 4 ? std::stoi(argv[4]) : 1);
  } else if (role == "ask" && argc > 4) {
    ask(address_of(argv[2], argv[3]), argv[4]);
  } else if (role == "listen") {
    listen(address_of(argv[2], "0"), address_of(argv[3], "0"), argc > 4 ? std::stoi(argv[4]) : 1);
  } else if (role == "tell" && argc > 4) {
    tell(address_of(argv[2], "0"), address_of(argv[3], "0"), argv[4]);
  } else {
    std::cerr << "usage: datagrams serve ADDRESS PORT [QUESTIONS] | ask ADDRESS PORT TEXT\n"
                 "       datagrams listen ADDRESS GROUP [MESSAGES] | tell ADDRESS GROUP TEXT\n";
    return 2;
  }
}
