// libFuzzer: hawserd, to which a process of its user says anything, in any order. Every input has an agent of its own.
// Input: records of {kind (1 byte), length (1 byte), payload}. Kind: the type of the message; with the highest bit it
// is sent on the event channel, with descriptors if the next one is set.
#include <sys/mman.h>

#include <array>
#include <future>
#include <thread>

#include "agent/daemon.hpp"
#include "agent/netns_test_support.hpp"
#include "base/assert.hpp"

using namespace hawser;
using namespace hawser::agent;

namespace {

// Serves until its last client has left.
class Agent {
 public:
  Agent() {
    std::promise<int> ready;
    thread_ =
        std::jthread([&ready] { Daemon::run([&ready](int error, std::string_view) { ready.set_value(error); }); });
    HW_ASSERT(ready.get_future().get() == 0, "fuzz-daemon-does-not-start");
  }

 private:
  std::jthread thread_;
};

class Talk {
 public:
  Talk() : channel_(*connect_to_agent()) {}

  void say(std::uint8_t kind, std::span<const std::byte> payload) {
    constexpr std::uint8_t on_event_channel = 0x80, with_descriptors = 0x40;
    const int to = (kind & on_event_channel) != 0 && !received_.empty() ? received_.front().get() : channel_.get();
    MessageWriter message(static_cast<MessageType>(kind & 0x3F), 7);
    for (const std::byte byte : payload) message.put(static_cast<std::uint8_t>(byte));
    const std::array<int, 2> descriptors{channel_.get(), channel_.get()};
    const std::span<const int> passed = (kind & with_descriptors) != 0 ? descriptors : std::span<const int>();
    static_cast<void>(send_message(to, message.bytes(), passed, MSG_DONTWAIT));
    settle();
  }

 private:
  // A report is the last answer: the agent has read all that came before.
  void settle() {
    const MessageWriter question(MessageType::query, 8);
    if (!send_message(channel_.get(), question.bytes())) return;
    std::array<std::byte, message_bytes_max> buffer;
    for (;;) {
      auto answer = receive_message(channel_.get(), buffer);
      if (!answer || answer->bytes.empty()) return;  // it had enough of us
      for (Descriptor& descriptor : answer->descriptors) received_.push_back(std::move(descriptor));
      const auto reader = MessageReader::open(answer->bytes);
      HW_ASSERT(reader.has_value(), "fuzz-daemon-speaks-wrongly");
      if (reader->type() == MessageType::report_end) return;
    }
  }

  Descriptor channel_;
  std::vector<Descriptor> received_;
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  test::enter_own_netns_or_skip();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Agent agent;
  Talk last;
  {
    Talk talk;
    std::span<const std::byte> rest(reinterpret_cast<const std::byte*>(data), size);
    while (rest.size() >= 2) {
      const auto kind = std::to_integer<std::uint8_t>(rest[0]);
      const std::size_t length = std::min(std::to_integer<std::size_t>(rest[1]), rest.size() - 2);
      talk.say(kind, rest.subspan(2, length));
      rest = rest.subspan(2 + length);
    }
  }
  // The agent leaves at once with the last one that has introduced itself.
  last.say(static_cast<std::uint8_t>(MessageType::hello), std::array{std::byte{1}, std::byte{'x'}});
  return 0;
}
