#include "stack/own_ledger.hpp"

namespace hawser::stack {

cm::LedgerRecord* OwnLedger::allocate() {
  rt::Lock lock(mutex_);
  std::uint32_t index = 0;
  if (!free_.empty()) {
    index = *free_.begin();
    free_.erase(free_.begin());
  } else {
    index = static_cast<std::uint32_t>(records_.size());
    records_.emplace_back();
  }
  cm::LedgerRecord* const record = &records_[index];
  cm::renew(record, index);
  return record;
}

void OwnLedger::release(cm::LedgerRecord* record) {
  if (record == nullptr) return;
  cm::update(record, [](cm::LedgerRecord& r) { r.in_use = 0; });
  rt::Lock lock(mutex_);
  free_.insert(record->number);
}

std::optional<cm::LedgerRecord> OwnLedger::find(const std::function<bool(const cm::LedgerRecord&)>& is_it) const {
  rt::Lock lock(mutex_);
  for (const cm::LedgerRecord& record : records_) {
    const cm::LedgerRecord copy = cm::read(record);
    if (copy.in_use != 0 && is_it(copy)) return copy;
  }
  return std::nullopt;
}

}  // namespace hawser::stack
