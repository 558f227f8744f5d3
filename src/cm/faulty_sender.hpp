// Faults of the connection manager's messages, on purpose: a decorator between a Manager and its MadSender.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "cm/counters.hpp"
#include "cm/fault.hpp"
#include "cm/ledger.hpp"
#include "cm/manager.hpp"
#include "runtime/dispatcher.hpp"
#include "runtime/sync.hpp"

namespace hawser::cm {

struct FaultCounters {
  std::uint64_t dropped{}, delayed{}, duplicated{};
};

// Sends through `inner` what the faults in force let through. Thread-safe; what is delayed is sent by the dispatcher.
class FaultySender final : public MadSender {
 public:
  // `ledger` says which id and port a message belongs to. All outlive this.
  FaultySender(rt::Dispatcher& dispatcher, MadSender& inner, const Ledger& ledger);
  ~FaultySender() override;  // what is still delayed is lost

  void send(const verbs::MadAddress& to, const verbs::Mad& mad) override;
  void send_reporting(const verbs::MadAddress& to, const verbs::Mad& mad) override;

  void set(std::uint32_t number, const MadFault& fault);
  bool clear(std::uint32_t number);  // false if there is none
  // How many messages each fault in force has hit.
  [[nodiscard]] std::map<std::uint32_t, std::uint64_t> effects() const;
  [[nodiscard]] FaultCounters counters() const;
  // Called, with no lock held, when a message was hit. It takes locks from cm_faults on only.
  void set_notify(std::function<void()> notify) { notify_ = std::move(notify); }

 private:
  struct Entry {
    MadFault fault;
    std::unique_ptr<rt::World> chance;  // a simulated world: its numbers come from the seed alone
    std::uint64_t seen{}, effects{};
  };
  struct Verdict {
    bool hit{}, drop{};
    unsigned copies{1};
    rt::Duration delay{};
  };
  using Way = void (MadSender::*)(const verbs::MadAddress& to, const verbs::Mad& mad);
  struct Delayed {
    Way way{};
    verbs::MadAddress to;
    verbs::Mad mad{};
    unsigned copies{};
  };

  void send_by(Way way, const verbs::MadAddress& to, const verbs::Mad& mad);
  [[nodiscard]] Verdict judge(const Message& message);
  [[nodiscard]] bool concerns(const MadFault& fault, const Message& message) const;
  void hold_back(Delayed delayed, rt::Duration delay);
  void on_timer();

  rt::Dispatcher& dispatcher_;
  MadSender& inner_;
  const Ledger& ledger_;
  std::function<void()> notify_;
  rt::Atomic<bool> any_{false};
  mutable rt::Mutex mutex_{rt::LockRank::cm_faults};
  std::map<std::uint32_t, Entry> faults_ HW_GUARDED_BY(mutex_);
  std::multimap<rt::Time, Delayed> delayed_ HW_GUARDED_BY(mutex_);
  struct {
    Counter dropped, delayed, duplicated;
  } counters_;  // read by whoever is about to sleep, whatever he holds
  rt::Timer timer_;
};

}  // namespace hawser::cm
