#include "agent/daemon.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "agent/memberships.hpp"
#include "agent/port_holder.hpp"
#include "base/log.hpp"

namespace hawser::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// How long a slot's ids rest after its connections have ended: longer than any timewait of ours (512 ms).
constexpr auto slot_rest = seconds(1);
// How long an agent that nobody uses stays: somebody who started it is on his way.
constexpr auto idle_grace = seconds(1);
constexpr auto adopting_patience = seconds(3);
constexpr auto restoring_patience = seconds(2);

[[nodiscard]] std::int64_t to_ns(rt::Time time) { return time.time_since_epoch().count(); }

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;  // a slot is two descriptors, and two more in flight
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

// Whether they can be the group of an agent of ours that was killed: it has several sockets, other programs rarely.
[[nodiscard]] bool may_be_orphans(const std::vector<PortHolder>& holders) {
  const auto ours = std::ranges::count_if(holders, [](const PortHolder& holder) { return holder.uid == geteuid(); });
  return ours >= sockets_per_step;
}

}  // namespace

Daemon::Daemon(Descriptor listener, Descriptor epoll)
    : listener_(std::move(listener)), epoll_(std::move(epoll)), reserve_(reserve_descriptor()) {}

int Daemon::run(const Ready& ready) {
  raise_descriptor_limit();
  // The name first: it decides between two agents that start at once.
  auto listener = listen_as_agent();
  if (!listener) {
    ready(errno_of(listener) == EADDRINUSE ? EEXIST : errno_of(listener),
          errno_of(listener) == EADDRINUSE ? "" : "the agent cannot listen: " + listener.error().message());
    return 1;
  }
  Descriptor epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) {
    ready(errno, "the agent cannot start: epoll_create1 failed");
    return 1;
  }
  Daemon daemon(std::move(*listener), std::move(epoll));
  auto group = SocketGroup::create();
  if (group) {
    daemon.serve(std::move(*group));
  } else {
    const auto holders = port_holders(roce_v2_port);
    daemon.why_not_ = errno_of(group) == EADDRINUSE ? explain_port_holders(holders, roce_v2_port)
                                                    : "the agent cannot open UDP port 4791: " + group.error().message();
    if (errno_of(group) != EADDRINUSE || !may_be_orphans(holders)) {
      ready(errno_of(group), daemon.why_not_);
      return 1;
    }
    // Perhaps processes whose agent was killed: they come with the old group's sockets.
    daemon.adopting_until_ = daemon.world_.now() + adopting_patience;
  }
  daemon.idle_since_ = daemon.world_.now();
  daemon.subscribe(Source::listener, 0, daemon.listener_.get(), EPOLLIN);
  ready(0, "");
  return daemon.loop();
}

