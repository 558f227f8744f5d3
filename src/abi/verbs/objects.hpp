// What stands behind the structs of verbs.h. Each object is a shell: the public struct, which programs read and may
// damage, followed by what we believe. A call is checked before it is believed:
//  - calls that are not time-critical look the pointer up in a table of live objects, without dereferencing it, and
//    compare the public handle (`find`);
//  - post, poll and arm check a mark in the shell (`live`). Memory of shells is never returned to the system, so the
//    mark of a destroyed object can be read.
// An object belongs to the process that made it: after fork() the child's tables start empty, and marks of the parent's
// objects do not match any more.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "abi/verbs/verbs_header.hpp"
#include "roce/work.hpp"
#include "stack/stack.hpp"
#include "verbs/address.hpp"
#include "verbs/comp_channel.hpp"
#include "verbs/context.hpp"
#include "verbs/cq.hpp"
#include "verbs/mr.hpp"
#include "verbs/pd.hpp"
#include "verbs/qp.hpp"
#include "verbs/srq.hpp"

namespace hawser::abi {

// Changes at fork(), in the child.
extern std::atomic<std::uint64_t> process_generation;

template <class Public>
struct Shell {
  using PublicType = Public;
  Public pub{};
  std::uint64_t mark = 0;  // generation while it lives, else 0
};

struct DeviceShell {
  ibv_device pub{};
  // mlx5dv and efadv compare the word after the public struct with the address of their own operations.
  std::uint64_t not_a_provider[16]{};
  Guid guid;
  int index{};
};

struct ContextShell {
  verbs_context pub{};
  std::uint64_t mark = 0;
  DeviceShell* device{};
  stack::Stack* stack{};
  std::unique_ptr<verbs::Context> context;
  unsigned opens = 0;  // guarded by the tables' mutex

  [[nodiscard]] stack::Engine& engine() const { return stack->engine(); }
};

struct PdShell : Shell<ibv_pd> {
  ContextShell* context{};
  std::shared_ptr<verbs::Pd> pd;
};

struct MrShell : Shell<ibv_mr> {
  ContextShell* context{};
  verbs::MemoryRegion* region{};
};

struct AhShell : Shell<ibv_ah> {
  std::unique_ptr<verbs::AddressHandle> ah;
};

struct SrqShell : Shell<ibv_srq> {
  ContextShell* context{};
  std::shared_ptr<verbs::Srq> srq;
  std::uint32_t max_sge = 0;
};

struct ChannelShell : Shell<ibv_comp_channel> {
  ContextShell* context{};
  std::shared_ptr<verbs::CompChannel> channel;
};

struct CqShell : Shell<ibv_cq_ex> {
  ContextShell* context{};
  std::shared_ptr<verbs::Cq> cq;
  verbs::CqEntry current;  // between start_poll and end_poll
};

struct QpShell : Shell<ibv_qp_ex> {
  ContextShell* context{};
  std::shared_ptr<verbs::Qp> qp;
  bool has_send_operations = false;  // ibv_wr_*
  // Held from ibv_wr_start to ibv_wr_complete or ibv_wr_abort.
  std::unique_ptr<std::mutex> building = std::make_unique<std::mutex>();
  std::vector<roce::SendWork> work;
};

// Live objects of this process by address. Thread-safe; never calls anything with its mutex held.
class Tables {
 public:
  enum class Kind : std::uint8_t { device, context, pd, mr, ah, srq, channel, cq, qp };

  // Those of the current process.
  static Tables& instance();

  template <class S>
  S* make();
  // Ends the life of an object that was found: nothing finds it any more. Its memory is kept for the next one.
  template <class S>
  void unmake(S* shell);
  // Null unless `pub` is the address of a live object of that kind whose handle is still the one it was given.
  template <class S>
  S* find(const void* pub);

  // Devices have stable addresses, by name.
  DeviceShell* device(const std::string& name, Guid guid);
  DeviceShell* find_device(const ibv_device* device);
  // The opened context of this device of the Stack; counts the opening. Null if it is not open.
  ContextShell* reopen(const verbs::DevicePtr& device);
  // As reopen(), with a context that was made meanwhile; gives `made` back if somebody else was faster.
  ContextShell* publish(std::unique_ptr<ContextShell>& made);
  ContextShell* find_context(const ibv_context* context);
  // False when it was not open. `last` says whether nobody uses it now.
  bool close(ContextShell* context, bool& last);

 private:
  static void before_fork();
  static void after_fork_in_parent();
  static void after_fork_in_child();

  template <class S>
  static constexpr Kind kind_of();
  bool is_live(const void* address, Kind kind, std::uint32_t handle) const;

  struct Entry {
    Kind kind;
    std::uint32_t handle;
  };
  std::map<const void*, Entry> live_;
  std::map<Kind, std::vector<void*>> resting_;  // memory of objects that are no more, oldest first
  std::map<std::string, DeviceShell*> devices_;
  std::vector<ContextShell*> contexts_;
  std::uint32_t next_handle_ = 1;
};

// For the time-critical calls: one comparison. `Struct` is the public type that programs pass.
template <class S, class Struct>
S* live(Struct* pub) {
  auto* shell = reinterpret_cast<S*>(pub);
  if (shell == nullptr || shell->mark != process_generation.load(std::memory_order_relaxed)) return nullptr;
  return shell;
}

template <class S>
S* find(const void* pub) {
  return Tables::instance().find<S>(pub);
}

inline ContextShell* find_context(const ibv_context* context) { return Tables::instance().find_context(context); }

// errno = `error`, and null of any pointer type.
std::nullptr_t refuse(int error);

// What a table of operations holds for what is not offered: fails with EOPNOTSUPP in the way of its return type.
template <class Return, class... Arguments>
Return not_offered(Arguments...) {
  errno = EOPNOTSUPP;
  if constexpr (std::is_pointer_v<Return>) {
    return nullptr;
  } else if constexpr (!std::is_void_v<Return>) {
    return static_cast<Return>(EOPNOTSUPP);
  }
}
template <class Return, class... Arguments>
void fill_not_offered(Return (*&slot)(Arguments...)) {
  slot = &not_offered<Return, Arguments...>;
}

// Filled by the files that implement them.
void set_context_operations(verbs_context& context);
void set_completion_operations(verbs_context& context);
void set_queue_pair_operations(verbs_context& context);
void set_work_request_operations(verbs_context& context);
void set_shared_receive_operations(verbs_context& context);

}  // namespace hawser::abi
