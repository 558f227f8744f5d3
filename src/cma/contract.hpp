// The raw contract of the connection manager [spec 2.2], watched at run time in every build when HAWSER_CHECK=1: two
// entry points of one id at once, calls that are forbidden inside a handler, and calls after the id's end. Reports name
// both places. Costs one atomic word per id; nothing is watched without HAWSER_CHECK [spec 2.2.1, 2.2.2, 2.2.4].
//
// So that a call which comes after the end meets a report and not somebody else's memory, the last `ended_ids_kept` ids
// that ended are kept (Core::bury).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/call_site.hpp"
#include "cma/types.hpp"
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
  // Of the C++ interface, on top of the above.
  create_qp,
  lock_handler,
  unlock_handler,
};
inline constexpr Entry last_own_entry = Entry::destroy_id;  // the connection manager's own end here
[[nodiscard]] const char* name(Entry entry);

inline constexpr std::size_t ended_ids_kept = 1000;

struct ContractReport {
  enum class Kind : std::uint8_t { parallel_entries, forbidden_in_handler, after_the_end } kind{};
  // The earlier of the two calls: the one under way, or the destroy_id that ended the id. `none` where it is a handler:
  // the one that the call is made in, or the one whose result ended the id.
  Entry first{};
  const void* first_site{};
  EventType told{};  // what that handler was told
  HandlerName handler{};
  Entry second{};
  const void* second_site{};
  [[nodiscard]] std::string text() const;
};

// One per Manager. Thread-safe after set-up.
class Contract {
 public:
  Contract();  // reads HAWSER_CHECK
  [[nodiscard]] bool watched() const { return watched_; }
  [[nodiscard]] bool keeps_ended() const { return keeps_ended_; }
  // For tests, before the first id: watches whatever the environment says, and tells `reporter` instead of stderr.
  // `keep_ended`: as HAWSER_CHECK=1, so that calls after the end are seen; the explorer wants what ended to be gone.
  void watch(std::function<void(const ContractReport&)> reporter, bool keep_ended = false);
  void report(const ContractReport& report) const;

 private:
  bool watched_;
  bool keeps_ended_;
  std::function<void(const ContractReport&)> reporter_;
};

// One per id.
class ContractState {
 public:
  explicit ContractState(const Contract& contract) : contract_(contract) {}
  [[nodiscard]] bool watched() const { return contract_.watched(); }

  // The thread runs a handler of this id: with the id's handler_mutex held.
  void handler_begins(EventType told, const HandlerName& handler);
  void handler_ends();
  // False, and reported, if this thread is inside a handler of this id, where `entry` would wait for itself.
  [[nodiscard]] bool allowed_here(Entry entry, const void* site) const;

  // The id is no more, by the result of the handler that ran last, or by destroy_id at `site`. What is called now, or
  // is still under way in the first case, is reported.
  void ended_by_handler();
  void ended_by_owner(const void* site);

 private:
  friend class Entered;
  void end(Entry by, const void* site);
  void report_after_the_end(std::uint64_t call) const;

  const Contract& contract_;
  rt::Atomic<std::uint64_t> inside_{0};  // entry in the top byte, call site below it; 0: nobody; `ended`: see there
  rt::Atomic<rt::ThreadId> handler_thread_{};
  // Of the handler that runs, or ran last: written by its thread, read by it and, once inside_ says `ended`, by all.
  EventType told_{};
  HandlerName handler_;
  Entry ended_by_{};  // as told_
  const void* ended_site_{};
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
  // Reported: the id is only kept.
  [[nodiscard]] bool too_late() const { return too_late_; }

 private:
  ContractState* state_ = nullptr;
  std::uint64_t call_;
  bool too_late_ = false;
};

}  // namespace hawser::cma