int Daemon::loop() {
  std::array<epoll_event, 64> events{};
  while (!may_leave(world_.now())) {
    const rt::Time now = world_.now();
    const rt::Time deadline = next_deadline();
    int timeout = -1;
    if (deadline != rt::time_never) {
      const auto wait = std::chrono::ceil<milliseconds>(std::max(deadline - now, rt::Duration(0)));
      timeout = static_cast<int>(std::min<milliseconds::rep>(wait.count(), 60'000));
    }
    const int n = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
    for (int i = 0; i < n; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      dispatch(static_cast<Source>(event.data.u64 >> 32), static_cast<std::uint32_t>(event.data.u64), event.events);
    }
    on_time(world_.now());
    steer_to_listeners();
  }
  return 0;
}

void Daemon::dispatch(Source source, std::uint32_t number, std::uint32_t events) {
  switch (source) {
    case Source::listener: return accept_sessions();
    case Source::session: {
      const auto found = sessions_.find(number);
      if (found == sessions_.end()) return;  // ended by an earlier event of this round
      if ((events & EPOLLOUT) != 0) flush(found->second);
      if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) read_session(number);
      return;
    }
    case Source::process: return bury(number);
    case Source::door: return read_door(world_.now());
    case Source::grave: (void)read_grave(number); return;
    case Source::questions: return read_questions(number);
  }
}

bool Daemon::may_leave(rt::Time now) const {
  if (!sessions_.empty() || !processes_.empty()) return false;
  if (undertaker_ && !undertaker_->idle()) return false;
  if (!group_) return now >= adopting_until_;
  return now >= idle_since_ + idle_grace || idle_since_ == rt::Time();
}

rt::Time Daemon::next_deadline() const {
  rt::Time next = std::min({adopting_until_, restoring_until_, listen_again_at_});
  if (undertaker_) next = std::min(next, undertaker_->next_deadline());
  if (group_) {
    if (const auto expiry = group_->leases().next_expiry()) next = std::min(next, rt::Time(rt::Duration(*expiry)));
  }
  if (sessions_.empty() && processes_.empty() && idle_since_ != rt::Time()) {
    next = std::min(next, rt::Time(idle_since_ + idle_grace));
  }
  return next;
}

void Daemon::on_time(rt::Time now) {
  if (now >= listen_again_at_) {
    listen_again_at_ = rt::time_never;
    subscribe(Source::listener, 0, listener_.get(), EPOLLIN);
  }
  if (!group_) {
    if (now >= adopting_until_) give_up_adopting();
    return;
  }
  if (restoring_ && (now >= restoring_until_ ||
                     std::ranges::all_of(processes_, [](const auto& entry) { return entry.second.restored; }))) {
    finish_restoring();
  }
  undertaker_->on_time(now);
  for (const std::uint32_t slot : undertaker_->finished(now)) inter(slot, now);
  std::vector<std::uint32_t> freed;
  (void)group_->leases().expire(to_ns(now), freed);  // they were not steered any more: the program stays
}

// ---- the group

void Daemon::serve(SocketGroup group) {
  group_.emplace(std::move(group));
  door_ = std::make_unique<fabric::UdpFabric>(group_->socket(0));
  undertaker_.emplace(*door_);
  doorman_.emplace(*door_, group_->leases(), connections_, ports_,
                   [this](std::uint32_t slot, const fabric::InDatagram& datagram) { return relay(slot, datagram); });
  adopting_until_ = rt::time_never;
  if (!restoring_) subscribe(Source::door, 0, group_->socket(0), EPOLLIN);
}

// The door stays shut, and newcomers wait, until the processes of the dead agent have said what they have: a request
// for a listener that is not known yet must not be rejected.
void Daemon::adopt(SocketGroup group, rt::Time now) {
  restoring_ = true;
  restoring_until_ = now + restoring_patience;
  serve(std::move(group));
  LeaseTable& leases = group_->leases();
  for (std::uint32_t slot = 1; slot < group_->size(); ++slot) {
    const LeaseState state = leases.state(slot);
    if (state != LeaseState::live && state != LeaseState::dead) continue;
    Process process;
    process.slot = slot;
    process.pid = leases.pid(slot);
    process.restored = false;
    process.program = "?";
    auto ledger = LedgerView::map(group_->ledger(slot));
    if (!ledger) continue;
    process.ledger = std::make_unique<LedgerView>(std::move(*ledger));
    Process& kept = processes_.emplace(slot, std::move(process)).first->second;
    connections_.add(slot, *kept.ledger);
    // Of a process in another pid namespace nothing can be seen: it has until the end of the restoring to come back.
    auto pidfd = pidfd_of(kept.pid);
    if (pidfd) watch(kept, std::move(*pidfd));
    if (state == LeaseState::dead || (kept.pid > 0 && !pidfd)) bury(slot);
  }
  steer();
}

void Daemon::finish_restoring() {
  restoring_ = false;
  restoring_until_ = rt::time_never;
  std::vector<std::uint32_t> lost;
  for (auto& [slot, process] : processes_) {
    process.restored = true;
    if (process.session == 0 && !process.pidfd) lost.push_back(slot);
  }
  for (const std::uint32_t slot : lost) bury(slot);
  subscribe(Source::door, 0, group_->socket(0), EPOLLIN);
  std::vector<std::uint64_t> held;
  for (auto& [id, session] : sessions_) {
    if (session.held) held.push_back(id);
  }
  for (const std::uint64_t id : held) {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) continue;
    Session& session = found->second;
    session.held = false;
    subscribe(Source::session, static_cast<std::uint32_t>(id), session.channel.get(), EPOLLIN);
    if (session.first.empty()) continue;
    std::vector<std::byte> message = std::exchange(session.first, {});
    on_message(session, message, {});
  }
}

