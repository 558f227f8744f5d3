#include "stack/engine.hpp"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include <boost/container/static_vector.hpp>

#include "base/assert.hpp"
#include "runtime/sync.hpp"
#include "stack/sleeper.hpp"

namespace hawser::stack {
namespace {

// How long after a holder left, or last polled, the service thread takes a role back (DESIGN 1: within a millisecond).
constexpr std::chrono::nanoseconds takeover_delay = std::chrono::milliseconds(1);
// Datagrams a data-path call takes at most before it returns to its program, and a sleeper before it looks around.
constexpr std::size_t progress_budget = 32;
constexpr std::size_t sleeper_budget = 256;

// ppoll() is never restarted after a signal handler; the kernel's calls that we stand for are, if the handler was
// installed with SA_RESTART. Which handler ran is not known: the wait ends if any of the program's would have ended it.
bool some_handler_ends_waits() {
  for (int number = 1; number < NSIG; ++number) {
    // Handlers of what the thread itself does wrong (crash reporters): a thread that sleeps does nothing wrong.
    constexpr std::array faults{SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGABRT};
    if (std::ranges::find(faults, number) != faults.end()) continue;
    struct sigaction action{};
    if (sigaction(number, nullptr, &action) != 0) continue;
    if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) continue;
    if ((action.sa_flags & SA_RESTART) == 0) return true;
  }
  return false;
}

// The two things that somebody must always be awake for, or sleeping on.
enum Role : std::uint8_t {
  receiving = 1,    // the socket and the RC timers
  dispatching = 2,  // the dispatcher's work and timers, the agent, the network
};

}  // namespace

struct Engine::Impl {
  explicit Impl(Sources s) : sources(std::move(s)) {
    takeover_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    HW_ASSERT(takeover_fd >= 0, "engine-no-timer-descriptor");
  }
  ~Impl() { close(takeover_fd); }

  struct Holder {
    Sleeper* sleeper{};  // nullptr: nobody
    bool may_be_robbed{};
  };

  // --- roles ---
  std::uint8_t acquire(Sleeper& me, WaitKind kind, std::uint8_t wanted);
  std::uint8_t acquire_for_service();
  void leave(const Sleeper& me, std::uint8_t roles);
  // --- work ---
  // False if another thread has the lease. `busy`: set if there was anything.
  bool receive(std::size_t budget, bool* busy = nullptr);
  // Whether anything may have run.
  bool dispatch(const std::function<bool()>& until);
  void poll_outside();
  [[nodiscard]] rt::Time deadline_of(std::uint8_t roles) const;
  // --- waking ---
  void wake_dispatcher();
  void wake_receiver();
  void arm_takeover();
  void publish();
  void kick_if_needed(Role role, rt::Time deadline);
  // Sleeps until a descriptor of `roles`, `own_fd`, or the sleeper's kick is ready, or a deadline of `roles` has come.
  // Returns ppoll's errno (0 or EINTR).
  int sleep(Sleeper& me, std::uint8_t roles, int own_fd, bool with_takeover_timer);
  Status simulate_until(const std::function<bool()>& ready);
  // --- the service thread ---
  void ensure_service();
  void service();

  Sources sources;
  std::atomic<bool> lease{false};  // held while somebody is inside DataPath::receive() or on_time()
  std::atomic<std::uint64_t> polls{0};
  std::atomic<bool> outside_ready{true};  // the agent or the network have something to say
  std::atomic<bool> outside_busy{false};
  std::atomic<std::uint64_t> service_wakeups{0}, blocked_wakeups{0}, dispatches{0};

  rt::Mutex mutex{rt::LockRank::engine};
  Holder receiver HW_GUARDED_BY(mutex);
  Holder dispatcher HW_GUARDED_BY(mutex);
  std::vector<std::unique_ptr<Sleeper>> spare_sleepers HW_GUARDED_BY(mutex);

  rt::Mutex publish_mutex{rt::LockRank::engine};  // never held together with `mutex`

  int takeover_fd = -1;
  std::atomic<bool> takeover_armed{false};
  // Whether the program fetches its CM events by blocking in them: then work that it posts can wait for it a moment.
  std::atomic<bool> program_blocks_for_events{false};

