// The connection ledger of a Stack without an agent: nobody outlives the process to read it, but faults of one id or
// one port find out there whose a message is.
#pragma once

#include <cstdint>
#include <deque>
#include <set>

#include "cm/ledger.hpp"
#include "runtime/sync.hpp"

namespace hawser::stack {

// Thread-safe.
class OwnLedger final : public cm::Ledger {
 public:
  cm::LedgerRecord* allocate() override;
  void release(cm::LedgerRecord* record) override;
  [[nodiscard]] std::optional<cm::LedgerRecord> find(
      const std::function<bool(const cm::LedgerRecord&)>& is_it) const override;

 private:
  mutable rt::Mutex mutex_{rt::LockRank::ledger};
  std::deque<cm::LedgerRecord> records_ HW_GUARDED_BY(mutex_);  // stay where they are
  std::set<std::uint32_t> free_ HW_GUARDED_BY(mutex_);          // the lowest is handed out first
};

}  // namespace hawser::stack
