// The progress rule (DESIGN 1): who receives, who dispatches, who sleeps where.
//
// One receive lease per process. Whoever runs takes it: a thread in ibv_poll_cq, a thread that waits for an event,
// Stack::run(), and the service thread when nobody else does. Posting work sends, and receives nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "addr/network.hpp"
#include "agent/client.hpp"
#include "base/result.hpp"
#include "runtime/dispatcher.hpp"
#include "verbs/data_path.hpp"

namespace hawser::stack {

// What a blocked thread waits for, and so what it may do meanwhile.
enum class WaitKind : std::uint8_t {
  completions,  // ibv_get_cq_event, ibv_get_async_event: data path only
  cm_events,    // rdma_get_cm_event: data path and dispatching (ucm's handlers only queue)
};

struct EngineCounters {
  std::uint64_t polls_with_lease{}, service_wakeups{}, blocked_wakeups{}, dispatches{};
};

// Thread-safe.
class Engine {
 public:
  struct Sources {
    rt::World& world;
    rt::Dispatcher& dispatcher;
    verbs::DataPath& data_path;
    fabric::Fabric& fabric;
    addr::NetworkView* network;       // may be null
    agent::Client* agent;             // may be null
    std::function<void()> publish{};  // shows the process's counters to the agent; one thread at a time calls it
    // ICMP's reports: where they arrive (-1: none are expected), and who reads them, on the dispatching thread.
    std::function<int()> report_fd{};
    std::function<void()> read_reports{};
    // Simulated network: lets the next thing happen, on any of its hosts; false if nothing ever will. There is no
    // service thread then, and whoever waits makes time pass. Everything belongs to one thread.
    std::function<bool()> simulate{};
  };
  explicit Engine(Sources sources);
  ~Engine();  // ends the service thread

  // From a data-path call: receives if the lease is free. Never blocks, never dispatches, takes no handler_mutex.
  void progress();

  // Blocks until `ready()` (asked first, and after each wake-up) or until `fd` is readable; meanwhile this thread may
  // hold the lease. `fd` is the descriptor that a program may poll for the same condition. EINTR when a signal handler
  // ran. Simulated: EDEADLK when nothing can happen any more, or in a handler (nothing happens until it returns).
  Status wait(WaitKind kind, int fd, const std::function<bool()>& ready);

  // Does what is due now: receives, and dispatches unless another thread does. Whether there was anything to do.
  bool poll();

  // The service thread starts with the first call that needs it. Nothing runs before that.
  void ensure_service();
  [[nodiscard]] EngineCounters counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hawser::stack