  std::atomic<bool> service_started{false};
  std::atomic<bool> stop{false};
  Sleeper service_sleeper;
  std::uint64_t polls_seen = 0;  // service thread only
  std::thread service_thread;
};

// A waiter for completions takes the receiver's role from everybody who cannot use what arrives at once; a waiter for
// CM events takes what only the service thread holds. Whoever is robbed while asleep notices at its next wake-up.
std::uint8_t Engine::Impl::acquire(Sleeper& me, WaitKind kind, std::uint8_t wanted) {
  rt::Lock lock(mutex);
  const bool completions = kind == WaitKind::completions;
  std::uint8_t roles = 0;
  const bool receiver_free = receiver.sleeper == nullptr || receiver.sleeper == &me ||
                             receiver.sleeper == &service_sleeper || (completions && receiver.may_be_robbed);
  if ((wanted & receiving) && receiver_free) {
    receiver = {&me, !completions};
    roles |= receiving;
  }
  const bool dispatcher_free =
      dispatcher.sleeper == nullptr || dispatcher.sleeper == &me || dispatcher.sleeper == &service_sleeper;
  if (!completions && dispatcher_free) {
    dispatcher = {&me, false};
    roles |= dispatching;
  }
  return roles;
}

std::uint8_t Engine::Impl::acquire_for_service() {
  const std::uint64_t polls_now = polls.load();
  const bool program_polls = polls_now != polls_seen;  // it receives itself: stay out of its way for a moment
  polls_seen = polls_now;
  rt::Lock lock(mutex);
  std::uint8_t roles = 0;
  if (receiver.sleeper == nullptr && !program_polls) receiver = {&service_sleeper, true};
  if (receiver.sleeper == &service_sleeper && program_polls) receiver = {};
  if (receiver.sleeper == &service_sleeper) roles |= receiving;
  if (dispatcher.sleeper == nullptr) dispatcher = {&service_sleeper, true};
  if (dispatcher.sleeper == &service_sleeper) roles |= dispatching;
  return roles;
}

void Engine::Impl::leave(const Sleeper& me, std::uint8_t roles) {
  bool left_something = false;
  {
    rt::Lock lock(mutex);
    for (auto [holder, role] : {std::pair{&receiver, receiving}, std::pair{&dispatcher, dispatching}}) {
      if ((roles & role) == 0 || holder->sleeper != &me) continue;
      *holder = {};
      left_something = true;
    }
  }
  if (left_something) arm_takeover();
}

bool Engine::Impl::receive(std::size_t budget, bool* busy) {
  if (lease.exchange(true, std::memory_order_acquire)) return false;
  bool any = sources.data_path.receive(budget) > 0;
  if (sources.data_path.next_deadline() != rt::time_never) {
    const rt::Time now = sources.world.now();
    if (sources.data_path.next_deadline() <= now) {
      sources.data_path.on_time(now);
      any = true;
    }
  }
  if (busy != nullptr) *busy = any;
  lease.store(false, std::memory_order_release);
  return true;
}

// One thread at a time; who robbed the role of another may come while that one is still here.
void Engine::Impl::poll_outside() {
  if (!outside_ready.load() || outside_busy.exchange(true, std::memory_order_acquire)) return;
  outside_ready.store(false);
  if (sources.agent != nullptr) sources.agent->poll();
  if (sources.network != nullptr) sources.network->poll();
  if (sources.read_reports) sources.read_reports();
  outside_busy.store(false, std::memory_order_release);
}

bool Engine::Impl::dispatch(const std::function<bool()>& until) {
  poll_outside();
  if (sources.dispatcher.next_deadline() > sources.world.now()) return false;
  dispatches.fetch_add(1, std::memory_order_relaxed);
  return sources.dispatcher.run(until);
}

rt::Time Engine::Impl::deadline_of(std::uint8_t roles) const {
  rt::Time deadline = rt::time_never;
  if (roles & receiving) deadline = std::min(deadline, sources.data_path.next_deadline());
  if (roles & dispatching) deadline = std::min(deadline, sources.dispatcher.next_deadline());
  return deadline;
}

