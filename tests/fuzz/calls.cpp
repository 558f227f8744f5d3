// Calls of librdmacm that every program makes: ids and channels from their beginning to their end, and their events.
#include "calls.hpp"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace hawser::fuzz {
namespace {

using namespace std::chrono_literals;

// In real time nobody waits long: what does not come soon is not worth the wait.
constexpr auto patience_max = 120ms;
constexpr int pause_max_ms = 5;
constexpr int resolve_timeout_max_ms = 2000;

}  // namespace

std::uint64_t next_number() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

Caller::Caller(CallsMachine machine) : machine_(std::move(machine)) {
  for (std::size_t i = 0; i < channels_.size(); ++i) channels_[i] = new_channel(i == 0);
}
Caller::~Caller() = default;

// --- What there is

CallsChannel* Caller::new_channel(bool blocking) {
  const std::lock_guard lock(mutex_);
  CallsChannel& made = all_channels_.emplace_back();
  made.raw = rdma_create_event_channel();
  if (made.raw == nullptr) std::abort();
  if (!blocking) ::fcntl(made.raw->fd, F_SETFL, O_NONBLOCK);
  made.bell = &all_ids_.emplace_back();
  made.bell->number = next_number();
  if (rdma_create_id(made.raw, &made.bell->raw, made.bell, RDMA_PS_TCP) != 0) std::abort();
  return &made;
}

CallsId* Caller::new_id(bool datagrams, bool synchronous, rdma_cm_id* raw) {
  const std::lock_guard lock(mutex_);
  CallsId& made = all_ids_.emplace_back();
  made.raw = raw;
  made.alive = raw != nullptr;
  made.number = next_number();
  made.datagrams = datagrams;
  made.synchronous = synchronous;
  return &made;
}

// Without looking at it.
bool Caller::is_ours(const CallsId* id) {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(all_ids_, [id](const CallsId& one) { return &one == id; });
}

CallsChannel& Caller::channel(const Call& call, std::size_t argument) const {
  return *channels_[call.as<std::size_t>(argument)].load(std::memory_order_acquire);
}
CallsId* Caller::id(const Call& call, std::size_t argument) const {
  return ids_[call.as<std::size_t>(argument)].load(std::memory_order_acquire);
}
void Caller::keep(CallsId* id, std::size_t place) { ids_[place].store(id, std::memory_order_release); }

void Caller::run(const Thread& thread, Diary& diary) {
  for (const Call& call : thread.calls) {
    const Outcome error = execute(call, diary);
    ++diary.calls[{call.op, error}];
    if (!call_may_answer(call.op, error)) {
      diary.note_wrong(fmt::format("{} answers {} ({})", text_of(call), error, std::strerror(error)));
    }
    if (error == ENXIO) diary.reach("id without a device");
  }
}

Caller::Outcome Caller::execute(const Call& call, Diary& diary) {
  const auto plain = [&](auto&& function) {
    return with(id(call), [&](CallsId& one) { return answered(function(one.raw)); });
  };
  switch (call.op) {
    case Op::create_id: return create_id(call);
    case Op::create_sync_id: return create_sync_id(call);
    case Op::create_ep: return create_ep(call);
    case Op::get_request: return get_request(call, diary);
    case Op::destroy_id: return id(call) == nullptr ? ENOENT : destroy_id(*id(call), diary);
    case Op::bind: return bind(call);
    case Op::resolve_addr: return resolve_addr(call);
    case Op::resolve_service: return resolve_service(id(call));
    case Op::query_services: return query_services(id(call));
    case Op::resolve_route:
      return plain(
          [&](rdma_cm_id* raw) { return rdma_resolve_route(raw, std::min(call.as<int>(2), resolve_timeout_max_ms)); });
    case Op::connect: return connect(call, false, diary);
    case Op::accept: return connect(call, true, diary);
    case Op::listen: {
      const Outcome error = plain([&](rdma_cm_id* raw) { return rdma_listen(raw, call.as<int>(2)); });
      if (error == 0) diary.reach("listening");
      return error;
    }
    case Op::accept_response: {
      const Outcome error = plain([](rdma_cm_id* raw) { return rdma_establish(raw); });
      if (error == 0) diary.reach("response accepted");
      return error;
    }
    case Op::reject: return reject(call);
    case Op::disconnect:
      return with(id(call), [&](CallsId& one) {
        const Clerk::Waiting waiting(clerk_, one,
                                     patience_max);  // an id that is disconnected already is told nothing more
        return answered(rdma_disconnect(one.raw));
      });
    case Op::set_option: return set_option(call);
    case Op::join_multicast: return join_multicast(call);
    case Op::leave_multicast: return leave_multicast(call, diary);
    case Op::migrate_id: return migrate_id(call, diary);
    case Op::migrate_sync: return migrate_sync(id(call, 0), diary);
    case Op::get_event:
      return get_event(
          call, std::min<std::chrono::milliseconds>(std::chrono::milliseconds(call.value(2)), patience_max), diary);
    case Op::wait_event: return get_event(call, -1ms, diary);
    case Op::ack_event: return clerk_.acknowledge();
    case Op::close: return close(call.as<std::size_t>(0), diary);
    case Op::write_event:
      return plain([&](rdma_cm_id* raw) { return c::write_cm_event(raw, call.as<int>(2), -EIO, 42); });
    case Op::notify: return plain([&](rdma_cm_id* raw) { return c::notify(raw, call.as<int>(2)); });
    case Op::happen: machine_.happen(call.as<Happening>(0)); return 0;
    case Op::pause: ::poll(nullptr, 0, std::min(call.as<int>(0), pause_max_ms)); return 0;
    default: return execute_verbs(call, diary);
  }
}

