// Runs the threads of a program on the C interface, librdmacm.so.1 and libibverbs.so.1, as a program in C would. What
// is checked here holds for every program.
#pragma once

#include <pthread.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "calls_id.hpp"
#include "diary.hpp"
#include "program.hpp"

namespace hawser::fuzz {

// What a program's names mean on one host.
struct CallsMachine {
  std::function<SocketAddress(Place place, std::uint16_t port)> address;
  std::function<void(Happening happening)> happen;
  std::function<void(const std::string& wrong)> report;  // what cannot be true at the end
};

// Acknowledges events that others fetched, and wakes who waits for what nobody promised: by an event of the program's
// own, or by a signal where the id's device is gone.
class Clerk {
 public:
  static constexpr int signal_number = SIGUSR1;
  Clerk();
  ~Clerk();  // acknowledges all
  void hand_over(rdma_cm_event* event);
  // One event, now, on the calling thread: 0, or what rdma_ack_cm_event() says.
  int acknowledge();
  [[nodiscard]] const Diary& diary() const { return diary_; }  // when it has stopped
  void stop();

  struct Entry {
    CallsId* id;
    pthread_t thread;
    std::chrono::milliseconds patience;
    std::chrono::steady_clock::time_point next;
  };
  // As long as it lives, `id` is told something, or the calling thread interrupted, whenever `patience` is over.
  class Waiting {
   public:
    Waiting(Clerk& clerk, CallsId& id, std::chrono::milliseconds patience);
    ~Waiting();
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    Clerk& clerk_;
    std::list<Entry>::iterator entry_;
  };

 private:
  void run();
  void wake();

  std::mutex mutex_;
  std::deque<rdma_cm_event*> events_;
  std::list<Entry> waiting_;
  std::atomic<bool> over_{false};
  Diary diary_;
  std::thread thread_;  // last: it uses the others
};

// A host's part in one program.
class Caller {
 public:
  explicit Caller(CallsMachine machine);
  ~Caller();

  void run(const Thread& thread, Diary& diary);
  // When all threads have ended: ends every id, then every channel.
  void close_all();

 private:
  using Outcome = int;  // errno
  Outcome execute(const Call& call, Diary& diary);
  Outcome execute_verbs(const Call& call, Diary& diary);

  Outcome create_id(const Call& call);
  Outcome create_id(rdma_event_channel* on, int space, std::size_t place);
  Outcome create_sync_id(const Call& call);
  Outcome create_ep(const Call& call);
  Outcome get_request(const Call& call, Diary& diary);
  Outcome destroy_id(CallsId& id, Diary& diary);
  Outcome bind(const Call& call);
  Outcome resolve_addr(const Call& call);
  Outcome resolve_service(CallsId* id);
  Outcome query_services(CallsId* id);
  Outcome connect(const Call& call, bool accepts, Diary& diary);
  Outcome reject(const Call& call);
  Outcome set_option(const Call& call);
  Outcome join_multicast(const Call& call);
  Outcome leave_multicast(const Call& call, Diary& diary);
  Outcome migrate_id(const Call& call, Diary& diary);
  Outcome migrate_sync(CallsId* id, Diary& diary);
  Outcome close(std::size_t place, Diary& diary);
  Outcome get_event(const Call& call, std::chrono::milliseconds patience, Diary& diary);
  void on_event(const rdma_cm_event& event, std::size_t place, Diary& diary);
  Outcome look_up(const Call& call);

  // `call` on an id that lives; ENOENT if there is none.
  template <class Function>
  Outcome with(CallsId* id, Function&& call) {
    if (id == nullptr) return ENOENT;
    const std::shared_lock lock(id->use);
    if (!id->alive) return ENOENT;
    std::unique_lock turn(id->turn, std::defer_lock);
    if (id->synchronous) turn.lock();
    return call(*id);
  }
  [[nodiscard]] CallsId* id(const Call& call, std::size_t argument = 1) const;
  void keep(CallsId* id, std::size_t place);
  CallsId* new_id(bool datagrams, bool synchronous, rdma_cm_id* raw);
  [[nodiscard]] static bool lives(CallsId& id);
  [[nodiscard]] bool is_ours(const CallsId* id);
  CallsChannel* new_channel(bool blocking);
  [[nodiscard]] CallsChannel& channel(const Call& call, std::size_t argument = 0) const;

  CallsMachine machine_;
  Clerk clerk_;
  std::array<std::atomic<CallsId*>, ids_per_host> ids_{};
  std::array<std::atomic<CallsMember*>, members_per_host> members_{};
  std::array<std::atomic<CallsChannel*>, channels_per_host> channels_{};
  RemoteWindow window_;

  std::mutex mutex_;  // of what there is
  std::deque<CallsId> all_ids_;
  std::deque<CallsChannel> all_channels_;
  std::deque<CallsMember> all_members_;
};

// Of ids and memberships: diaries of both hosts are read together.
[[nodiscard]] std::uint64_t next_number();
// As librdmacm answers: 0, or -1 and errno.
[[nodiscard]] inline int answered(int result) { return result == 0 ? 0 : result == -1 ? errno : -result; }

// What a call may answer. Anything else is a finding [spec 6.2, 6.4].
[[nodiscard]] bool call_may_answer(Op op, int error);
// Empty, or what cannot be true of an event that was fetched; `owner` is whom it was for.
[[nodiscard]] std::string wrong_with(const rdma_cm_event& event, const CallsId& owner);
[[nodiscard]] std::span<const std::string_view> call_depths();

}  // namespace hawser::fuzz
