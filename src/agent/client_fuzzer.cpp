// libFuzzer: a process whose agent answers anything. Input: which of the client's calls (1 byte), then the agent's
// messages as records of {type (1 byte), length (1 byte), payload}; a type from 200 on is a reply without an error.
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <future>
#include <thread>

#include "agent/channel.hpp"
#include "agent/client.hpp"
#include "agent/ledger_memory.hpp"
#include "agent/netns_test_support.hpp"
#include "base/assert.hpp"

using namespace hawser;
using namespace hawser::agent;

namespace {

// Accepts one client, hears one request, and says what the input says.
class FakeAgent {
 public:
  explicit FakeAgent(std::span<const std::byte> says) : listener_(*listen_as_agent()), says_(says) {}

  // The welcome that a process needs to go on; then the input, on the event channel.
  void welcome() {
    const Descriptor channel = accept();
    auto request = hear(channel);
    auto event = make_channel_pair();
    const Descriptor socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto ledger = create_ledger();
    auto flight = make_channel_pair();
    HW_ASSERT(event && ledger && flight && socket, "fuzz-client-descriptors");
    MessageWriter answer(MessageType::reply, request);
    answer.put<std::int32_t>(0).put<std::uint32_t>(1).put<std::uint64_t>(42).put<std::uint32_t>(1);
    const std::array<int, welcome_descriptors> passed{event->theirs.get(), socket.get(), ledger->get(),
                                                      flight->ours.get(), flight->theirs.get()};
    HW_ASSERT(send_message(channel.get(), answer.bytes(), passed).has_value(), "fuzz-client-welcome");
    say(event->ours, 0);
    said_.set_value();
    (void)hear(channel);  // goodbye
  }
  void answer() {
    const Descriptor channel = accept();
    say(channel, hear(channel));
    said_.set_value();
  }
  // When everything has been said.
  void wait() { said_.get_future().wait(); }

 private:
  Descriptor accept() {
    pollfd ready{listener_.get(), POLLIN, 0};
    (void)poll(&ready, 1, -1);
    return Descriptor(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  static std::uint32_t hear(const Descriptor& channel) {
    std::array<std::byte, message_bytes_max> buffer;
    auto request = receive_message(channel.get(), buffer);
    if (!request || request->bytes.empty()) return 0;
    return MessageReader::open(request->bytes)->sequence();
  }
  void say(const Descriptor& channel, std::uint32_t sequence) {
    constexpr std::uint8_t good_reply = 200;
    while (says_.size() >= 2) {
      const auto type = std::to_integer<std::uint8_t>(says_[0]);
      const std::size_t length = std::min(std::to_integer<std::size_t>(says_[1]), says_.size() - 2);
      MessageWriter message(type >= good_reply ? MessageType::reply : static_cast<MessageType>(type), sequence);
      if (type >= good_reply) message.put<std::int32_t>(0);
      for (const std::byte byte : says_.subspan(2, length)) message.put(static_cast<std::uint8_t>(byte));
      // Whoever does not listen any more has heard enough.
      if (!send_message(channel.get(), message.bytes(), {}, MSG_DONTWAIT)) return;
      says_ = says_.subspan(2 + length);
    }
  }

  const Descriptor listener_;
  std::span<const std::byte> says_;
  std::promise<void> said_;
};

void follow(FakeAgent& agent) {
  auto client = Client::connect({.daemon_path = "/nonexistent", .program = "fuzzer"});
  HW_ASSERT(client.has_value(), "fuzz-client-not-welcome");
  (*client)->set_observer({.relayed =
                               [](const fabric::InDatagram& datagram) {
                                 HW_ASSERT(datagram.payload.size() <= fabric::datagram_bytes_max,
                                           "fuzz-client-relayed");
                               },
                           .set_fault = [](std::uint32_t, const FaultTarget&, std::string_view) {},
                           .clear_fault = [](std::uint32_t) {},
                           .agent_changed = [] {}});
  agent.wait();
  (*client)->poll();
  for (const std::uint32_t number : {0U, 1U << 20, 0xFFFFFFU}) static_cast<void>((*client)->activity(Qpn(number)));
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  test::enter_own_netns_or_skip();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  FakeAgent agent(std::as_bytes(std::span(data, size)).subspan(1));
  const bool process = data[0] % 5 == 0;
  const std::jthread thread([&] { process ? agent.welcome() : agent.answer(); });
  switch (data[0] % 5) {
    case 0: follow(agent); break;
    case 1: static_cast<void>(query_host()); break;
    case 2: static_cast<void>(query_faults()); break;
    case 3: static_cast<void>(set_fault({}, "drop=REQ")); break;
    default: static_cast<void>(clear_faults(1)); break;
  }
  return 0;
}