// --- Ids

Caller::Outcome Caller::create_id(const Call& call) {
  CallsChannel& on = channel(call);
  const std::shared_lock lock(on.use);
  if (!on.open) return ENOENT;
  const auto space = call.as<int>(2);
  return create_id(on.raw, space, call.as<std::size_t>(1));
}

Caller::Outcome Caller::create_sync_id(const Call& call) {
  return create_id(nullptr, call.as<int>(1), call.as<std::size_t>(0));
}

Caller::Outcome Caller::create_id(rdma_event_channel* on, int space, std::size_t place) {
  CallsId* const made = new_id(space == RDMA_PS_UDP || space == RDMA_PS_IPOIB, on == nullptr, nullptr);
  const std::unique_lock lock(made->use);
  if (c::create_id(on, &made->raw, made, space) != 0) {
    made->ended = true;
    return errno;
  }
  made->alive = true;
  keep(made, place);
  return 0;
}

// With a queue pair it begins its synchronous life.
Caller::Outcome Caller::create_ep(const Call& call) {
  const Place place = call.as<Place>(1);
  const bool passive = place != Place::peer && place != Place::peer_too && place != Place::peer6;
  sockaddr_storage address{};
  machine_.address(place, call.as<std::uint16_t>(2)).to(address);
  rdma_addrinfo info{};
  info.ai_flags = passive ? RAI_PASSIVE : 0;
  info.ai_port_space = call.as<int>(3);
  info.ai_qp_type = info.ai_port_space == RDMA_PS_UDP ? IBV_QPT_UD : IBV_QPT_RC;
  (passive ? info.ai_src_addr : info.ai_dst_addr) = reinterpret_cast<sockaddr*>(&address);
  (passive ? info.ai_src_len : info.ai_dst_len) = sizeof address;
  rdma_cm_id* raw = nullptr;
  if (rdma_create_ep(&raw, &info, nullptr, nullptr) != 0) return errno;
  CallsId* const made = new_id(info.ai_qp_type == IBV_QPT_UD, true, raw);
  raw->context = made;
  (void)made->queue.create(raw, call.as<Queue>(4), made->datagrams, window_);
  keep(made, call.as<std::size_t>(0));
  return 0;
}

Caller::Outcome Caller::get_request(const Call& call, Diary& diary) {
  return with(id(call, 0), [&](CallsId& listener) {
    rdma_cm_id* raw = nullptr;
    {
      const Clerk::Waiting waiting(clerk_, listener, patience_max);
      if (rdma_get_request(listener.raw, &raw) != 0) return errno;
    }
    CallsId* const child = new_id(listener.datagrams, true, raw);
    if (raw->context != &listener) diary.note_wrong("a request whose context is not its listener's");
    raw->context = child;
    // The request is its listener's event, and would keep that from its end.
    if (rdma_ack_cm_event(std::exchange(raw->event, nullptr)) != 0) diary.note_wrong("a request without its event");
    keep(child, call.as<std::size_t>(1));
    diary.reach("request got");
    return 0;
  });
}

Caller::Outcome Caller::destroy_id(CallsId& id, Diary& diary) {
  {
    const std::unique_lock lock(id.use);
    if (!std::exchange(id.alive, false)) return ENOENT;
  }
  (void)id.queue.destroy(id.raw, diary);
  (void)id.queue.destroy_shared(id.raw);
  const int error = answered(rdma_destroy_id(id.raw));
  id.ended = true;
  return error;
}

Caller::Outcome Caller::migrate_id(const Call& call, Diary& diary) {
  CallsChannel& to = channel(call);
  const std::shared_lock open(to.use);
  CallsId* const moved = id(call, 2);
  if (moved == nullptr || !to.open) return ENOENT;
  const auto migrate = [&] {
    const int error = answered(rdma_migrate_id(moved->raw, to.raw));
    if (error == 0) diary.reach("moved");
    return error;
  };
  {
    const std::shared_lock lock(moved->use);
    if (!moved->alive) return ENOENT;
    if (!moved->synchronous) return migrate();
  }
  const std::unique_lock lock(moved->use);
  if (!moved->alive) return ENOENT;
  const int error = migrate();
  if (error == 0) moved->synchronous = false;
  return error;
}

