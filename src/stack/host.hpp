// What a Stack stands on: one host's network, and this Stack's share of it. Three kinds: beside other processes, which
// the agent keeps apart; alone; and on a simulated network (stack/simulation.hpp).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "addr/network.hpp"
#include "addr/subnet_admin.hpp"
#include "agent/client.hpp"
#include "base/ip.hpp"
#include "base/result.hpp"
#include "cm/ledger.hpp"
#include "cm/manager.hpp"
#include "cma/port_arbiter.hpp"
#include "fabric/fabric.hpp"
#include "runtime/world.hpp"
#include "verbs/data_path.hpp"

namespace hawser::stack {

// Thread-safe, as its parts are.
class Host {
 public:
  virtual ~Host() = default;
  [[nodiscard]] virtual rt::World& world() = 0;
  [[nodiscard]] virtual fabric::Fabric& fabric() = 0;
  [[nodiscard]] virtual addr::NetworkView& network() = 0;
  [[nodiscard]] virtual verbs::QpnSpace& qpns() = 0;
  [[nodiscard]] virtual cm::CommIdSpace& comm_ids() = 0;
  [[nodiscard]] virtual cma::PortArbiter& ports() = 0;
  [[nodiscard]] virtual cm::Ledger& ledger() = 0;
  [[nodiscard]] virtual std::uint64_t identity() const = 0;  // DeviceTable's host_identity
  [[nodiscard]] virtual agent::Client* agent() { return nullptr; }
  // InfiniBand has one, and so may simulated hosts; null elsewhere.
  [[nodiscard]] virtual std::unique_ptr<addr::SubnetAdmin> make_subnet_admin(rt::Dispatcher& /*dispatcher*/) {
    return nullptr;
  }
  // On a simulated network, where no thread serves and time stands still: lets the next thing happen, on any host.
  // False if nothing ever will. Empty elsewhere.
  [[nodiscard]] virtual std::function<bool()> simulate() { return {}; }
};

// Shares UDP 4791 with the other processes of this network namespace and user.
[[nodiscard]] Result<std::unique_ptr<Host>> join_host();

struct LoneHostOptions {
  // The one address of this host that the Stack has, so that others may have the others; all of them if not given.
  std::optional<IpAddress> address;
};
// Owns UDP 4791 (of one address) for itself, without an agent. EADDRINUSE: somebody holds it, explained on stderr.
// EADDRNOTAVAIL: the address is not of this host.
[[nodiscard]] Result<std::unique_ptr<Host>> lone_host(const LoneHostOptions& options);

}  // namespace hawser::stack
