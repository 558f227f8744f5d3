// The connection ledger of one slot: a memfd that the agent made and sealed. The process writes it (LedgerMemory), the
// agent reads it and trusts nothing in it (LedgerView).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>

#include "agent/counters.hpp"
#include "agent/descriptor.hpp"
#include "base/result.hpp"
#include "cm/ledger.hpp"
#include "runtime/sync.hpp"

namespace hawser::agent {

inline constexpr std::uint32_t ledger_records_max = 65536;

[[nodiscard]] Result<Descriptor> create_ledger();
// Makes it empty for its next owner.
void clear_ledger(int ledger);

// Thread-safe.
class LedgerMemory final : public cm::Ledger {
 public:
  [[nodiscard]] static Result<std::unique_ptr<LedgerMemory>> map(int ledger);
  ~LedgerMemory() override;
  cm::LedgerRecord* allocate() override;
  void release(cm::LedgerRecord* record) override;
  [[nodiscard]] std::optional<cm::LedgerRecord> find(
      const std::function<bool(const cm::LedgerRecord&)>& is_it) const override;
  // Shows them to the agent, which reads them when somebody asks, be this process stopped.
  void publish(const CounterBlock& counters);

 private:
  struct Page;
  explicit LedgerMemory(Page* page);
  Page* const page_;
  const int owner_;  // pid: a forked child does not have the memory
  rt::Mutex mutex_{rt::LockRank::ledger};
  std::set<std::uint32_t> free_ HW_GUARDED_BY(mutex_);  // below used_; the lowest is handed out first
  std::uint32_t used_ HW_GUARDED_BY(mutex_) = 0;
  friend class LedgerView;
  friend Result<Descriptor> create_ledger();
};

// Single-threaded.
class LedgerView {
 public:
  [[nodiscard]] static Result<LedgerView> map(int ledger);
  LedgerView(LedgerView&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
  LedgerView& operator=(LedgerView&&) = delete;
  ~LedgerView();

  // Records 0 … size()-1 may be in use.
  [[nodiscard]] std::uint32_t size() const;
  // False if the record is not in use. A record that its process never stops writing is read as it is.
  [[nodiscard]] std::uint32_t sequence(std::uint32_t index) const;  // changes with the record
  [[nodiscard]] bool read(std::uint32_t index, cm::LedgerRecord& out) const;
  [[nodiscard]] CounterBlock counters() const;

 private:
  explicit LedgerView(const LedgerMemory::Page* page) : page_(page) {}
  const LedgerMemory::Page* page_;
};

}  // namespace hawser::agent
