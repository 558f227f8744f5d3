// The raw contract of the connection manager [spec 2.2], watched at run time in every build when HAWSER_CHECK=1: two
// entry points of one id at once, and calls that are forbidden inside a handler. Reports name both call sites. Costs
// one atomic word per id; nothing is watched without HAWSER_CHECK [spec 2.2.1, 2.2.4].
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "runtime/sync.hpp"

namespace hawser::cma {

enum class Entry : std::uint8_t {
  none,
  bind_addr,
  resolve_addr,
  resolve_service,
  resolve_route,
  set_path,
  connect,
  connect_locked,
  listen,
  accept,
  reject,
  disconnect,
  notify_established,
  join_multicast,
  leave_multicast,
  set_option,
  destroy_id,
};
[[nodiscard]] const char* name(Entry entry);

struct ContractReport {
  enum class Kind : std::uint8_t { parallel_entries, forbidden_in_handler } kind{};
  Entry first{}, second{};  // `first` is none for a forbidden call
  const void* first_site{};
  const void* second_site{};
  [[nodiscard]] std::string text() const;
};

// One per Manager. Thread-safe after set-up.
class Contract {
 public:
  Contract();  // reads HAWSER_CHECK
  [[nodiscard]] bool watched() const { return watched_; }
  // For tests, before the first id: watches whatever the environment says, and tells `reporter` instead of stderr.
  void watch(std::function<void(const ContractReport&)> reporter);
  void report(const ContractReport& report) const;

 private:
  bool watched_;
  std::function<void(const ContractReport&)> reporter_;
};

// One per id.
class ContractState {
 public:
  explicit ContractState(const Contract& contract) : contract_(contract) {}

  // The thread runs a handler of this id.
  void handler_begins() {
    if (contract_.watched()) handler_thread_.store(rt::this_thread_id());
  }
  void handler_ends() {
    if (contract_.watched()) handler_thread_.store(rt::ThreadId{});
  }
  // False, and reported, if this thread is inside a handler of this id, where `entry` would wait for itself.
  [[nodiscard]] bool allowed_here(Entry entry, const void* site) const;

 private:
  friend class Entered;
  const Contract& contract_;
  rt::Atomic<std::uint64_t> inside_{0};  // entry in the top byte, call site below it; 0: nobody
  rt::Atomic<rt::ThreadId> handler_thread_{};
};

// A thread is inside an entry point for a scope. leave() ends it early, where the id may end its life under our feet:
// once the call has started what leads to an event, a handler may destroy the id.
class Entered {
 public:
  Entered(ContractState& state, Entry entry, const void* site);
  ~Entered() { leave(); }
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;
  void leave();

 private:
  ContractState* state_;
};

}  // namespace hawser::cma
