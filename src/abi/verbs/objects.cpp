#include "abi/verbs/objects.hpp"

#include <pthread.h>

#include <cstring>

#include "base/assert.hpp"

namespace hawser::abi {

std::atomic<std::uint64_t> process_generation{1};

namespace {

// Plain pointers that are never freed: no destructor may run while other threads of an exiting program are inside.
std::atomic<Tables*> current{nullptr};
std::mutex& tables_mutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

constexpr std::size_t resting_min = 64;  // objects that rest before their memory is used again

template <class Public>
std::uint32_t& handle_of(Public& pub) {
  if constexpr (requires { pub.qp_base; }) {
    return pub.qp_base.handle;
  } else {
    return pub.handle;
  }
}

}  // namespace

std::nullptr_t refuse(int error) {
  errno = error;
  return nullptr;
}

void Tables::before_fork() { tables_mutex().lock(); }
void Tables::after_fork_in_parent() { tables_mutex().unlock(); }

// The parent's objects are left where they are; only the devices' addresses stay good.
void Tables::after_fork_in_child() {
  process_generation.fetch_add(1);
  auto* child = new Tables;
  child->devices_ = current.load()->devices_;
  child->next_handle_ = current.load()->next_handle_;
  current.store(child);
  tables_mutex().unlock();
}

Tables& Tables::instance() {
  if (Tables* tables = current.load(std::memory_order_acquire)) return *tables;
  const std::lock_guard lock(tables_mutex());
  if (current.load() == nullptr) {
    current.store(new Tables, std::memory_order_release);
    const int error = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    HW_ASSERT(error == 0, "verbs-tables-atfork");
  }
  return *current.load();
}

template <class S>
constexpr Tables::Kind Tables::kind_of() {
  if constexpr (std::is_same_v<S, PdShell>) return Kind::pd;
  if constexpr (std::is_same_v<S, MrShell>) return Kind::mr;
  if constexpr (std::is_same_v<S, AhShell>) return Kind::ah;
  if constexpr (std::is_same_v<S, SrqShell>) return Kind::srq;
  if constexpr (std::is_same_v<S, ChannelShell>) return Kind::channel;
  if constexpr (std::is_same_v<S, CqShell>) return Kind::cq;
  if constexpr (std::is_same_v<S, QpShell>) return Kind::qp;
}

bool Tables::is_live(const void* address, Kind kind, std::uint32_t handle) const {
  const auto found = live_.find(address);
  return found != live_.end() && found->second.kind == kind && found->second.handle == handle;
}

template <class S>
S* Tables::make() {
  const std::lock_guard lock(tables_mutex());
  std::vector<void*>& resting = resting_[kind_of<S>()];
  S* shell = nullptr;
  if (resting.size() > resting_min) {
    shell = static_cast<S*>(resting.front());  // as unmake() left it: new
    resting.erase(resting.begin());
  } else {
    shell = new (::operator new(sizeof(S), std::align_val_t(alignof(S)))) S;
  }
  shell->mark = process_generation.load();
  const std::uint32_t handle = next_handle_++;
  if constexpr (!std::is_same_v<S, ChannelShell>) handle_of(shell->pub) = handle;
  live_[shell] = {.kind = kind_of<S>(), .handle = handle};
  return shell;
}

template <class S>
void Tables::unmake(S* shell) {
  {
    const std::lock_guard lock(tables_mutex());
    live_.erase(shell);
    shell->mark = 0;
  }
  shell->~S();  // may wait, or call into the stack
  new (shell) S;
  const std::lock_guard lock(tables_mutex());
  resting_[kind_of<S>()].push_back(shell);
}

template <class S>
S* Tables::find(const void* pub) {
  const std::lock_guard lock(tables_mutex());
  const auto found = live_.find(pub);
  if (found == live_.end() || found->second.kind != kind_of<S>()) return nullptr;
  // The table holds the address of the shell itself, so it may be written through.
  auto* shell = static_cast<S*>(const_cast<void*>(found->first));
  if constexpr (!std::is_same_v<S, ChannelShell>) {
    if (handle_of(shell->pub) != found->second.handle) return nullptr;
  }
  return shell;
}

// NOLINTBEGIN(bugprone-macro-parentheses): a type, which parentheses would spoil
#define HAWSER_ABI_KIND(S)          \
  template S* Tables::make<S>();    \
  template void Tables::unmake(S*); \
  template S* Tables::find(const void*)
// NOLINTEND(bugprone-macro-parentheses)
HAWSER_ABI_KIND(PdShell);
HAWSER_ABI_KIND(MrShell);
HAWSER_ABI_KIND(AhShell);
HAWSER_ABI_KIND(SrqShell);
HAWSER_ABI_KIND(ChannelShell);
HAWSER_ABI_KIND(CqShell);
HAWSER_ABI_KIND(QpShell);
#undef HAWSER_ABI_KIND

DeviceShell* Tables::device(const std::string& name, Guid guid) {
  const std::lock_guard lock(tables_mutex());
  DeviceShell*& shell = devices_[name];
  if (shell == nullptr) {
    shell = new DeviceShell;
    shell->index = static_cast<int>(devices_.size()) - 1;
    ibv_device& pub = shell->pub;
    pub.node_type = IBV_NODE_CA;
    pub.transport_type = IBV_TRANSPORT_IB;
    const auto copy = [](auto& field, const std::string& text) { strncpy(field, text.c_str(), sizeof field - 1); };
    const std::string uverbs = "uverbs" + std::to_string(shell->index);
    copy(pub.name, name);
    copy(pub.dev_name, uverbs);
    copy(pub.dev_path, "/sys/class/infiniband_verbs/" + uverbs);
    copy(pub.ibdev_path, "/sys/class/infiniband/" + name);
  }
  shell->guid = guid;
  return shell;
}

DeviceShell* Tables::find_device(const ibv_device* device) {
  const std::lock_guard lock(tables_mutex());
  for (const auto& [name, shell] : devices_) {
    if (&shell->pub == device) return shell;
  }
  return nullptr;
}

ContextShell* Tables::reopen(const verbs::DevicePtr& device) {
  const std::lock_guard lock(tables_mutex());
  for (ContextShell* context : contexts_) {
    if (context->context->device() != device) continue;
    ++context->opens;
    return context;
  }
  return nullptr;
}

ContextShell* Tables::publish(std::unique_ptr<ContextShell>& made) {
  const std::lock_guard lock(tables_mutex());
  for (ContextShell* context : contexts_) {
    if (context->context->device() != made->context->device()) continue;
    ++context->opens;
    return context;
  }
  made->opens = 1;
  made->mark = process_generation.load();
  contexts_.push_back(made.get());
  return made.release();
}

ContextShell* Tables::find_context(const ibv_context* context) {
  const std::lock_guard lock(tables_mutex());
  for (ContextShell* shell : contexts_) {
    if (&shell->pub.context == context) return shell;
  }
  return nullptr;
}

bool Tables::close(ContextShell* context, bool& last) {
  const std::lock_guard lock(tables_mutex());
  if (context->opens == 0) return false;
  last = --context->opens == 0;
  return true;
}

}  // namespace hawser::abi
