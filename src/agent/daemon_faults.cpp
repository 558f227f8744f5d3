// `hawser fault` at the agent: keeps what was asked for, and tells the processes that it concerns.
#include <sys/socket.h>

#include <array>

#include "agent/daemon.hpp"
#include "cm/fault.hpp"

namespace hawser::agent {
namespace {

constexpr std::size_t faults_max = 1000;

}  // namespace

// On its event channel: the process takes it with what else concerns the connection manager.
bool Daemon::tell_fault(const Process& process, std::uint32_t number, const FaultBoard::Fault& fault) {
  MessageWriter message(MessageType::set_fault, 0);
  message.put(number).put(fault.target.pid).text(fault.target.program).long_text(fault.text);
  return process.event && send_message(process.event.get(), message.bytes(), {}, MSG_DONTWAIT);
}

void Daemon::tell_faults(const Process& process) {
  for (const auto& [number, fault] : faults_.faults()) {
    if (fault.concerns(process.pid, process.program) && tell_fault(process, number, fault)) {
      faults_.give(number, process.slot);
    }
  }
}

void Daemon::on_fault_set(Session& session, MessageReader& reader) {
  FaultTarget target;
  target.pid = reader.get<std::int32_t>();
  target.program = reader.text();
  std::string text = reader.long_text();
  if (!reader.complete()) return end_session(session.id);
  const auto fault = cm::parse_fault(text);
  if (!fault) return reply(session, reader.sequence(), EINVAL, fault.error());
  if (faults_.faults().size() >= faults_max) return reply(session, reader.sequence(), ENOSPC, "too many faults");
  const std::uint32_t number = faults_.add(std::move(target), std::move(text));
  const FaultBoard::Fault& added = faults_.faults().at(number);
  std::uint32_t told = 0;
  for (const auto& [slot, process] : processes_) {
    if (!added.concerns(process.pid, process.program) || !tell_fault(process, number, added)) continue;
    faults_.give(number, slot);
    ++told;
  }
  MessageWriter answer(MessageType::reply, reader.sequence());
  send(session, answer.put<std::int32_t>(0).put(number).put(told));
}

void Daemon::on_fault_clear(Session& session, MessageReader& reader) {
  const auto number = reader.get<std::uint32_t>();
  if (!reader.complete()) return end_session(session.id);
  const auto cleared = static_cast<std::uint32_t>(faults_.clear(number));
  for (const auto& [slot, process] : processes_) {
    MessageWriter message(MessageType::clear_fault, 0);
    if (process.event) (void)send_message(process.event.get(), message.put(number).bytes(), {}, MSG_DONTWAIT);
  }
  MessageWriter answer(MessageType::reply, reader.sequence());
  send(session, answer.put<std::int32_t>(0).put(cleared));
}

void Daemon::on_fault_query(Session& session, MessageReader& reader) {
  if (!reader.complete()) return end_session(session.id);
  for (const auto& [number, fault] : faults_.faults()) {
    MessageWriter about(MessageType::report_fault, reader.sequence());
    about.put(number).put(fault.target.pid).text(fault.target.program);
    about.put(static_cast<std::uint32_t>(fault.effects.size())).put(fault.all_effects()).long_text(fault.text);
    send(session, about);
  }
  MessageWriter end(MessageType::report_end, reader.sequence());
  send(session, end.put<std::int32_t>(getpid()));
}

// What a process that is gone still had to say; the rest of it ends with the process anyway.
void Daemon::read_last_effects(Session& session) {
  std::array<std::byte, message_bytes_max> buffer;
  for (std::size_t i = 0; i < faults_max; ++i) {
    const auto received = receive_message(session.channel.get(), buffer, MSG_DONTWAIT);
    if (!received || received->bytes.empty()) return;
    auto reader = MessageReader::open(received->bytes);
    if (reader && reader->type() == MessageType::fault_state) on_fault_state(session, *reader);
  }
}

void Daemon::on_fault_state(Session& session, MessageReader& reader) {
  const auto number = reader.get<std::uint32_t>();
  const auto effects = reader.get<std::uint64_t>();
  FaultTarget target;
  target.pid = reader.get<std::int32_t>();
  target.program = reader.text();
  std::string text = reader.long_text();
  if (!reader.complete() || number == 0 || number > fault_numbers_max) return end_session(session.id);
  const bool has_room = faults_.faults().contains(number) || faults_.faults().size() < faults_max;
  if (!has_room || !cm::parse_fault(text)) return;
  faults_.on_state(number, session.slot, effects, std::move(target), std::move(text));
}

}  // namespace hawser::agent
