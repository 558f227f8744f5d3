#include "cma/contract.hpp"

#include <cstdlib>
#include <string_view>

#include "base/log.hpp"

namespace hawser::cma {
namespace {

constexpr std::uint64_t site_mask = (std::uint64_t{1} << 56) - 1;
constexpr std::uint64_t ended = ~std::uint64_t{0};  // no call: entries are few

std::uint64_t pack(Entry entry, const void* site) {
  return static_cast<std::uint64_t>(entry) << 56 | (reinterpret_cast<std::uintptr_t>(site) & site_mask);
}
Entry entry_of(std::uint64_t call) { return static_cast<Entry>(call >> 56); }
const void* site_of(std::uint64_t call) {
  return reinterpret_cast<const void*>(static_cast<std::uintptr_t>(call & site_mask));
}

}  // namespace

const char* name(Entry entry) {
  switch (entry) {
    case Entry::none: return "none";
    case Entry::bind_addr: return "bind_addr";
    case Entry::resolve_addr: return "resolve_addr";
    case Entry::resolve_service: return "resolve_service";
    case Entry::resolve_route: return "resolve_route";
    case Entry::set_path: return "set_path";
    case Entry::connect: return "connect";
    case Entry::connect_locked: return "connect_locked";
    case Entry::listen: return "listen";
    case Entry::accept: return "accept";
    case Entry::reject: return "reject";
    case Entry::disconnect: return "disconnect";
    case Entry::notify_established: return "notify_established";
    case Entry::join_multicast: return "join_multicast";
    case Entry::leave_multicast: return "leave_multicast";
    case Entry::set_option: return "set_option";
    case Entry::destroy_id: return "destroy_id";
    case Entry::create_qp: return "create_qp";
    case Entry::lock_handler: return "lock_handler";
    case Entry::unlock_handler: return "unlock_handler";
  }
  return "unknown";
}

std::string ContractReport::text() const {
  const std::string call = fmt::format("contract: {} called at {}", name(second), site_text(second_site));
  const std::string other = first == Entry::none ? fmt::format("the handler {}, told {}", handler.text(), name(told))
                                                 : fmt::format("{} called at {}", name(first), site_text(first_site));
  switch (kind) {
    case Kind::parallel_entries: return fmt::format("{} while {} runs on the same id", call, other);
    case Kind::forbidden_in_handler: return fmt::format("{} from inside {}: it would wait for itself", call, other);
    case Kind::after_the_end: break;
  }
  return first == Entry::none ? fmt::format("{} on an id that has ended: {}, returned non-zero", call, other)
                              : fmt::format("{} on an id that has ended: {}", call, other);
}

Contract::Contract() {
  const char* value = std::getenv("HAWSER_CHECK");
  watched_ = keeps_ended_ = value != nullptr && !std::string_view(value).empty() && std::string_view(value) != "0";
}

void Contract::watch(std::function<void(const ContractReport&)> reporter, bool keep_ended) {
  watched_ = true;
  keeps_ended_ = keep_ended;
  reporter_ = std::move(reporter);
}

void Contract::report(const ContractReport& report) const {
  if (reporter_) {
    reporter_(report);
  } else {
    log::error("{}", report.text());
  }
}

void ContractState::handler_begins(EventType told, const HandlerName& handler) {
  if (!contract_.watched()) return;
  told_ = told;
  handler_ = handler;
  handler_thread_.store(rt::this_thread_id());
}

void ContractState::handler_ends() {
  if (contract_.watched()) handler_thread_.store(rt::ThreadId{});
}

// [spec 2.2.4, 4 #6]
bool ContractState::allowed_here(Entry entry, const void* site) const {
  if (!contract_.watched() || handler_thread_.load() != rt::this_thread_id()) return true;
  contract_.report({.kind = ContractReport::Kind::forbidden_in_handler,
                    .told = told_,
                    .handler = handler_,
                    .second = entry,
                    .second_site = site});
  return false;
}

void ContractState::ended_by_handler() { end(Entry::none, nullptr); }
void ContractState::ended_by_owner(const void* site) { end(Entry::destroy_id, site); }

// [spec 2.2.2]
void ContractState::end(Entry by, const void* site) {
  if (!contract_.keeps_ended()) return;
  ended_by_ = by;
  ended_site_ = site;
  const std::uint64_t under_way = inside_.exchange(ended);
  if (by == Entry::none && under_way != 0) report_after_the_end(under_way);
}

void ContractState::report_after_the_end(std::uint64_t call) const {
  contract_.report({.kind = ContractReport::Kind::after_the_end,
                    .first = ended_by_,
                    .first_site = ended_site_,
                    .told = told_,
                    .handler = handler_,
                    .second = entry_of(call),
                    .second_site = site_of(call)});
}

Entered::Entered(ContractState& state, Entry entry, const void* site) : call_(pack(entry, site)) {
  if (!state.contract_.watched()) return;
  // A part of the handler, which may run beside an entry point: the owner's destroy_id() waits for it [spec 2.2.3].
  if (state.handler_thread_.load() == rt::this_thread_id()) return;
  std::uint64_t before = 0;
  if (state.inside_.compare_exchange_strong(before, call_)) {
    state_ = &state;
    return;
  }
  if (before == ended) {
    too_late_ = true;
    state.report_after_the_end(call_);
  } else {
    state.contract_.report({.kind = ContractReport::Kind::parallel_entries,
                            .first = entry_of(before),
                            .first_site = site_of(before),
                            .second = entry,
                            .second_site = site});
  }
}

void Entered::leave() {
  if (state_ == nullptr) return;
  std::uint64_t own = call_;  // or `ended` meanwhile
  static_cast<void>(state_->inside_.compare_exchange_strong(own, 0));
  state_ = nullptr;
}

}  // namespace hawser::cma