void Daemon::give_up_adopting() {
  adopting_until_ = rt::Time();  // whoever comes now is told at once
  for (auto& [id, session] : sessions_) {
    if (session.first.empty()) continue;
    const auto reader = MessageReader::open(session.first);
    if (reader) reply(session, reader->sequence(), EADDRINUSE, why_not_);
  }
  sessions_.clear();
}

void Daemon::steer() {
  if (auto status = group_->steer(direct_); !status)
    log::error("cannot steer UDP port 4791: {}", status.error().message());
}

// Once a turn, however many have begun or ceased to listen in it; not before all listeners have come back.
void Daemon::steer_to_listeners() {
  if (!group_ || restoring_ || !ports_.listeners_changed()) return;
  ports_.settle();
  direct_ = direct_services();
  steer();
  for (const Answer& answer : std::exchange(answers_, {})) {
    if (const auto session = sessions_.find(answer.session); session != sessions_.end()) {
      reply(session->second, answer.sequence, answer.error);
    }
  }
}

// A request may be the duplicate of one that another process has taken, which then ceased to listen. As long as another
// has an id on that port, the doorman decides whose a request is.
std::vector<ServiceOwner> Daemon::direct_services() const {
  std::vector<ServiceOwner> services = ports_.sole_listeners();
  if (services.empty()) return services;
  std::set<std::uint32_t> shared;
  cm::LedgerRecord record{};
  for (const auto& [slot, process] : processes_) {
    for (std::uint32_t i = 0; i < process.ledger->size(); ++i) {
      if (!process.ledger->read(i, record)) continue;
      const std::uint32_t service = std::uint32_t{record.port_space} << 16 | record.source_port;
      const auto found = std::ranges::lower_bound(services, service, {}, &ServiceOwner::service);
      if (found != services.end() && found->service == service && found->slot != slot) shared.insert(service);
    }
  }
  std::erase_if(services, [&shared](const ServiceOwner& owner) { return shared.contains(owner.service); });
  return services;
}

// ---- processes

Result<std::uint32_t> Daemon::new_slot(const Peer& peer, const std::string& program) {
  LeaseTable& leases = group_->leases();
  auto slot = leases.lease_slot(group_->size(), peer.pid);
  if (!slot) {
    if (auto grown = group_->grow(); !grown) return fail(grown.error());
    slot = leases.lease_slot(group_->size(), peer.pid);
    if (!slot) return fail(EMFILE);
  }
  if (Status occupied = occupy(*slot, peer, program); !occupied) {
    leases.give_back(*slot);
    return fail(occupied.error());
  }
  steer();
  return *slot;
}

Status Daemon::occupy(std::uint32_t slot, const Peer& peer, const std::string& program) {
  if (!group_->leases().lease_chunk(slot)) return fail(ENOMEM);
  clear_ledger(group_->ledger(slot));
  group_->drain(slot);
  auto ledger = LedgerView::map(group_->ledger(slot));
  if (!ledger) return fail(ledger.error());
  Process process;
  process.slot = slot;
  process.pid = peer.pid;
  process.program = program;
  process.ledger = std::make_unique<LedgerView>(std::move(*ledger));
  Process& kept = processes_.insert_or_assign(slot, std::move(process)).first->second;
  connections_.add(slot, *kept.ledger);
  return {};
}

// The end of its session tells of most ends, but a child that it made may hold that open.
void Daemon::watch(Process& process, Descriptor pidfd) {
  process.pidfd = std::move(pidfd);
  subscribe(Source::process, process.slot, process.pidfd.get(), EPOLLIN);
}

