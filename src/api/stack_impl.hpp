// What stands behind a hawser::Stack.
#pragma once

#include <map>
#include <memory>

#include "hawser/stack.hpp"
#include "runtime/sync.hpp"
#include "stack/stack.hpp"
#include "verbs/context.hpp"

namespace hawser {

// Thread-safe.
class StackImpl {
 public:
  explicit StackImpl(std::unique_ptr<stack::Stack> made) : stack_(std::move(made)) {}
  ~StackImpl();
  StackImpl(const StackImpl&) = delete;
  StackImpl& operator=(const StackImpl&) = delete;

  [[nodiscard]] stack::Stack& operator*() const { return *stack_; }
  [[nodiscard]] stack::Stack* operator->() const { return stack_.get(); }

  // The device, opened: shared by all that is made on it. ENODEV if it has gone or is another Stack's.
  [[nodiscard]] Result<std::shared_ptr<verbs::Context>> open(const verbs::DevicePtr& device);

  // Ids whose handlers are the program's: while there are any, a thread that waits for the events of a channel does not
  // dispatch, for it may hold a lock that such a handler wants.
  rt::Atomic<std::uint32_t> ids_with_handlers{0};

 private:
  const std::unique_ptr<stack::Stack> stack_;
  rt::Mutex mutex_{rt::LockRank::program};
  std::map<verbs::DevicePtr, std::weak_ptr<verbs::Context>> contexts_ HW_GUARDED_BY(mutex_);
};

// The type of an id's queue pair [spec 1.8.2]. EINVAL: `wanted` is not the port space's.
[[nodiscard]] Result<QpType> qp_type_of(PortSpace space, std::optional<QpType> wanted);

// The handle of a device; null gives none.
[[nodiscard]] Device to_public(const verbs::DevicePtr& device);
[[nodiscard]] verbs::DevicePtr to_internal(const Device& device);

}  // namespace hawser
