// Faults on purpose, the same for every fabric: a decorator that loses, duplicates and delays what is sent through it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "fabric/fabric.hpp"
#include "runtime/sync.hpp"
#include "runtime/world.hpp"

namespace hawser::fabric {

// What happens to the n-th datagram sent (counted from 0).
struct FaultPlan {
  double loss{};                            // probability of losing any datagram, 0…1
  double duplication{};                     // probability of sending any datagram twice
  std::optional<std::uint64_t> lose_nth{};  // exactly this one
  std::vector<bool> lose_bitmap{};          // the first lose_bitmap.size() datagrams: true = lost
  std::uint64_t seed{};

  // "loss=5%,duplicate=1%,nth=3,bitmap=01101,seed=42"; the error says which part is wrong.
  [[nodiscard]] static Result<FaultPlan> parse(std::string_view text);
  [[nodiscard]] std::string text() const;  // what parse() makes the same plan of
  bool operator==(const FaultPlan&) const = default;
};

// Sends through `inner` what the plans in force let through. Thread-safe.
class FaultyFabric final : public Fabric {
 public:
  explicit FaultyFabric(Fabric& inner) : inner_(inner) {}              // which outlives it
  FaultyFabric(std::unique_ptr<Fabric> inner, const FaultPlan& plan);  // the plan has the number 0

  // In force from now on: datagrams are counted anew.
  void set(std::uint32_t number, const FaultPlan& plan);
  bool clear(std::uint32_t number);  // false if there is none
  // How many datagrams each plan in force has lost or sent twice.
  [[nodiscard]] std::map<std::uint32_t, std::uint64_t> effects() const;

  std::size_t send(std::span<const OutDatagram> datagrams) override;
  std::size_t receive(std::span<InDatagram> out) override { return inner_.receive(out); }
  Status join_group(const IpAddress& group, std::uint32_t interface) override {
    return inner_.join_group(group, interface);
  }
  Status leave_group(const IpAddress& group, std::uint32_t interface) override {
    return inner_.leave_group(group, interface);
  }
  [[nodiscard]] int poll_fd() const override { return inner_.poll_fd(); }
  [[nodiscard]] std::uint16_t source_port() const override { return inner_.source_port(); }
  [[nodiscard]] Counters counters() const override;

 private:
  struct Entry {
    FaultPlan plan;
    std::unique_ptr<rt::World> chance;  // a simulated world: its numbers come from the seed alone
    std::uint64_t seen{}, effects{};
  };
  // How often a datagram is sent: 0, 1, or more.
  unsigned copies_of_next() HW_REQUIRES(mutex_);

  const std::unique_ptr<Fabric> owned_;
  Fabric& inner_;
  rt::Atomic<bool> any_{false};
  mutable rt::Mutex mutex_{rt::LockRank::fabric};
  std::map<std::uint32_t, Entry> plans_ HW_GUARDED_BY(mutex_);
  std::uint64_t dropped_ HW_GUARDED_BY(mutex_) = 0;
  std::uint64_t duplicated_ HW_GUARDED_BY(mutex_) = 0;
};

}  // namespace hawser::fabric
