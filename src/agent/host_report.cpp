#include <algorithm>
#include <array>

#include "agent/channel.hpp"
#include "agent/client.hpp"
#include "agent/protocol.hpp"

namespace hawser::agent {

Result<HostReport> query_host() {
  auto channel = connect_to_agent();
  if (!channel) return fail(errno_of(channel) == ECONNREFUSED ? ENOENT : errno_of(channel));
  const MessageWriter query(MessageType::query, 1);
  if (auto sent = send_message(channel->get(), query.bytes()); !sent) return fail(ENOENT);
  HostReport report;
  std::array<std::byte, message_bytes_max> buffer;
  for (;;) {
    auto received = receive_message(channel->get(), buffer);
    if (!received || received->bytes.empty()) return fail(ENOENT);  // it left meanwhile
    auto reader = MessageReader::open(received->bytes);
    if (!reader) return fail(EPROTO);
    switch (reader->type()) {
      case MessageType::report_process: {
        ProcessInfo info;
        info.pid = reader->get<std::int32_t>();
        info.slot = reader->get<std::uint32_t>();
        info.program = reader->text();
        report.processes.push_back(std::move(info));
        break;
      }
      case MessageType::report_counters: {
        const auto pid = reader->get<std::int32_t>();
        std::vector<NamedCount> counters;
        while (reader->good() && !reader->complete()) {
          NamedCount count;
          count.group = reader->text();
          count.name = reader->text();
          count.value = reader->get<std::uint64_t>();
          counters.push_back(std::move(count));
        }
        const auto process = std::ranges::find(report.processes, pid, &ProcessInfo::pid);
        (process != report.processes.end() ? process->counters : report.agent_counters) = std::move(counters);
        break;
      }
      case MessageType::report_id: {
        IdInfo info;
        info.pid = reader->get<std::int32_t>();
        info.program = reader->text();
        info.record = reader->record();
        report.ids.push_back(std::move(info));
        break;
      }
      case MessageType::report_end: report.agent_pid = reader->get<std::int32_t>(); return report;
      default: return fail(EPROTO);
    }
    if (!reader->complete()) return fail(EPROTO);
  }
}

}  // namespace hawser::agent
