#include "execute.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "options.hpp"

namespace hawser::fuzz {

using cma::EventType;
using ucm::EventRecord;
using ucm::Handle;

namespace {

constexpr std::array<std::byte, 255> private_data{};

constexpr auto all_depths = std::to_array<std::string_view>({"address resolved",
                                                             "address error",
                                                             "route resolved",
                                                             "route error",
                                                             "request fetched",
                                                             "accepted",
                                                             "response fetched",
                                                             "response accepted",
                                                             "established",
                                                             "rejected",
                                                             "unreachable",
                                                             "disconnected",
                                                             "timewait exit",
                                                             "listening",
                                                             "service resolved (SIDR)",
                                                             "device removal",
                                                             "id without a device",
                                                             "address change",
                                                             "multicast joined",
                                                             "multicast left",
                                                             "services found",
                                                             "services not found",
                                                             "own event",
                                                             "moved",
                                                             "moved with events",
                                                             "closed"});

// What a call may answer. Anything else is a finding [spec 1.4, 6.2].
bool may_answer(Op op, int error) {
  constexpr std::array always{0, ENOENT, EINVAL, ENXIO};
  if (std::ranges::find(always, error) != always.end()) return true;
  const auto one_of = [error](std::initializer_list<int> errors) {
    return std::ranges::find(errors, error) != errors.end();
  };
  switch (op) {
    case Op::create_id:
    case Op::migrate_id: return error == EBADF;
    case Op::bind: return one_of({EADDRINUSE, EADDRNOTAVAIL, EACCES, ENODEV, EAFNOSUPPORT});
    case Op::resolve_addr:
      return one_of({EADDRINUSE, EADDRNOTAVAIL, EACCES, ENODEV, EAFNOSUPPORT, ENETUNREACH, EHOSTUNREACH});
    case Op::listen: return one_of({EADDRINUSE, EADDRNOTAVAIL, ENODEV});
    case Op::resolve_route:
    case Op::connect: return error == ENODEV;  // the device goes meanwhile
    case Op::set_option: return one_of({ENOSYS, EADDRINUSE, EADDRNOTAVAIL});
    case Op::resolve_service: return one_of({EOPNOTSUPP, ENODEV});
    case Op::notify: return error == EISCONN;
    case Op::join_multicast: return one_of({EOPNOTSUPP, ENODEV, EADDRNOTAVAIL});
    case Op::get_event: return error == EAGAIN;
    default: return false;
  }
}

cma::ConnParam parameter_of(const Call& call) {
  cma::ConnParam param;
  param.qpn = Qpn(call.as<std::uint32_t>(2));
  param.private_data = std::span(private_data).first(call.as<std::size_t>(3));
  param.responder_resources = param.initiator_depth = call.as<std::uint8_t>(4);
  param.retry_count = param.rnr_retry_count = call.as<std::uint8_t>(4);
  return param;
}

}  // namespace

// --- Channels
// ---------------------------------------------------------------------------------------------------------

struct ChannelPlace::Open {
  struct Bell final : ucm::Notifier {
    explicit Bell(Open& rung) : open(rung) {}
    void set_pending(bool now_pending) override {
      rt::Lock lock(open.mutex);
      open.pending = now_pending;
      open.rung.notify_all();
    }
    Open& open;
  };
  rt::Mutex mutex{rt::LockRank::engine};
  rt::CondVar rung;
  bool pending HW_GUARDED_BY(mutex) = false;
  ucm::FilePtr file = std::make_shared<ucm::File>(std::make_unique<Bell>(*this));
};

ChannelPlace::ChannelPlace(ucm::Manager& ucm) : ucm_(ucm) {
  for (auto& open : opens_) open = std::make_unique<Open>();
}
ChannelPlace::~ChannelPlace() = default;

ChannelPlace::Open& ChannelPlace::current() const { return *opens_[now_.load(std::memory_order_relaxed)]; }
ucm::FilePtr ChannelPlace::file() const { return current().file; }

std::optional<EventRecord> ChannelPlace::fetch(rt::Time deadline) {
  Open& open = current();
  for (;;) {
    if (auto event = ucm_.get_event(open.file)) return event;
    rt::Lock lock(open.mutex);
    bool in_time = true;
    while (!open.pending && in_time) in_time = open.rung.wait_until(open.mutex, deadline);
    if (!open.pending) return std::nullopt;
  }
}

bool ChannelPlace::close() {
  std::size_t now = now_.load(std::memory_order_relaxed);
  do {
    if (now + 1 == lives) return false;
  } while (!now_.compare_exchange_strong(now, now + 1, std::memory_order_relaxed));
  ucm_.close(*opens_[now]->file);
  return true;
}

void ChannelPlace::close_all() {
  for (const auto& open : opens_) ucm_.close(*open->file);
}

// --- Calls
// ------------------------------------------------------------------------------------------------------------

Executor::Executor(Machine machine) : machine_(std::move(machine)) {
  for (std::size_t i = 0; i < channels_per_host; ++i) channels_.push_back(std::make_unique<ChannelPlace>(machine_.ucm));
}

void Executor::close_all() {
  for (const auto& channel : channels_) channel->close_all();
}

ucm::FilePtr Executor::file(const Call& call, std::size_t argument) {
  return channels_[call.as<std::size_t>(argument)]->file();
}
Handle Executor::id(const Call& call, std::size_t argument) const {
  return ids_[call.as<std::size_t>(argument)].load(std::memory_order_relaxed);
}

void Executor::run(const Thread& thread, Diary& diary) {
  for (const Call& call : thread.calls) {
    const Outcome error = execute(call, diary);
    ++diary.calls[{call.op, error}];
    if (!may_answer(call.op, error) && diary.wrong.empty()) {
      diary.wrong = fmt::format("{} answers {}", text_of(call), std::strerror(error));
    }
    if (error == ENXIO) ++diary.reached["id without a device"];
  }
}

Executor::Outcome Executor::execute(const Call& call, Diary& diary) {
  ucm::Manager& ucm = machine_.ucm;
  switch (call.op) {
    case Op::create_id: return create_id(call, diary);
    case Op::destroy_id: return destroy_id(call, diary);
    case Op::bind:
      return errno_of(ucm.bind(*file(call), id(call), machine_.address(call.as<Place>(2), call.as<std::uint16_t>(3))));
    case Op::resolve_addr: return resolve_addr(call);
    case Op::resolve_service:
      return errno_of(ucm.resolve_service(*file(call), id(call), {.name = "service", .id = {}}));
    case Op::query_services: return errno_of(ucm.query_services(*file(call), id(call)));
    case Op::resolve_route:
      return errno_of(ucm.resolve_route(*file(call), id(call), std::chrono::milliseconds(call.value(2))));
    case Op::query_route: return errno_of(ucm.query_route(*file(call), id(call)));
    case Op::connect: return connect(call);
    case Op::listen: {
      const Outcome error = errno_of(ucm.listen(*file(call), id(call), call.as<int>(2)));
      if (error == 0) ++diary.reached["listening"];
      return error;
    }
    case Op::accept: return accept(call, diary);
    case Op::accept_response: {
      const Outcome error = errno_of(ucm.accept_response(*file(call), id(call)));
      if (error == 0) ++diary.reached["response accepted"];
      return error;
    }
    case Op::reject:
      return errno_of(ucm.reject(*file(call), id(call), call.as<std::uint16_t>(2),
                                 std::span(private_data).first(call.as<std::size_t>(3))));
    case Op::disconnect: return errno_of(ucm.disconnect(*file(call), id(call)));
    case Op::init_qp_attr: return errno_of(ucm.init_qp_attr(*file(call), id(call), call.as<cm::QpTarget>(2)));
    case Op::get_event: return get_event(call, diary);
    case Op::set_option: return set_option(call);
    case Op::notify: return errno_of(ucm.notify(*file(call), id(call), call.as<int>(2)));
    case Op::join_multicast: return join_multicast(call, diary);
    case Op::leave_multicast: return leave_multicast(call, diary);
    case Op::migrate_id: return migrate_id(call, diary);
    case Op::write_event: return errno_of(ucm.write_event(*file(call), id(call), 0, call.as<EventType>(2), -1, 42));
    case Op::set_qp: return errno_of(ucm.set_qp(*file(call), id(call), Qpn(call.as<std::uint32_t>(2)), false));
    case Op::close:
      if (channels_[call.as<std::size_t>(0)]->close()) ++diary.reached["closed"];
      return 0;
    case Op::happen: machine_.happen(call.as<Happening>(0)); return 0;
    case Op::pause: machine_.pause(std::chrono::milliseconds(call.value(0))); return 0;
    default: return 0;  // C programs have it
  }
  return 0;
}

Executor::Outcome Executor::create_id(const Call& call, Diary& diary) {
  const std::uint64_t uid = next_uid_.fetch_add(1, std::memory_order_relaxed);
  const auto made = machine_.ucm.create_id(file(call), uid, call.as<cma::PortSpace>(2), call.as<cma::QpType>(3));
  if (!made) return errno_of(made);
  diary.given.push_back({*made, uid});
  ids_[call.as<std::size_t>(1)].store(*made, std::memory_order_relaxed);
  return 0;
}

Executor::Outcome Executor::destroy_id(const Call& call, Diary& diary) {
  const Handle handle = id(call);
  const auto reported = machine_.ucm.destroy_id(*file(call), handle);
  if (!reported) return errno_of(reported);
  diary.destroyed.push_back({handle, *reported});
  return 0;
}

Executor::Outcome Executor::resolve_addr(const Call& call) {
  const Place from = call.as<Place>(2);
  const SocketAddress source = machine_.address(from, 0);
  const SocketAddress destination = machine_.address(call.as<Place>(3), call.as<std::uint16_t>(4));
  return errno_of(machine_.ucm.resolve_addr(*file(call), id(call), from == Place::unset ? nullptr : &source,
                                            destination, std::chrono::milliseconds(call.value(5))));
}

Executor::Outcome Executor::connect(const Call& call) {
  return errno_of(machine_.ucm.connect(*file(call), id(call), parameter_of(call)));
}

Executor::Outcome Executor::accept(const Call& call, Diary& diary) {
  const Handle handle = id(call);
  const std::uint64_t uid = next_uid_.fetch_add(1, std::memory_order_relaxed);
  diary.given.push_back({handle, uid});  // before an event can carry it
  const Outcome error = errno_of(machine_.ucm.accept(*file(call), handle, uid, parameter_of(call)));
  if (error == 0) ++diary.reached["accepted"];
  return error;
}

Executor::Outcome Executor::set_option(const Call& call) {
  const OptionArgument option = option_of(call.as<Setting>(2));
  return errno_of(machine_.ucm.set_option(*file(call), id(call), option.level, option.name, option.value));
}

Executor::Outcome Executor::join_multicast(const Call& call, Diary& diary) {
  const std::uint64_t uid = next_uid_.fetch_add(1, std::memory_order_relaxed);
  const auto joined =
      machine_.ucm.join_multicast(*file(call), id(call), machine_.address(call.as<Place>(2), 0), uid, call.as<int>(4));
  if (!joined) return errno_of(joined);
  diary.given.push_back({*joined, uid});
  members_[call.as<std::size_t>(3)].store(*joined, std::memory_order_relaxed);
  return 0;
}

Executor::Outcome Executor::leave_multicast(const Call& call, Diary& diary) {
  const Handle handle = members_[call.as<std::size_t>(1)].load(std::memory_order_relaxed);
  const auto reported = machine_.ucm.leave_multicast(*file(call), handle);
  if (!reported) return errno_of(reported);
  diary.left.push_back({handle, *reported});
  ++diary.reached["multicast left"];
  return 0;
}

Executor::Outcome Executor::migrate_id(const Call& call, Diary& diary) {
  const ucm::FilePtr from = file(call, 1);
  const auto moved = machine_.ucm.migrate_id(file(call, 0), *from, id(call, 2));
  if (!moved) return errno_of(moved);
  ++diary.reached["moved"];
  if (file(call, 0)->pending()) ++diary.reached["moved with events"];
  return 0;
}

Executor::Outcome Executor::get_event(const Call& call, Diary& diary) {
  const rt::Duration patience = std::min<rt::Duration>(std::chrono::milliseconds(call.value(2)), machine_.patience_max);
  const rt::Time deadline = machine_.world.now() + patience;
  const auto event = channels_[call.as<std::size_t>(0)]->fetch(deadline);
  if (!event) return EAGAIN;
  note_event(*event, diary);
  if (event->type == EventType::connect_request) {
    ids_[call.as<std::size_t>(1)].store(event->id, std::memory_order_relaxed);
  }
  return 0;
}

void Executor::note_event(const EventRecord& event, Diary& diary) {
  diary.fetched.push_back({event.type, event.status, event.id, event.owner, event.multicast, event.uid});
  ++diary.reached[depth_of(event.type, event.ud.qpn.value != 0)];
}

std::span<const std::string_view> depths() { return all_depths; }

}  // namespace hawser::fuzz
