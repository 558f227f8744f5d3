// The agent's side of the protocol (docs/agent-protocol.md): what processes ask, and what they are told.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>

#include "agent/daemon.hpp"
#include "base/log.hpp"

namespace hawser::agent {
namespace {

constexpr std::size_t sessions_max = 8192;
constexpr std::size_t messages_per_turn = 32;  // then the others get theirs
constexpr std::size_t outbox_max = 1 << 20;    // messages; a host report is one per id
constexpr auto complaint_interval = std::chrono::seconds(10);
constexpr auto listening_pause = std::chrono::seconds(1);
constexpr std::string_view no_descriptors =
    "the agent (hawserd) has no file descriptor left for another program: end some, or start them after the hard limit "
    "of open files (ulimit -Hn) was raised and no Hawser program runs";

bool is_shortage(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

}  // namespace

void Daemon::accept_sessions() {
  for (;;) {
    Descriptor channel(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (channel) {
      admit(std::move(channel));
    } else if (!is_shortage(errno) || !refuse_session()) {
      return;
    }
  }
}

void Daemon::admit(Descriptor channel) {
  const auto peer = peer_of(channel.get());
  // A group of sockets serves one uid: whoever holds one of them can detach the steering (DESIGN 2).
  if (!peer || peer->uid != geteuid() || sessions_.size() >= sessions_max) return;
  const std::uint64_t id = next_session_++ & 0xFFFFFFFF;
  Session session;
  session.id = id;
  session.peer = *peer;
  session.channel = std::move(channel);
  const int fd = session.channel.get();
  sessions_.insert_or_assign(id, std::move(session));
  subscribe(Source::session, static_cast<std::uint32_t>(id), fd, EPOLLIN);
}

// No descriptor is left: the reserve lets the next one in to hear that. Left in the listener's queue he would wait for
// ever, and wake us again and again. False if there is none, or nobody can be let in: the whole system has no more.
bool Daemon::refuse_session() {
  if (world_.now() >= complain_at_) {
    complain_at_ = world_.now() + complaint_interval;
    log::error("{}", no_descriptors);
  }
  reserve_.reset();
  Descriptor channel(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!channel && is_shortage(errno)) {
    unsubscribe(listener_.get());
    listen_again_at_ = world_.now() + listening_pause;
  }
  const bool refused = static_cast<bool>(channel);
  if (refused) {
    std::array<std::byte, message_bytes_max> buffer;
    (void)receive_message(channel.get(), buffer, MSG_DONTWAIT);  // unread, it would undo what we say
    MessageWriter refusal(MessageType::reply, 0);
    refusal.put<std::int32_t>(EMFILE).long_text(no_descriptors);
    (void)send_message(channel.get(), refusal.bytes(), {}, MSG_DONTWAIT);
    channel.reset();
  }
  reserve_ = reserve_descriptor();
  return refused;
}

void Daemon::read_session(std::uint64_t id) {
  std::array<std::byte, message_bytes_max> buffer;
  for (std::size_t i = 0; i < messages_per_turn; ++i) {
    const auto found = sessions_.find(id);
    if (found == sessions_.end() || found->second.held) return;
    auto received = receive_message(found->second.channel.get(), buffer, MSG_DONTWAIT);
    if (!received && errno_of(received) == EAGAIN) return;
    if (!received || received->bytes.empty()) return end_session(id);
    on_message(found->second, received->bytes, std::move(received->descriptors));
  }
}

void Daemon::end_session(std::uint64_t id) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  if (found->second.slot != 0) return bury(found->second.slot);
  unsubscribe(found->second.channel.get());
  sessions_.erase(found);
}

void Daemon::hold(Session& session) {
  session.held = true;
  unsubscribe(session.channel.get());  // a closed channel would wake us again and again
}

void Daemon::on_message(Session& session, std::span<std::byte> message, std::vector<Descriptor> descriptors) {
  auto reader = MessageReader::open(message);
  if (!reader) {
    // A library of another build learns from the version of the answer why it is not served.
    const auto version = MessageReader::version(message);
    if (version && *version != protocol_version) reply(session, 0, EPROTO);
    return end_session(session.id);
  }
  const MessageType type = reader->type();
  const bool introduces = type == MessageType::hello || type == MessageType::query || type == MessageType::fault_set ||
                          type == MessageType::fault_clear || type == MessageType::fault_query;
  if (introduces && (!group_ || restoring_)) {
    if (!group_ && adopting_until_ == rt::Time()) return reply(session, reader->sequence(), EADDRINUSE, why_not_);
    session.first.assign(message.begin(), message.end());
    return hold(session);
  }
  switch (type) {
    case MessageType::hello: return on_hello(session, *reader);
    case MessageType::resume: return on_resume(session, *reader, descriptors);
    case MessageType::query: return on_query(session, *reader);
    case MessageType::fault_set: return on_fault_set(session, *reader);
    case MessageType::fault_clear: return on_fault_clear(session, *reader);
    case MessageType::fault_query: return on_fault_query(session, *reader);
    default: break;
  }
  if (session.slot == 0) return end_session(session.id);  // everything else is for those who have introduced themselves
  switch (type) {
    case MessageType::fault_state: return on_fault_state(session, *reader);
    case MessageType::resumed: return on_resumed(session, *reader);
    case MessageType::restore: return on_restore(session, *reader);
    case MessageType::lease_chunk: return on_lease_chunk(session, *reader);
    case MessageType::bind: return on_bind(session, *reader);
    case MessageType::listen:
    case MessageType::unlisten:
    case MessageType::set_option:
    case MessageType::release:
    case MessageType::release_quietly: return on_port_message(session, *reader);
    default:  // goodbye, or nothing that a client says
      return end_session(session.id);
  }
}

void Daemon::on_hello(Session& session, MessageReader& reader) {
  const std::string program = reader.text();
  if (!reader.complete() || session.slot != 0) return end_session(session.id);
  const auto slot = new_slot(session.peer, program);
  if (!slot) {
    log::error("no slot for {} ({}): {}", program, session.peer.pid, slot.error().message());
    return reply(session, reader.sequence(), errno_of(slot), "the agent has no room for another process");
  }
  Process& process = processes_.at(*slot);
  process.session = session.id;
  session.slot = *slot;
  if (auto pidfd = pidfd_of_peer(session.channel.get())) watch(process, std::move(*pidfd));
  auto event = open_event_channel(process);
  if (!event) {
    reply(session, reader.sequence(), errno_of(event), no_descriptors);
    return end_session(session.id);
  }
  tell_faults(process);  // before it is welcome: they hold from its first message on
  MessageWriter welcome(MessageType::reply, reader.sequence());
  welcome.put<std::int32_t>(0).put(*slot).put(host_identity()).put(group_->leases().chunks_of(*slot).front());
  std::array<int, welcome_descriptors> descriptors{};
  descriptors[welcome_event] = event->get();
  descriptors[welcome_socket] = group_->socket(*slot);
  descriptors[welcome_ledger] = group_->ledger(*slot);
  descriptors[welcome_flight_in] = group_->flight_in();
  descriptors[welcome_flight_out] = group_->flight_out();
  send(session, welcome, descriptors);
}

// A process of an agent that was killed: it brings the flight, and says which slot is its own.
void Daemon::on_resume(Session& session, MessageReader& reader, std::vector<Descriptor>& descriptors) {
  const auto slot = reader.get<std::uint32_t>();
  const std::string program = reader.text();
  if (!reader.complete() || session.slot != 0 || descriptors.size() != 2) return end_session(session.id);
  if (!group_) {
    auto group = SocketGroup::adopt(std::move(descriptors[0]), std::move(descriptors[1]));
    if (!group) {
      log::error("the sockets of the agent before this one cannot be taken over: {}", group.error().message());
      return reply(session, reader.sequence(), errno_of(group), "the sockets of the last agent are lost");
    }
    adopt(std::move(*group), world_.now());
  }
  const auto found = processes_.find(slot);
  if (found == processes_.end() || found->second.session != 0 ||
      (found->second.pid > 0 && found->second.pid != session.peer.pid)) {
    return reply(session, reader.sequence(), ENOENT, "this process had no slot that the agent knows of");
  }
  Process& process = found->second;
  process.session = session.id;
  process.program = program;
  session.slot = slot;
  if (!process.pidfd) {
    if (auto pidfd = pidfd_of_peer(session.channel.get())) watch(process, std::move(*pidfd));
  }
  auto event = open_event_channel(process);
  if (!event) return end_session(session.id);
  MessageWriter welcome(MessageType::reply, reader.sequence());
  welcome.put<std::int32_t>(0).put(host_identity());
  const int descriptor = event->get();
  send(session, welcome, {&descriptor, 1});
}

void Daemon::on_resumed(Session& session, MessageReader& reader) {
  if (!reader.complete()) return end_session(session.id);
  processes_.at(session.slot).restored = true;
  reply(session, reader.sequence(), 0);
  if (restoring_) hold(session);  // its new requests wait for the others' old ones
}

void Daemon::on_lease_chunk(Session& session, MessageReader& reader) {
  if (!reader.complete()) return end_session(session.id);
  const auto chunk = group_->leases().lease_chunk(session.slot);
  if (!chunk) return reply(session, reader.sequence(), ENOMEM);
  steer();
  MessageWriter answer(MessageType::reply, reader.sequence());
  send(session, answer.put<std::int32_t>(0).put(*chunk));
}

// As many bindings as fit into a message, as an earlier agent granted them.
void Daemon::on_restore(Session& session, MessageReader& reader) {
  while (!reader.complete()) {
    const auto handle = reader.get<std::uint64_t>();
    const bool listening = reader.get<std::uint8_t>() != 0;
    const cma::PortRequest request = reader.port_request();
    if (!reader.good()) return end_session(session.id);
    (void)ports_.restore(session.slot, handle, request, listening);
  }
}

void Daemon::on_bind(Session& session, MessageReader& reader) {
  const auto handle = reader.get<std::uint64_t>();
  const cma::PortRequest request = reader.port_request();
  if (!reader.complete()) return end_session(session.id);
  const auto port = ports_.bind(session.slot, handle, request);
  if (!port) return reply(session, reader.sequence(), errno_of(port));
  MessageWriter answer(MessageType::reply, reader.sequence());
  send(session, answer.put<std::int32_t>(0).put(*port));
}

void Daemon::on_port_message(Session& session, MessageReader& reader) {
  const MessageType type = reader.type();
  const auto handle = reader.get<std::uint64_t>();
  auto option = cma::PortOption::reuse;
  bool value = false;
  if (type == MessageType::set_option) {
    option = reader.port_option();
    value = reader.get<std::uint8_t>() != 0;
  }
  if (!reader.complete()) return end_session(session.id);
  Status status;
  switch (type) {
    case MessageType::listen: status = ports_.listen(session.slot, handle); break;
    case MessageType::unlisten: status = ports_.unlisten(session.slot, handle); break;
    case MessageType::set_option: status = ports_.set_option(session.slot, handle, option, value); break;
    default: status = ports_.release(session.slot, handle); break;
  }
  if (type == MessageType::release_quietly) return;
  // Whoever is told that a listener is gone may start another.
  if (ports_.listeners_changed()) return answers_.push_back({session.id, reader.sequence(), errno_of(status)});
  reply(session, reader.sequence(), errno_of(status));
}

void Daemon::on_query(Session& session, MessageReader& reader) {
  const std::uint32_t sequence = reader.sequence();
  if (!reader.complete()) return end_session(session.id);
  for (const auto& [slot, process] : processes_) {
    MessageWriter about(MessageType::report_process, sequence);
    send(session, about.put<std::int32_t>(process.pid).put(slot).text(process.program));
    send_counters(session, sequence, process.pid, process_counts(process.ledger->counters()));
  }
  send_counters(session, sequence, getpid(), own_counts());
  cm::LedgerRecord record{};
  for (const auto& [slot, process] : processes_) {
    for (std::uint32_t i = 0; i < process.ledger->size(); ++i) {
      if (!process.ledger->read(i, record)) continue;
      MessageWriter about(MessageType::report_id, sequence);
      send(session, about.put<std::int32_t>(process.pid).text(process.program).record(record));
    }
  }
  MessageWriter end(MessageType::report_end, sequence);
  send(session, end.put<std::int32_t>(getpid()));
}

// What a process asks without waiting for the answer.
void Daemon::read_questions(std::uint32_t slot) {
  const auto asking = processes_.find(slot);
  if (asking == processes_.end()) return;
  const int channel = asking->second.event.get();
  std::array<std::byte, message_bytes_max> buffer;
  for (std::size_t i = 0; i < messages_per_turn; ++i) {
    const auto received = receive_message(channel, buffer, MSG_DONTWAIT);
    if (!received && errno_of(received) == EAGAIN) return;
    if (!received || received->bytes.empty()) {
      // Here and not when its session is seen to end: what lies unread in the channel may hold the session's own.
      unsubscribe(channel);
      return end_session(asking->second.session);
    }
    auto reader = MessageReader::open(received->bytes);
    if (!reader || reader->type() != MessageType::ask_peer) continue;
    const auto chunk = reader->get<std::uint32_t>();
    if (!reader->complete() || chunk >= chunk_count) continue;
    const auto asked = processes_.find(group_->leases().slot_of_chunk(chunk));
    const bool stopped = asked != processes_.end() && asked->second.activity.stopped(asked->second.pid, world_.now());
    MessageWriter answer(MessageType::peer_state, 0);
    answer.put(chunk).put(static_cast<std::uint8_t>(stopped));
    (void)send_message(channel, answer.bytes(), {}, MSG_DONTWAIT);
  }
}

void Daemon::send_counters(Session& session, std::uint32_t sequence, pid_t pid, const std::vector<NamedCount>& counts) {
  MessageWriter message(MessageType::report_counters, sequence);
  message.put<std::int32_t>(pid);
  for (const NamedCount& count : counts) message.text(count.group).text(count.name).put(count.value);
  send(session, message);
}

std::vector<NamedCount> Daemon::own_counts() const {
  const DoormanCounters& door = doorman_->counters();
  const UndertakerCounters& grave = undertaker_->counters();
  const fabric::Counters wire = door_->counters();
  return {{"fabric", "sent", wire.sent},
          {"fabric", "received", wire.received},
          {"fabric", "truncated", wire.truncated},
          {"fabric", "send failed", wire.send_failed},
          {"doorman", "received", door.received},
          {"doorman", "malformed", door.malformed},
          {"doorman", "bad ICRC", door.bad_icrc},
          {"doorman", "unknown QP", door.unknown_qp},
          {"doorman", "relayed", door.relayed},
          {"doorman", "relay failed", door.relay_failed},
          {"doorman", "requests", door.requests},
          {"doorman", "duplicates", door.duplicates},
          {"doorman", "rejected", door.rejected},
          {"doorman", "answered", door.answered},
          {"doorman", "dropped", door.dropped},
          {"undertaker", "processes", grave.processes},
          {"undertaker", "connections", grave.connections},
          {"undertaker", "invalid records", grave.invalid_records},
          {"undertaker", "disconnects sent", grave.disconnects_sent},
          {"undertaker", "rejects sent", grave.rejects_sent},
          {"undertaker", "given up", grave.given_up},
          {"steering", "programs attached", group_->steering().attached},
          {"steering", "instructions", group_->steering().instructions},
          {"steering", "services", group_->steering().services},
          {"steering", "runs left out", group_->steering().runs_left_out},
          {"steering", "services left out", group_->steering().services_left_out}};
}

void Daemon::reply(Session& session, std::uint32_t sequence, int error, std::string_view explanation) {
  MessageWriter message(MessageType::reply, sequence);
  message.put<std::int32_t>(error);
  if (!explanation.empty()) message.long_text(explanation);
  send(session, message);
}

// What does not fit into the channel now waits in the outbox. Descriptors are sent in answers only, when it is empty.
void Daemon::send(Session& session, const MessageWriter& message, std::span<const int> descriptors) {
  if (session.outbox.empty()) {
    const auto sent = send_message(session.channel.get(), message.bytes(), descriptors, MSG_DONTWAIT);
    // A broken channel is noticed when it is read.
    if (sent || errno_of(sent) != EAGAIN || !descriptors.empty()) return;
    subscribe(Source::session, static_cast<std::uint32_t>(session.id), session.channel.get(), EPOLLIN | EPOLLOUT);
  }
  if (session.outbox.size() < outbox_max) session.outbox.emplace_back(message.bytes().begin(), message.bytes().end());
}

void Daemon::flush(Session& session) {
  while (!session.outbox.empty()) {
    const auto sent = send_message(session.channel.get(), session.outbox.front(), {}, MSG_DONTWAIT);
    if (!sent && errno_of(sent) == EAGAIN) return;
    session.outbox.pop_front();
  }
  subscribe(Source::session, static_cast<std::uint32_t>(session.id), session.channel.get(), EPOLLIN);
}

}  // namespace hawser::agent