Result<Descriptor> Daemon::open_event_channel(Process& process) {
  auto pair = make_channel_pair();
  if (!pair) return fail(pair.error());
  const int bytes = 1 << 20;  // as much as the system allows: requests come in bursts
  (void)setsockopt(pair->ours.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  process.event = std::move(pair->ours);
  subscribe(Source::questions, process.slot, process.event.get(), EPOLLIN);
  return std::move(pair->theirs);
}

// A process is gone: its ports are free at once, its connections get their last words.
void Daemon::bury(std::uint32_t slot) {
  const auto found = processes_.find(slot);
  if (found == processes_.end()) return;
  Process process = std::move(found->second);
  processes_.erase(found);
  if (process.pidfd) unsubscribe(process.pidfd.get());
  if (const auto session = sessions_.find(process.session); session != sessions_.end()) {
    read_last_effects(session->second);
    unsubscribe(session->second.channel.get());
    sessions_.erase(session);
  }
  ports_.release_all(slot);
  faults_.on_end(slot);
  connections_.remove(slot);
  LeaseTable& leases = group_->leases();
  leases.mark_dead(slot);
  graves_[slot] = std::make_unique<fabric::UdpFabric>(group_->socket(slot));
  leave_all_groups(*graves_[slot]);
  undertaker_->take(slot, *process.ledger, leases.chunks_of(slot), world_.now());
  subscribe(Source::grave, slot, group_->socket(slot), EPOLLIN);
  idle_since_ = rt::Time();  // the last one to go takes the agent along
}

void Daemon::inter(std::uint32_t slot, rt::Time now) {
  group_->leases().rest(slot, to_ns(now + slot_rest));
  steer_to_listeners();
  steer();  // from now on slot 0 answers for it
  while (read_grave(slot) != 0) {
  }
  unsubscribe(group_->socket(slot));
  graves_.erase(slot);
  clear_ledger(group_->ledger(slot));
}

// ---- datagrams

void Daemon::read_door(rt::Time now) {
  std::array<fabric::InDatagram, 32> batch;
  const std::size_t n = door_->receive(batch);
  for (std::size_t i = 0; i < n; ++i) doorman_->on_datagram(batch[i], now);
}

std::size_t Daemon::read_grave(std::uint32_t slot) {
  const auto grave = graves_.find(slot);
  if (grave == graves_.end()) return 0;
  std::array<fabric::InDatagram, 32> batch;
  const std::size_t n = grave->second->receive(batch);
  for (std::size_t i = 0; i < n; ++i) {
    // Requests were steered to a listener that is dead now: perhaps another one listens.
    if (!undertaker_->on_datagram(slot, batch[i])) doorman_->on_datagram(batch[i], world_.now());
  }
  return n;
}

bool Daemon::relay(std::uint32_t slot, const fabric::InDatagram& datagram) {
  const auto process = processes_.find(slot);
  if (process == processes_.end() || !process->second.event) return false;
  MessageWriter message(MessageType::relay, 0);
  message.datagram(datagram);
  return send_message(process->second.event.get(), message.bytes(), {}, MSG_DONTWAIT).has_value();
}

// ---- epoll

void Daemon::subscribe(Source source, std::uint32_t number, int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = static_cast<std::uint64_t>(source) << 32 | number;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0 && errno == EEXIST) {
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
  }
}

void Daemon::unsubscribe(int fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

std::pair<std::uint16_t, std::uint16_t> Daemon::local_port_range() {
  std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
  std::uint16_t first = 32768, last = 60999;
  if (!(file >> first >> last) || first == 0 || first > last) return {32768, 60999};
  return {first, last};
}

std::uint64_t host_identity() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string boot;
  std::getline(file, boot);
  std::uint64_t hash = 0xCBF29CE484222325;  // FNV-1a
  const auto mix = [&hash](std::uint8_t byte) { hash = (hash ^ byte) * 0x100000001B3; };
  for (const char c : boot) mix(static_cast<std::uint8_t>(c));
  struct stat space{};
  if (stat("/proc/self/ns/net", &space) == 0) {
    for (unsigned shift = 0; shift < 64; shift += 8) mix(static_cast<std::uint8_t>(space.st_ino >> shift));
  }
  return hash;
}

}  // namespace hawser::agent