void Engine::Impl::kick_if_needed(Role role, rt::Time deadline) {
  Sleeper* sleeper = nullptr;
  {
    rt::Lock lock(mutex);
    Holder& holder = role == receiving ? receiver : dispatcher;
    sleeper = holder.sleeper;
    // Kicked under the mutex: a Sleeper of a blocked thread is not reused before its thread has left its roles.
    if (sleeper != nullptr && sleeper->sleeps_past(deadline)) {
      const bool can_wait = sleeper == &service_sleeper && role == dispatching && program_blocks_for_events.load();
      if (!can_wait) {
        sleeper->kick();
        return;
      }
      sleeper = nullptr;
    }
  }
  if (sleeper == nullptr) arm_takeover();
}

void Engine::Impl::wake_dispatcher() {
  if (sources.simulate) return;
  ensure_service();
  kick_if_needed(dispatching, sources.dispatcher.next_deadline());
}

void Engine::Impl::wake_receiver() {
  if (sources.simulate) return;
  ensure_service();
  kick_if_needed(receiving, sources.data_path.next_deadline());
}

void Engine::Impl::arm_takeover() {
  if (takeover_armed.exchange(true)) return;
  const itimerspec in_a_moment{{0, 0}, {0, takeover_delay.count()}};
  timerfd_settime(takeover_fd, 0, &in_a_moment, nullptr);
}

// Whoever is about to sleep shows what was counted until now. Under a mutex, so that older values never come last.
void Engine::Impl::publish() {
  if (!sources.publish) return;
  rt::Lock lock(publish_mutex);
  sources.publish();
}

int Engine::Impl::sleep(Sleeper& me, std::uint8_t roles, int own_fd, bool with_takeover_timer) {
  publish();
  me.plan(rt::time_never);  // public before the deadlines are read: work that comes in between kicks
  const rt::Time deadline = deadline_of(roles);
  me.plan(deadline);

  boost::container::static_vector<pollfd, 7> descriptors;
  descriptors.push_back({me.fd(), POLLIN, 0});
  if (own_fd >= 0) descriptors.push_back({own_fd, POLLIN, 0});
  if (with_takeover_timer) descriptors.push_back({takeover_fd, POLLIN, 0});
  if (roles & receiving) descriptors.push_back({sources.fabric.poll_fd(), POLLIN, 0});
  const std::size_t first_outside = descriptors.size();
  if (roles & dispatching) {
    if (sources.agent != nullptr) descriptors.push_back({sources.agent->poll_fd(), POLLIN, 0});
    if (sources.network != nullptr) descriptors.push_back({sources.network->poll_fd(), POLLIN, 0});
    if (const int reports = sources.report_fd ? sources.report_fd() : -1; reports >= 0) {
      descriptors.push_back({reports, 0, 0});  // POLLERR is not asked for
    }
  }
  timespec timeout{};
  const timespec* limit = nullptr;
  if (deadline != rt::time_never) {
    const auto left = std::max(rt::Duration::zero(), rt::Duration(deadline - sources.world.now()));
    timeout = {static_cast<time_t>(left.count() / 1'000'000'000), static_cast<long>(left.count() % 1'000'000'000)};
    limit = &timeout;
  }
  const int ready = ppoll(descriptors.data(), descriptors.size(), limit, nullptr);
  const int error = ready < 0 ? errno : 0;
  me.awake();
  if (ready <= 0) return error;
  if (descriptors[0].revents != 0) me.drain();
  for (std::size_t i = first_outside; i < descriptors.size(); ++i) {
    if (descriptors[i].revents != 0) outside_ready.store(true);
  }
  return 0;
}

