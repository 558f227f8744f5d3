#include "agent/session.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "agent/launcher.hpp"
#include "agent/port_holder.hpp"
#include "base/log.hpp"

namespace hawser::agent {
namespace {

// An agent may leave, be killed, or lose the race for the name just when we turn to it.
constexpr int attempts = 50;
constexpr std::size_t restored_per_message = 100;  // of 68 bytes
static_assert(restored_per_message * 68 + 8 <= message_bytes_max);

void pause_before(int attempt) {
  if (attempt > 0) (void)::poll(nullptr, 0, std::min(attempt, 20));
}

void explain_version(int channel, std::span<std::byte> answer) {
  const auto agent = peer_of(channel);
  log::error(
      "the agent of this host (hawserd, pid {}) is of another version of Hawser: it speaks version {} of the protocol, "
      "this library version {}. It leaves with the last program that uses it; or end it (kill {}) and try again",
      agent ? agent->pid : 0, MessageReader::version(answer).value_or(0), protocol_version, agent ? agent->pid : 0);
}

}  // namespace

MessageReader Answer::reader() {
  MessageReader reader = *MessageReader::open(bytes);  // exchange() has opened it before
  (void)reader.get<std::int32_t>();
  return reader;
}

Session::~Session() {
  if (!channel_.is_ours()) return;
  notify(MessageType::goodbye, [](MessageWriter&) {});
}

Result<Session::Welcome> Session::open(const ClientOptions& options) {
  rt::Lock lock(mutex_);
  options_ = options;
  if (options_.program.empty()) options_.program = program_name(getpid());
  poll_.set(Descriptor(epoll_create1(EPOLL_CLOEXEC)));
  if (poll_.get() < 0) return fail(errno);
  for (int attempt = 0; attempt < attempts; ++attempt) {
    pause_before(attempt);
    if (auto found = find_agent(); !found) return fail(found.error());
    if (channel_.get() < 0) continue;
    auto answer = exchange(MessageType::hello, [this](MessageWriter& m) { m.text(options_.program); });
    if (!answer && errno_of(answer) == ECONNRESET) continue;
    if (!answer) return fail(answer.error());
    MessageReader reader = answer->reader();
    Welcome welcome;
    welcome.slot = slot_ = reader.get<std::uint32_t>();
    welcome.host_identity = reader.get<std::uint64_t>();
    welcome.chunk = reader.get<std::uint32_t>();
    if (!reader.complete() || answer->descriptors.size() != welcome_descriptors) {
      log::error("hawserd answers what this version of the protocol ({}) does not know", protocol_version);
      return fail(EPROTO);
    }
    welcome.socket = std::move(answer->descriptors[welcome_socket]);
    welcome.ledger = std::move(answer->descriptors[welcome_ledger]);
    flight_in_.set(std::move(answer->descriptors[welcome_flight_in]));
    flight_out_.set(std::move(answer->descriptors[welcome_flight_out]));
    set_event_channel(std::move(answer->descriptors[welcome_event]));
    return welcome;
  }
  log::error("no agent stays: hawserd ends as soon as it is started, or is too old a version of Hawser to say so");
  return fail(ECONNREFUSED);
}

// Leaves channel_ unset if it is worth another attempt.
Status Session::find_agent() {
  channel_.reset();
  auto channel = connect_to_agent();
  if (channel) {
    channel_.set(std::move(*channel));
    return {};
  }
  if (errno_of(channel) != ECONNREFUSED) return fail(channel.error());
  const auto path = find_daemon(options_.daemon_path);
  if (!path) return fail(path.error());
  const Status launched = launch_daemon(*path);
  if (!launched && errno_of(launched) != EEXIST) return launched;
  return {};
}

// ECONNRESET: the agent is gone. Any other error is its answer.
Result<Answer> Session::exchange(MessageType type, const Fill& fill, std::span<const int> descriptors) {
  if (channel_.get() < 0) return fail(ECONNRESET);
  MessageWriter message(type, ++sequence_);
  fill(message);
  const Status sent = send_message(channel_.get(), message.bytes(), descriptors);
  if (!sent && errno_of(sent) != EPIPE) return fail(ECONNRESET);  // who refused us may have told us why before
  std::array<std::byte, message_bytes_max> buffer;
  for (;;) {
    auto received = receive_message(channel_.get(), buffer);
    if (!received || received->bytes.empty()) return fail(ECONNRESET);
    Answer answer{{received->bytes.begin(), received->bytes.end()}, std::move(received->descriptors)};
    auto reader = MessageReader::open(answer.bytes);
    if (!reader) {
      explain_version(channel_.get(), answer.bytes);
      return fail(EPROTO);
    }
    // An agent that cannot take us in says so before it knows what we ask.
    const bool refused = reader->sequence() == 0;
    if (reader->type() != MessageType::reply || (!refused && reader->sequence() != sequence_)) continue;
    const auto error = reader->get<std::int32_t>();
    if (!reader->good() || (refused && error == 0)) return fail(EPROTO);
    if (error == 0) return answer;
    if (const std::string explanation = reader->long_text(); !explanation.empty()) log::error("{}", explanation);
    return fail(error);
  }
}

Result<Answer> Session::request(MessageType type, const Fill& fill) {
  rt::Lock lock(mutex_);
  for (int attempt = 0;; ++attempt) {
    auto answer = exchange(type, fill);
    if (answer || errno_of(answer) != ECONNRESET) return answer;
    if (attempt == attempts) return fail(ECONNRESET);
    if (auto succeeded = succeed(); !succeeded) return fail(succeeded.error());
  }
}

void Session::notify(MessageType type, const Fill& fill) {
  rt::Lock lock(mutex_);
  MessageWriter message(type, ++sequence_);
  fill(message);
  // If the agent is gone, the next one learns what is left by succeed().
  if (channel_.get() >= 0) (void)send_message(channel_.get(), message.bytes());
}

// The agent died. Whoever notices brings up the next one; what this process has is told to it before anything else.
Status Session::succeed() {
  const rt::Time now = std::chrono::steady_clock::now();
  if (now < retry_at_) return fail(ECONNRESET);
  Status status = fail(ECONNRESET);
  for (int attempt = 0; attempt < attempts; ++attempt) {
    pause_before(attempt);
    status = find_agent();
    if (!status) break;
    if (channel_.get() < 0) continue;
    status = resume_once();
    if (status) return {};
    if (errno_of(status) != ECONNRESET) break;
  }
  log::error("the agent was lost and there is no successor ({}): connections go on, new ones are not possible",
             status.error().message());
  channel_.reset();
  {
    rt::Lock lock(event_mutex_);
    event_.reset();  // nobody is woken for ever by a channel that has ended
  }
  retry_at_ = now + std::chrono::seconds(1);
  return fail(ECONNRESET);
}

Status Session::resume_once() {
  const std::array<int, 2> flight{flight_in_.get(), flight_out_.get()};
  auto answer =
      exchange(MessageType::resume, [this](MessageWriter& m) { m.put(slot_).text(options_.program); }, flight);
  if (!answer) return fail(answer.error());
  if (answer->descriptors.size() != 1) return fail(EPROTO);
  Descriptor event = std::move(answer->descriptors[0]);
  // No answers are awaited: ten thousand bindings must be there before the agent's patience ends.
  for (auto next = bindings_.begin(); next != bindings_.end();) {
    MessageWriter message(MessageType::restore, ++sequence_);
    for (std::size_t n = 0; n < restored_per_message && next != bindings_.end(); ++n, ++next) {
      const auto& [handle, binding] = *next;
      message.put(handle).put(static_cast<std::uint8_t>(binding.listening)).port_request(binding.request);
    }
    if (!send_message(channel_.get(), message.bytes())) return fail(ECONNRESET);
  }
  if (auto done = exchange(MessageType::resumed, [](MessageWriter&) {}); !done) return fail(done.error());
  set_event_channel(std::move(event));
  return {};
}

void Session::set_event_channel(Descriptor event) {
  rt::Lock lock(event_mutex_);
  ++event_generation_;
  event_.set(std::move(event));  // closing the old one takes it out of the epoll
  epoll_event interest{};
  interest.events = EPOLLIN;
  (void)epoll_ctl(poll_.get(), EPOLL_CTL_ADD, event_.get(), &interest);
}

void Session::remember(std::uint64_t handle, const Binding& binding) {
  rt::Lock lock(mutex_);
  bindings_.insert_or_assign(handle, binding);
}

void Session::change(std::uint64_t handle, const std::function<void(Binding&)>& change) {
  rt::Lock lock(mutex_);
  if (const auto found = bindings_.find(handle); found != bindings_.end()) change(found->second);
}

Session::Binding Session::forget(std::uint64_t handle) {
  rt::Lock lock(mutex_);
  auto node = bindings_.extract(handle);
  return node.empty() ? Binding() : node.mapped();
}

void Session::read_events(const std::function<void(MessageReader&)>& sink) {
  std::array<std::byte, message_bytes_max> buffer;
  for (int budget = 64; budget > 0; --budget) {
    rt::UniqueLock lock(event_mutex_);
    if (event_.get() < 0) return;
    auto received = receive_message(event_.get(), buffer, MSG_DONTWAIT);
    const std::uint64_t generation = event_generation_;
    lock.unlock();
    if (!received && errno_of(received) == EAGAIN) return;
    if (!received || received->bytes.empty()) return on_event_channel_lost(generation);
    if (auto reader = MessageReader::open(received->bytes)) sink(*reader);
  }
}

void Session::on_event_channel_lost(std::uint64_t generation) {
  rt::Lock lock(mutex_);
  {
    rt::Lock event_lock(event_mutex_);
    if (generation != event_generation_) return;  // another thread has found the next agent meanwhile
  }
  (void)succeed();
}

void Session::ask_peer(std::uint32_t chunk) {
  MessageWriter message(MessageType::ask_peer, 0);
  message.put(chunk);
  rt::Lock lock(event_mutex_);
  if (event_.get() >= 0) (void)send_message(event_.get(), message.bytes(), {}, MSG_DONTWAIT);
}

}  // namespace hawser::agent
