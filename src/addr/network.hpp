// What the host's network says about addresses: interfaces, routes, neighbours. The seam between address resolution and
// netlink; the simulated twin is SimNetworkView.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "verbs/device.hpp"

namespace hawser::addr {

struct Route {
  IpAddress source;  // preferred source address for this destination
  std::optional<IpAddress> gateway;
  std::uint32_t interface{};  // outgoing interface; the owner's interface if the destination is local
  bool local{};               // destination is an address of this host
  std::uint8_t hop_limit{64};
};

using Mac = std::array<std::uint8_t, 6>;

struct NeighbourChange {
  std::uint32_t interface{};
  IpAddress address;
  std::optional<Mac> mac;  // nullopt: not reachable (any more)
};

// Thread-safe.
class NetworkView {
 public:
  virtual ~NetworkView() = default;
  [[nodiscard]] virtual std::vector<verbs::InterfaceSnapshot> interfaces() = 0;
  // ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL (source is not ours), ENODEV. Link-local addresses are those of
  // `interface`, if that is not 0.
  [[nodiscard]] virtual Result<Route> route(const IpAddress& destination, const std::optional<IpAddress>& source,
                                            std::uint32_t interface) = 0;
  // The MAC of a reachable neighbour; ENODATA after having asked the kernel to find it out (a change is told later).
  [[nodiscard]] virtual Result<Mac> neighbour(std::uint32_t interface, const IpAddress& address) = 0;
  // net.ipv4.ip_local_port_range of this network namespace, both ends included.
  [[nodiscard]] virtual std::pair<std::uint16_t, std::uint16_t> local_port_range() = 0;
  // Whether the caller may bind ports below 1024 (CAP_NET_BIND_SERVICE), and net.ipv6.bindv6only.
  [[nodiscard]] virtual bool may_bind_privileged() = 0;
  [[nodiscard]] virtual bool bind_v6_only() = 0;

  // Changes arrive on whoever calls poll(). `interfaces_changed` means: call interfaces() again.
  struct Observer {
    std::function<void()> interfaces_changed;
    std::function<void(const NeighbourChange&)> neighbour_changed;
  };
  virtual void set_observer(Observer observer) = 0;
  // Readable when poll() has something to read; -1 for the simulated twin.
  [[nodiscard]] virtual int poll_fd() const = 0;
  virtual void poll() = 0;
};

}  // namespace hawser::addr
