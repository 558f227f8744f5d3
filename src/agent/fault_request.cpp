#include <array>

#include "agent/channel.hpp"
#include "agent/client.hpp"
#include "agent/protocol.hpp"
#include "base/log.hpp"

namespace hawser::agent {
namespace {

using Buffer = std::array<std::byte, message_bytes_max>;

// The agent's channel with the question sent. ENOENT: no agent runs, or it left meanwhile.
Result<Descriptor> ask(const MessageWriter& question) {
  auto channel = connect_to_agent();
  if (!channel) return fail(errno_of(channel) == ECONNREFUSED ? ENOENT : errno_of(channel));
  if (!send_message(channel->get(), question.bytes())) return fail(ENOENT);
  return channel;
}

Result<MessageReader> next_answer(const Descriptor& channel, Buffer& buffer) {
  auto received = receive_message(channel.get(), buffer);
  if (!received || received->bytes.empty()) return fail(ENOENT);
  auto reader = MessageReader::open(received->bytes);
  if (!reader) return fail(EPROTO);
  return *reader;
}

// The one reply to a question, its reader behind the errno, which was 0.
Result<MessageReader> reply_to(const MessageWriter& question, Buffer& buffer) {
  const auto channel = ask(question);
  if (!channel) return fail(channel.error());
  auto reader = next_answer(*channel, buffer);
  if (!reader) return reader;
  const auto error = reader->get<std::int32_t>();
  if (reader->type() != MessageType::reply || !reader->good()) return fail(EPROTO);
  if (error == 0) return reader;
  if (const std::string explanation = reader->long_text(); !explanation.empty()) log::error("{}", explanation);
  return fail(error);
}

}  // namespace

Result<FaultSet> set_fault(const FaultTarget& target, std::string_view fault) {
  MessageWriter question(MessageType::fault_set, 1);
  question.put(target.pid).text(target.program).long_text(fault);
  Buffer buffer;
  auto reader = reply_to(question, buffer);
  if (!reader) return fail(reader.error());
  FaultSet set;
  set.number = reader->get<std::uint32_t>();
  set.processes = reader->get<std::uint32_t>();
  if (!reader->complete()) return fail(EPROTO);
  return set;
}

Result<std::uint32_t> clear_faults(std::uint32_t number) {
  MessageWriter question(MessageType::fault_clear, 1);
  question.put(number);
  Buffer buffer;
  auto reader = reply_to(question, buffer);
  if (!reader) return fail(reader.error());
  const auto cleared = reader->get<std::uint32_t>();
  if (!reader->complete()) return fail(EPROTO);
  return cleared;
}

Result<std::vector<FaultInfo>> query_faults() {
  const auto channel = ask(MessageWriter(MessageType::fault_query, 1));
  if (!channel) return fail(channel.error());
  std::vector<FaultInfo> faults;
  Buffer buffer;
  for (;;) {
    auto reader = next_answer(*channel, buffer);
    if (!reader) return fail(reader.error());
    if (reader->type() == MessageType::report_end) return faults;
    if (reader->type() != MessageType::report_fault) return fail(EPROTO);
    FaultInfo info;
    info.number = reader->get<std::uint32_t>();
    info.target.pid = reader->get<std::int32_t>();
    info.target.program = reader->text();
    info.processes = reader->get<std::uint32_t>();
    info.effects = reader->get<std::uint64_t>();
    info.fault = reader->long_text();
    if (!reader->complete()) return fail(EPROTO);
    faults.push_back(std::move(info));
  }
}

}  // namespace hawser::agent
