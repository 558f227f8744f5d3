#include "stack/engine.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace hawser::stack {
namespace {

using namespace std::chrono_literals;

constexpr auto liveness_bound = 30s;

// Notes who receives. Readable, like a socket, from arrive() until somebody called receive().
class NotingFabric final : public fabric::Fabric {
 public:
  ~NotingFabric() override { close(fd_); }
  void arrive() {
    const std::uint64_t one = 1;
    ASSERT_EQ(write(fd_, &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }
  // The thread that took the next arrival.
  std::thread::id next_receiver() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, liveness_bound, [&] { return !receivers_.empty(); })) << "nobody received";
    if (receivers_.empty()) return {};
    const auto who = receivers_.front();
    receivers_.erase(receivers_.begin());
    return who;
  }

  std::size_t send(std::span<const fabric::OutDatagram> datagrams) override { return datagrams.size(); }
  std::size_t receive(std::span<fabric::InDatagram>) override {
    std::uint64_t count = 0;
    if (read(fd_, &count, sizeof count) == static_cast<ssize_t>(sizeof count)) {
      const std::lock_guard lock(mutex_);
      receivers_.push_back(std::this_thread::get_id());
      changed_.notify_all();
    }
    return 0;
  }
  [[nodiscard]] int poll_fd() const override { return fd_; }
  [[nodiscard]] std::uint16_t source_port() const override { return roce_v2_port; }
  [[nodiscard]] fabric::Counters counters() const override { return {}; }

 private:
  const int fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::thread::id> receivers_;
};

class NoQpns final : public verbs::QpnSpace {
 public:
  Result<Qpn> allocate() override { return fail(ENOMEM); }
  void release(Qpn) override {}
};

