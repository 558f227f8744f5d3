// What this library keeps per process: tables of the program's objects, the devices it opened, ucm. A forked child has
// its own, made at its first call; the parent's objects are not in its tables, so calls on them fail with EINVAL, and
// nothing of the parent's is touched.
#pragma once

#include <memory>

#include "abi/rdmacm/objects.hpp"
#include "abi/rdmacm/opened_devices.hpp"
#include "base/result.hpp"
#include "stack/stack.hpp"
#include "ucm/manager.hpp"

namespace hawser::abi::rdmacm {

// Thread-safe. Never destroyed: threads may be in calls when the program exits.
class Process {
 public:
  static Process& current();  // of this pid; creates nothing but itself

  // With the Stack, which the first call makes.
  Result<ucm::Manager*> ucm();
  // Only after ucm() succeeded.
  [[nodiscard]] stack::Stack& stack() { return *stack_.load(); }

  ObjectTable<CmId> ids;
  ObjectTable<Channel> channels;
  ObjectTable<CmEvent> events;
  ObjectTable<Multicast> multicasts;
  OpenedDevices devices;

 private:
  explicit Process(pid_t pid) : pid_(pid) {}

  const pid_t pid_;
  rt::Atomic<stack::Stack*> stack_{nullptr};
  rt::Mutex mutex_{rt::LockRank::process};
  std::unique_ptr<ucm::Manager> ucm_ HW_GUARDED_BY(mutex_);
};

// ---- answers as the C interface gives them: 0, or -1 and errno ----
[[nodiscard]] int fail_errno(int error);
template <class T>
[[nodiscard]] int answer(const Result<T>& result) {
  return result ? 0 : fail_errno(errno_of(result));
}

}  // namespace hawser::abi::rdmacm
