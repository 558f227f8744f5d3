#include "fabric/sim_network.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "base/assert.hpp"

namespace hawser::fabric {
namespace {

// A datagram on its way, with its own copy of the payload.
struct Flight {
  InDatagram datagram;
  std::vector<std::byte> bytes;
};

// Orders what falls due at one instant by the order of sending.
using Due = std::pair<rt::Time, std::uint64_t>;

using Membership = std::pair<IpAddress, std::uint32_t>;  // group, interface

}  // namespace

struct SimNetwork::State {
  struct Endpoint {
    std::uint32_t interface{};
    std::vector<IpAddress> addresses;
    std::set<Membership> memberships;
    std::map<Due, Flight> inbound;
    std::vector<Flight> delivered;  // what the last receive() returned: its payloads stay valid until the next
    Counters counters;
  };

  State(rt::World& w, LinkModel l) : world(w), link(l) {}

  [[nodiscard]] rt::Time arrival_time() {
    const auto spread = static_cast<std::uint64_t>((link.delay_max - link.delay_min).count());
    const rt::Duration extra(static_cast<rt::Duration::rep>(spread == 0 ? 0 : world.random() % (spread + 1)));
    return world.now() + link.delay_min + extra;
  }

  // Puts copies of a datagram on their way; false if nobody gets one.
  bool route(const OutDatagram& out) HW_REQUIRES(mutex) {
    if (out.destination.is_multicast()) {
      bool member = false;
      for (auto& [fabric, endpoint] : endpoints) {
        for (const auto& [group, interface] : endpoint.memberships) {
          if (group != out.destination) continue;
          put_in_flight(out, endpoint, interface);
          member = true;
        }
      }
      return member;
    }
    const auto owner = owners.find(out.destination);
    if (owner == owners.end()) return false;
    Endpoint& receiver = endpoints.at(owner->second);
    put_in_flight(out, receiver, receiver.interface);
    return true;
  }

  void put_in_flight(const OutDatagram& out, Endpoint& receiver, std::uint32_t interface) HW_REQUIRES(mutex) {
    Flight flight{.datagram = {.source = out.source,
                               .destination = out.destination,
                               .interface = interface,
                               .source_port = roce_v2_port,
                               .traffic_class = out.traffic_class,
                               .hop_limit = out.hop_limit,
                               .payload = {}},
                  .bytes = {out.payload.begin(), out.payload.end()}};
    receiver.inbound.emplace(Due(arrival_time(), sequence++), std::move(flight));
  }

  rt::World& world;
  const LinkModel link;
  std::function<void()> notify;