void Engine::Impl::ensure_service() {
  if (sources.simulate) return;
  if (service_started.load(std::memory_order_acquire) || service_started.exchange(true)) return;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // the program's signals are for the program's threads
  service_thread = std::thread([this] { service(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Engine::Impl::service() {
  pthread_setname_np(pthread_self(), "hawser");
  while (!stop.load()) {
    const std::uint8_t roles = acquire_for_service();
    const bool busy_elsewhere = (roles & receiving) != 0 && !receive(sleeper_budget);
    if (roles & dispatching) dispatch([this] { return stop.load(); });
    // A program that polls holds the lease, or took the role: look again after a moment, not at each datagram.
    const std::uint8_t sleep_roles = busy_elsewhere ? roles & dispatching : roles;
    if ((sleep_roles & receiving) == 0) {
      rt::Lock lock(mutex);
      if (receiver.sleeper == nullptr || receiver.sleeper == &service_sleeper) arm_takeover();
    }
    sleep(service_sleeper, sleep_roles, -1, true);
    service_wakeups.fetch_add(1, std::memory_order_relaxed);
    std::uint64_t expirations = 0;
    if (read(takeover_fd, &expirations, sizeof expirations) == static_cast<ssize_t>(sizeof expirations)) {
      takeover_armed.store(false);
    }
  }
}

Engine::Engine(Sources sources) : impl_(std::make_unique<Impl>(std::move(sources))) {
  impl_->sources.dispatcher.set_notify([this] { impl_->wake_dispatcher(); });
  impl_->sources.data_path.set_timer_notify([this] { impl_->wake_receiver(); });
}

Engine::~Engine() {
  impl_->stop.store(true);
  impl_->service_sleeper.kick();
  if (impl_->service_thread.joinable()) impl_->service_thread.join();
}

void Engine::progress() {
  impl_->polls.store(impl_->polls.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  impl_->receive(progress_budget);
}

void Engine::ensure_service() { impl_->ensure_service(); }

bool Engine::poll() {
  bool received = false;
  impl_->receive(sleeper_budget, &received);
  impl_->outside_ready.store(true);
  return impl_->dispatch({}) || received;
}

Status Engine::Impl::simulate_until(const std::function<bool()>& ready) {
  if (sources.dispatcher.on_dispatching_thread()) return fail(EDEADLK);
  while (!ready()) {
    if (!sources.simulate()) return fail(EDEADLK);
  }
  return {};
}

Status Engine::wait(WaitKind kind, int fd, const std::function<bool()>& ready) {
  if (ready()) return {};
  if (impl_->sources.simulate) return impl_->simulate_until(ready);
  impl_->ensure_service();
  if (kind == WaitKind::cm_events) impl_->program_blocks_for_events.store(true);
  std::unique_ptr<Sleeper> me;
  {
    rt::Lock lock(impl_->mutex);
    if (!impl_->spare_sleepers.empty()) {
      me = std::move(impl_->spare_sleepers.back());
      impl_->spare_sleepers.pop_back();
    }
  }
  if (!me) me = std::make_unique<Sleeper>();

  int error = 0;
  std::uint8_t wanted = receiving | dispatching;
  std::uint64_t polls_seen = impl_->polls.load();
  while (!ready() && error == 0) {
    const std::uint8_t roles = impl_->acquire(*me, kind, wanted);
    const bool lease_busy = (roles & receiving) != 0 && !impl_->receive(sleeper_budget);
    if (roles & dispatching) impl_->dispatch(ready);
    if (ready()) break;
    // Another thread of the program polls: it receives for us, and a second sleeper on the socket is only woken in
    // vain. Otherwise whoever has the lease is about to put it down.
    if (impl_->polls.load() != polls_seen) {
      wanted = dispatching;
      impl_->leave(*me, receiving);
    } else if (lease_busy) {
      std::this_thread::yield();
      continue;
    }
    error = impl_->sleep(*me, roles & wanted, fd, false);
    if (error == EINTR && !some_handler_ends_waits()) error = 0;
    impl_->blocked_wakeups.fetch_add(1, std::memory_order_relaxed);
  }
  impl_->leave(*me, receiving | dispatching);
  {
    rt::Lock lock(impl_->mutex);
    impl_->spare_sleepers.push_back(std::move(me));
  }
  if (error != 0 && !ready()) return fail(error);
  return {};
}

EngineCounters Engine::counters() const {
  return {impl_->polls.load(), impl_->service_wakeups.load(), impl_->blocked_wakeups.load(), impl_->dispatches.load()};
}

}  // namespace hawser::stack
