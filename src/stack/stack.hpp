// One Hawser in a process: every room put together, over a Host. Programs that use the C libraries have one, made at
// the first call that needs it, per process (a forked child makes its own); C++ programs make as many as they like.
#pragma once

#include <memory>

#include "base/result.hpp"
#include "cma/manager.hpp"
#include "runtime/dispatcher.hpp"
#include "stack/engine.hpp"
#include "stack/faults.hpp"
#include "stack/host.hpp"
#include "verbs/data_path.hpp"
#include "verbs/device.hpp"

namespace hawser::stack {

// Thread-safe. Must outlive all ids and verbs objects made with it.
class Stack {
 public:
  // Production: with the agent of this network namespace and user. Errors have been explained on stderr.
  [[nodiscard]] static Result<std::unique_ptr<Stack>> create();
  [[nodiscard]] static Result<std::unique_ptr<Stack>> create(std::unique_ptr<Host> host);
  ~Stack();

  // Does what is due now, handlers included, on the calling thread, and returns; whether there was anything to do.
  bool poll();
  // Makes the calling thread the one that receives and runs the handlers, until `done()` (asked after everything that
  // happens) or interrupt(). EINTR as Engine::wait(). On a simulated network EDEADLK when nothing will happen any more.
  Status run(const std::function<bool()>& done = {});
  // Ends the run() under way, or the next one. Safe in signal handlers.
  void interrupt();

  [[nodiscard]] rt::World& world();
  [[nodiscard]] rt::Dispatcher& dispatcher();
  [[nodiscard]] verbs::DeviceTable& devices();
  [[nodiscard]] verbs::DataPath& data_path();
  [[nodiscard]] verbs::MulticastGroups& multicast_groups();
  [[nodiscard]] cm::Manager& cm();
  [[nodiscard]] cma::Manager& cma();
  [[nodiscard]] cm::Ledger& ledger();
  [[nodiscard]] Engine& engine();
  [[nodiscard]] Faults& faults();
  [[nodiscard]] Host& host();

 private:
  struct Impl;
  explicit Stack(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The Stack of this process (of this pid: a child of fork() gets its own, the parent's stays untouched). Created at the
// first call; the error of a failed creation is returned again until a later call succeeds. Thread-safe.
[[nodiscard]] Result<Stack*> process_stack();
// The Stack if there is one for this pid; creates nothing.
[[nodiscard]] Stack* process_stack_if_any();

}  // namespace hawser::stack
