// Faults on purpose, the same for every fabric: a decorator that loses, duplicates and delays what is sent through it.
#pragma once

#include <atomic>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
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
};

// Sends through `inner` what the plan lets through.
class FaultyFabric final : public Fabric {
 public:
  FaultyFabric(std::unique_ptr<Fabric> inner, FaultPlan plan);
  std::size_t send(std::span<const OutDatagram> datagrams) override;
  std::size_t receive(std::span<InDatagram> out) override { return inner_->receive(out); }
  Status join_group(const IpAddress& group, std::uint32_t interface) override {
    return inner_->join_group(group, interface);
  }
  Status leave_group(const IpAddress& group, std::uint32_t interface) override {
    return inner_->leave_group(group, interface);
  }
  [[nodiscard]] int poll_fd() const override { return inner_->poll_fd(); }
  [[nodiscard]] std::uint16_t source_port() const override { return inner_->source_port(); }
  [[nodiscard]] Counters counters() const override;

 private:
  std::unique_ptr<Fabric> inner_;
  const FaultPlan plan_;
  const std::unique_ptr<rt::World> chance_;  // a simulated world: its numbers come from the seed alone
  std::atomic<std::uint64_t> count_{0}, dropped_{0}, duplicated_{0};
};

}  // namespace hawser::fabric
