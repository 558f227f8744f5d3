// Ends the connections of a dead process as a kernel would have ended them [spec 5.5.21]: what to send
// follows from the ledger that the process left. Single-threaded.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "agent/ledger_memory.hpp"
#include "agent/mad_port.hpp"
#include "cm/ledger.hpp"
#include "fabric/fabric.hpp"
#include "runtime/time.hpp"

namespace hawser::agent {

struct UndertakerCounters {
  std::uint64_t processes{}, connections{}, invalid_records{}, disconnects_sent{}, rejects_sent{}, given_up{};
};

// What a connection that its process left behind still owes the other side.
struct Debt {
  verbs::MadAddress to;
  cm::Message message;
  bool awaits_answer{};  // a DREQ, until its DREP
};
// nullopt: nothing is owed in this state.
[[nodiscard]] std::optional<Debt> debt_of(const cm::LedgerRecord& record);

class Undertaker {
 public:
  explicit Undertaker(fabric::Fabric& fabric) : fabric_(fabric) {}

  // The process of `slot` is dead. Records whose ids lie outside of its chunks are not believed.
  void take(std::uint32_t slot, const LedgerView& ledger, std::span<const std::uint32_t> chunks, rt::Time now);
  // A datagram that arrived for the dead slot. False: a request for a listener, which is none of ours.
  [[nodiscard]] bool on_datagram(std::uint32_t slot, const fabric::InDatagram& datagram);
  // Sends what is due. Afterwards next_deadline() says when to come again.
  void on_time(rt::Time now);
  [[nodiscard]] rt::Time next_deadline() const;
  // Slots that need nothing more (at the latest two seconds after take()), each told once.
  [[nodiscard]] std::vector<std::uint32_t> finished(rt::Time now);
  [[nodiscard]] bool idle() const { return estates_.empty(); }
  [[nodiscard]] const UndertakerCounters& counters() const { return counters_; }

 private:
  struct Item {
    Debt debt;
    unsigned sent{};  // times
    rt::Time next{};
  };
  struct Estate {
    rt::Time ends;
    std::unordered_map<std::uint32_t, Item> items;  // by our communication id
    std::deque<std::uint32_t> unsent;               // those that wait for their first transmission
    rt::Time next_burst{};
  };
  void settle(Estate& estate, const ArrivedMad& mad);
  void send(Item& item, rt::Time now);

  fabric::Fabric& fabric_;
  std::map<std::uint32_t, Estate> estates_;
  UndertakerCounters counters_;
};

}  // namespace hawser::agent
