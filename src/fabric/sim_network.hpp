// A network in memory, in virtual time: hosts with addresses, and a link between them that delays and reorders by the
// seed of its World; FaultyFabric in front of an end loses and duplicates. Single steps: the owner of the simulation
// decides when time moves.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <queue>
#include <vector>

#include "base/types.hpp"
#include "fabric/fabric.hpp"
#include "fabric/faults.hpp"
#include "runtime/sync.hpp"
#include "runtime/world.hpp"

namespace hawser::fabric {

struct LinkModel {
  rt::Duration delay_min{std::chrono::microseconds(10)};
  rt::Duration delay_max{std::chrono::microseconds(10)};  // > delay_min: datagrams overtake one another
};

class SimNetwork;

// One process's share of the simulated network.
class SimFabric final : public Fabric {
 public:
  ~SimFabric() override;
  std::size_t send(std::span<const OutDatagram> datagrams) override;
  std::size_t receive(std::span<InDatagram> out) override;
  // The network is one link: any interface index reaches all of it, and is what datagrams of the group come in on.
  Status join_group(const IpAddress& group, std::uint32_t interface) override;
  Status leave_group(const IpAddress& group, std::uint32_t interface) override;
  [[nodiscard]] int poll_fd() const override { return -1; }
  [[nodiscard]] std::uint16_t source_port() const override { return roce_v2_port; }
  [[nodiscard]] Counters counters() const override;
  // When the next datagram for this end arrives; time_never if none is on its way.
  [[nodiscard]] rt::Time next_arrival() const;

 private:
  friend class SimNetwork;
  explicit SimFabric(SimNetwork& network) : network_(network) {}
  SimNetwork& network_;
};

// Thread-safe. Outlives its fabrics.
class SimNetwork {
 public:
  explicit SimNetwork(rt::World& world, LinkModel link = {});
  ~SimNetwork();

  // Datagrams to any of `addresses`, and to groups that it joins, arrive at the returned fabric. Addresses are unique
  // in the network.
  [[nodiscard]] std::unique_ptr<SimFabric> attach(std::vector<IpAddress> addresses);

  // Whether some datagram has arrived (is due at world.now()) at any fabric.
  [[nodiscard]] bool has_arrivals() const;
  // When the next datagram in flight arrives; time_never if none is in flight.
  [[nodiscard]] rt::Time next_arrival() const;
  // Called, with no lock held, when a datagram was put in flight. Set before the first send.
  void set_notify(std::function<void()> notify);
  // Datagrams sent and not delivered, e.g. to nobody: counted as lost.
  [[nodiscard]] std::uint64_t lost() const;

 private:
  friend class SimFabric;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hawser::fabric