Caller::Outcome Caller::migrate_sync(CallsId* id, Diary& diary) {
  if (id == nullptr) return ENOENT;
  const std::unique_lock lock(id->use);
  if (!id->alive) return ENOENT;
  const int error = answered(rdma_migrate_id(id->raw, nullptr));
  if (error != 0) return error;
  id->synchronous = true;
  diary.reach("moved to no channel");
  return 0;
}

bool Caller::lives(CallsId& id) {
  const std::shared_lock lock(id.use);
  return id.alive;
}

// As rdma_destroy_event_channel(3) wants it: its ids first.
Caller::Outcome Caller::close(std::size_t place, Diary& diary) {
  CallsChannel* const closed = channels_[place].load(std::memory_order_acquire);
  CallsChannel* expected = closed;
  if (!channels_[place].compare_exchange_strong(expected, new_channel(place == 0))) return EBUSY;
  const std::unique_lock lock(closed->use);
  if (!std::exchange(closed->open, false)) return EBUSY;
  std::vector<CallsId*> ids;
  {
    const std::lock_guard all(mutex_);
    for (CallsId& id : all_ids_) ids.push_back(&id);
  }
  for (CallsId* id : ids) {
    bool here = false;
    {
      const std::unique_lock alone(id->use);
      here = id->alive && id->raw->channel == closed->raw;
    }
    if (here) (void)destroy_id(*id, diary);
    while (!id->ended && !lives(*id)) ::poll(nullptr, 0, 1);  // another thread is about to
  }
  rdma_destroy_event_channel(closed->raw);
  diary.reach("closed");
  return 0;
}

void Caller::close_all() {
  Diary diary;
  for (CallsId& id : all_ids_) {
    if (const int error = destroy_id(id, diary); error != 0 && error != ENOENT) {
      diary.note_wrong(fmt::format("rdma_destroy_id answers {}", std::strerror(error)));
    }
  }
  for (CallsChannel& channel : all_channels_) {
    if (std::exchange(channel.open, false)) rdma_destroy_event_channel(channel.raw);
  }
  clerk_.stop();
  diary.note_wrong(clerk_.diary().wrong);
  if (!diary.wrong.empty()) machine_.report(diary.wrong);
}

// --- Events

Caller::Outcome Caller::get_event(const Call& call, std::chrono::milliseconds patience, Diary& diary) {
  CallsChannel& from = channel(call);
  const std::shared_lock lock(from.use);
  if (!from.open) return ENOENT;
  if (patience >= 0ms) {
    pollfd readable{.fd = from.raw->fd, .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, static_cast<int>(patience.count())) != 1) return EAGAIN;
  }
  rdma_cm_event* event = nullptr;
  {
    const Clerk::Waiting waiting(clerk_, *from.bell, patience_max);
    if (rdma_get_cm_event(from.raw, &event) != 0) return errno;
  }
  if (patience < 0ms) diary.reach("event waited for");
  on_event(*event, call.as<std::size_t>(1), diary);
  clerk_.hand_over(event);
  return 0;
}

void Caller::on_event(const rdma_cm_event& event, std::size_t place, Diary& diary) {
  const auto type = static_cast<cma::EventType>(c::number_of(event));
  const rdma_cm_id* const told = type == cma::EventType::connect_request ? event.listen_id : event.id;
  auto* const owner = told == nullptr ? nullptr : static_cast<CallsId*>(told->context);
  if (!is_ours(owner)) return diary.note_wrong(fmt::format("{} of an id that is none of ours", cma::name(type)));
  if (const std::string wrong = wrong_with(event, *owner); !wrong.empty()) {
    diary.note_wrong(fmt::format("{}: {}", cma::name(type), wrong));
  }
  const bool of_group = type == cma::EventType::multicast_join || type == cma::EventType::multicast_error;
  const std::uint64_t number = of_group ? reinterpret_cast<std::uintptr_t>(event.param.ud.private_data) : owner->number;
  diary.given.push_back({owner->number, owner->number});
  if (of_group) diary.given.push_back({number, number});
  diary.fetched.push_back({type, event.status, number, owner->number, of_group ? number : 0, number});
  diary.reach(depth_of(type, owner->datagrams));
  if (type == cma::EventType::connect_request) {
    CallsId* const child = new_id(owner->datagrams, false, event.id);
    event.id->context = child;
    keep(child, place);
  }
  if (type == cma::EventType::multicast_join || (type == cma::EventType::established && owner->datagrams)) {
    owner->queue.add_destination(event.param.ud);
  }
}

}  // namespace hawser::fuzz