class Flag {
 public:
  void set() {
    const std::lock_guard lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, liveness_bound, [&] { return set_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

// A thread inside Engine::wait() until release(), and whether it has settled there.
class Waiter {
 public:
  Waiter(Engine& engine, WaitKind kind)
      : thread_([this, &engine, kind] { status_ = engine.wait(kind, fd_, [this] { return looked(); }); }) {
    EXPECT_TRUE(settled_.wait()) << "the waiter did not reach its sleep";
  }
  ~Waiter() {
    release();
    close(fd_);
  }
  Status release() {
    if (!thread_.joinable()) return status_;
    released_.store(true);
    const std::uint64_t one = 1;
    EXPECT_EQ(write(fd_, &one, sizeof one), static_cast<ssize_t>(sizeof one));
    thread_.join();
    return status_;
  }
  Status join() {
    thread_.join();
    return status_;
  }
  [[nodiscard]] std::thread::id id() const { return thread_.get_id(); }
  [[nodiscard]] pthread_t native() { return thread_.native_handle(); }

 private:
  // Asked before the wait, at the top of its loop, and once more when it has its roles.
  bool looked() {
    if (++looks_ == 3) settled_.set();
    return released_.load();
  }

  const int fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::atomic<bool> released_{false};
  int looks_ = 0;
  Flag settled_;
  Status status_;
  std::thread thread_;
};

class EngineTest : public testing::Test {
 protected:
  // Posts work and returns the thread that ran it.
  std::thread::id dispatched_by() {
    Flag done;
    std::thread::id who;
    rt::Work work([&] {
      who = std::this_thread::get_id();
      done.set();
    });
    EXPECT_TRUE(dispatcher_.post(work));
    EXPECT_TRUE(done.wait()) << "nobody dispatched";
    (void)dispatcher_.cancel_sync(work);  // its function has returned, too
    return who;
  }
  std::thread::id received_by() {
    fabric_.arrive();
    return fabric_.next_receiver();
  }

  rt::World world_;
  rt::Dispatcher dispatcher_{world_};
  NotingFabric fabric_;
  verbs::DeviceTable devices_{1};
  NoQpns qpns_;
  verbs::DataPath data_path_{world_, fabric_, devices_, qpns_, roce::RcLimits{}};
  Engine engine_{{world_, dispatcher_, data_path_, fabric_, nullptr, nullptr}};
};

TEST_F(EngineTest, ServiceThreadDoesBothWhenNobodyElseDoes) {
  const auto service = dispatched_by();
  EXPECT_NE(service, std::this_thread::get_id());
  EXPECT_EQ(received_by(), service);
}

TEST_F(EngineTest, AThreadBlockedForCmEventsReceivesAndDispatches) {
  Waiter waiter(engine_, WaitKind::cm_events);
  EXPECT_EQ(dispatched_by(), waiter.id());
  EXPECT_EQ(received_by(), waiter.id());
}

TEST_F(EngineTest, AThreadBlockedForCompletionsReceivesButNeverDispatches) {  // [spec 2.3.1]
  Waiter waiter(engine_, WaitKind::completions);
  EXPECT_NE(dispatched_by(), waiter.id());
  EXPECT_EQ(received_by(), waiter.id());
}

TEST_F(EngineTest, CompletionsTakeTheSocketFromCmEvents) {
  Waiter events(engine_, WaitKind::cm_events);
  EXPECT_EQ(received_by(), events.id());
  Waiter completions(engine_, WaitKind::completions);
  EXPECT_EQ(received_by(), completions.id());
  EXPECT_EQ(received_by(), completions.id());
  EXPECT_EQ(dispatched_by(), events.id());
}

TEST_F(EngineTest, ServiceThreadTakesBackWhatAWaiterLeaves) {
  std::thread::id waited;
  {
    Waiter waiter(engine_, WaitKind::cm_events);
    waited = waiter.id();
    EXPECT_EQ(received_by(), waited);
    EXPECT_TRUE(waiter.release());
  }
  EXPECT_NE(received_by(), waited);
  EXPECT_NE(dispatched_by(), waited);
}

TEST_F(EngineTest, ServiceThreadComesBackAfterAProgramHasPolled) {
  engine_.ensure_service();
  for (int i = 0; i < 1000; ++i) engine_.progress();
  EXPECT_NE(received_by(), std::this_thread::get_id());
}

TEST_F(EngineTest, PollingReceivesInTheCallingThread) {
  fabric_.arrive();  // no service thread has been started yet
  engine_.progress();
  EXPECT_EQ(fabric_.next_receiver(), std::this_thread::get_id());
}

TEST_F(EngineTest, TimersRunWithoutAnybodyWaiting) {
  Flag done;
  rt::Timer timer([&] { done.set(); });
  dispatcher_.arm(timer, world_.now() + 5ms);
  EXPECT_TRUE(done.wait());
  (void)dispatcher_.cancel_sync(timer);
}

// Signals `waiter` until one has reached it asleep.
void interrupt(Engine& engine, Waiter& waiter) {
  const auto before = engine.counters().blocked_wakeups;
  while (engine.counters().blocked_wakeups == before) {
    pthread_kill(waiter.native(), SIGUSR1);
    std::this_thread::yield();
  }
}

// Installs a handler for a scope.
class Handler {
 public:
  explicit Handler(int flags, int number = SIGUSR1) : number_(number) {
    struct sigaction action{};
    action.sa_handler = [](int) {};
    action.sa_flags = flags;
    EXPECT_EQ(sigaction(number_, &action, &before_), 0);
  }
  ~Handler() { sigaction(number_, &before_, nullptr); }

 private:
  int number_;
  struct sigaction before_{};
};

TEST_F(EngineTest, ASignalHandlerInterruptsTheWait) {
  const Handler handler(0);
  Waiter waiter(engine_, WaitKind::completions);
  interrupt(engine_, waiter);
  EXPECT_EQ(errno_of(waiter.join()), EINTR);
}

TEST_F(EngineTest, ASignalHandlerWithRestartDoesNot) {
  const Handler handler(SA_RESTART);
  const Handler crash_reporter(0, SIGSEGV);
  Waiter waiter(engine_, WaitKind::completions);
  interrupt(engine_, waiter);
  EXPECT_EQ(errno_of(waiter.release()), 0);
}

}  // namespace
}  // namespace hawser::stack
