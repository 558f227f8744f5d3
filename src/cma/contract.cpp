#include "cma/contract.hpp"

#include <cstdlib>
#include <string_view>

#include "base/log.hpp"

namespace hawser::cma {
namespace {

constexpr std::uint64_t site_mask = (std::uint64_t{1} << 56) - 1;

std::uint64_t pack(Entry entry, const void* site) {
  return static_cast<std::uint64_t>(entry) << 56 | (reinterpret_cast<std::uintptr_t>(site) & site_mask);
}
Entry entry_of(std::uint64_t packed) { return static_cast<Entry>(packed >> 56); }
const void* site_of(std::uint64_t packed) {
  return reinterpret_cast<const void*>(static_cast<std::uintptr_t>(packed & site_mask));
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
  }
  return "unknown";
}

std::string ContractReport::text() const {
  if (kind == Kind::forbidden_in_handler) {
    return fmt::format("contract: {} called at {} from inside a handler that it would wait for", name(second),
                       fmt::ptr(second_site));
  }
  return fmt::format("contract: {} called at {} while {} called at {} runs on the same id", name(second),
                     fmt::ptr(second_site), name(first), fmt::ptr(first_site));
}

Contract::Contract() {
  const char* value = std::getenv("HAWSER_CHECK");
  watched_ = value != nullptr && !std::string_view(value).empty() && std::string_view(value) != "0";
}

void Contract::watch(std::function<void(const ContractReport&)> reporter) {
  watched_ = true;
  reporter_ = std::move(reporter);
}

void Contract::report(const ContractReport& report) const {
  if (reporter_) {
    reporter_(report);
  } else {
    log::error("{}", report.text());
  }
}

// [spec 2.2.4, 4 #6]
bool ContractState::allowed_here(Entry entry, const void* site) const {
  if (!contract_.watched() || handler_thread_.load() != rt::this_thread_id()) return true;
  contract_.report({.kind = ContractReport::Kind::forbidden_in_handler, .second = entry, .second_site = site});
  return false;
}

Entered::Entered(ContractState& state, Entry entry, const void* site) : state_(nullptr) {
  if (!state.contract_.watched()) return;
  std::uint64_t before = 0;
  if (state.inside_.compare_exchange_strong(before, pack(entry, site))) {
    state_ = &state;
    return;
  }
  state.contract_.report({.kind = ContractReport::Kind::parallel_entries,
                          .first = entry_of(before),
                          .second = entry,
                          .first_site = site_of(before),
                          .second_site = site});
}

void Entered::leave() {
  if (state_ == nullptr) return;
  state_->inside_.store(0);
  state_ = nullptr;
}

}  // namespace hawser::cma