  mutable rt::Mutex mutex{rt::LockRank::fabric};
  std::map<const SimFabric*, Endpoint> endpoints HW_GUARDED_BY(mutex);
  std::map<IpAddress, const SimFabric*> owners HW_GUARDED_BY(mutex);
  std::uint64_t sequence HW_GUARDED_BY(mutex) = 0;
  std::uint64_t lost HW_GUARDED_BY(mutex) = 0;
  std::uint32_t interfaces HW_GUARDED_BY(mutex) = 0;
};

SimNetwork::SimNetwork(rt::World& world, LinkModel link) : state_(std::make_unique<State>(world, link)) {
  HW_ASSERT(link.delay_min >= rt::Duration::zero() && link.delay_max >= link.delay_min, "sim-network-link-delay");
}

SimNetwork::~SimNetwork() {
  rt::Lock lock(state_->mutex);
  HW_ASSERT(state_->endpoints.empty(), "sim-network-outlived-by-fabric");
}

std::unique_ptr<SimFabric> SimNetwork::attach(std::vector<IpAddress> addresses) {
  std::unique_ptr<SimFabric> fabric(new SimFabric(*this));
  rt::Lock lock(state_->mutex);
  for (const IpAddress& address : addresses) {
    const bool is_new = state_->owners.emplace(address, fabric.get()).second;
    HW_ASSERT(is_new, "sim-network-address-twice");
  }
  State::Endpoint& endpoint = state_->endpoints[fabric.get()];
  endpoint.interface = ++state_->interfaces;
  endpoint.addresses = std::move(addresses);
  return fabric;
}

bool SimNetwork::has_arrivals() const { return next_arrival() <= state_->world.now(); }

rt::Time SimNetwork::next_arrival() const {
  rt::Lock lock(state_->mutex);
  rt::Time next = rt::time_never;
  for (const auto& [fabric, endpoint] : state_->endpoints) {
    if (!endpoint.inbound.empty()) next = std::min(next, endpoint.inbound.begin()->first.first);
  }
  return next;
}

void SimNetwork::set_notify(std::function<void()> notify) { state_->notify = std::move(notify); }

std::uint64_t SimNetwork::lost() const {
  rt::Lock lock(state_->mutex);
  return state_->lost;
}

SimFabric::~SimFabric() {
  SimNetwork::State& state = *network_.state_;
  rt::Lock lock(state.mutex);
  const auto self = state.endpoints.find(this);
  for (const IpAddress& address : self->second.addresses) state.owners.erase(address);
  state.lost += self->second.inbound.size();
  state.endpoints.erase(self);
}

std::size_t SimFabric::send(std::span<const OutDatagram> datagrams) {
  SimNetwork::State& state = *network_.state_;
  std::size_t accepted = 0;
  bool in_flight = false;
  {
    rt::Lock lock(state.mutex);
    SimNetwork::State::Endpoint& self = state.endpoints.at(this);
    for (const OutDatagram& out : datagrams) {
      if (out.payload.size() > datagram_bytes_max) {  // EMSGSIZE of the local stack
        ++self.counters.send_failed;
        continue;
      }
      ++accepted;
      ++self.counters.sent;
      if (!state.route(out)) {
        ++state.lost;
        continue;
      }
      in_flight = true;
    }
  }
  if (in_flight && state.notify) state.notify();
  return accepted;
}

std::size_t SimFabric::receive(std::span<InDatagram> out) {
  SimNetwork::State& state = *network_.state_;
  rt::Lock lock(state.mutex);
  SimNetwork::State::Endpoint& self = state.endpoints.at(this);
  self.delivered.clear();
  const rt::Time now = state.world.now();
  while (self.delivered.size() < out.size() && !self.inbound.empty() && self.inbound.begin()->first.first <= now) {
    self.delivered.push_back(std::move(self.inbound.begin()->second));
    self.inbound.erase(self.inbound.begin());
  }
  for (std::size_t i = 0; i < self.delivered.size(); ++i) {
    out[i] = self.delivered[i].datagram;
    out[i].payload = self.delivered[i].bytes;
  }
  self.counters.received += self.delivered.size();
  return self.delivered.size();
}

Status SimFabric::join_group(const IpAddress& group, std::uint32_t interface) {
  if (!group.is_multicast() || interface == 0) return fail(EINVAL);
  rt::Lock lock(network_.state_->mutex);
  const bool is_new = network_.state_->endpoints.at(this).memberships.emplace(group, interface).second;
  return is_new ? Status{} : fail(EADDRINUSE);
}

Status SimFabric::leave_group(const IpAddress& group, std::uint32_t interface) {
  rt::Lock lock(network_.state_->mutex);
  const bool was_member = network_.state_->endpoints.at(this).memberships.erase({group, interface}) != 0;
  return was_member ? Status{} : fail(EADDRNOTAVAIL);
}

rt::Time SimFabric::next_arrival() const {
  rt::Lock lock(network_.state_->mutex);
  const auto& inbound = network_.state_->endpoints.at(this).inbound;
  return inbound.empty() ? rt::time_never : inbound.begin()->first.first;
}

Counters SimFabric::counters() const {
  rt::Lock lock(network_.state_->mutex);
  return network_.state_->endpoints.at(this).counters;
}

}  // namespace hawser::fabric
