// One Hawser in a process: every room put together. Programs that use the C libraries have one, made at the first call
// that needs it, per process (a forked child makes its own).
#pragma once

#include <memory>

#include "base/result.hpp"
#include "cma/manager.hpp"
#include "runtime/dispatcher.hpp"
#include "stack/engine.hpp"
#include "verbs/data_path.hpp"
#include "verbs/device.hpp"

namespace hawser::stack {

class Stack {
 public:
  // Production: with the agent of this network namespace and user. Errors have been explained on stderr.
  [[nodiscard]] static Result<std::unique_ptr<Stack>> create();
  ~Stack();

  [[nodiscard]] rt::World& world();
  [[nodiscard]] rt::Dispatcher& dispatcher();
  [[nodiscard]] verbs::DeviceTable& devices();
  [[nodiscard]] verbs::DataPath& data_path();
  [[nodiscard]] verbs::MulticastGroups& multicast_groups();
  [[nodiscard]] cm::Manager& cm();
  [[nodiscard]] cma::Manager& cma();
  [[nodiscard]] Engine& engine();

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
