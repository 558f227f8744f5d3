// A host of a scenario: everything from the fabric up to cma, the production sources, on the simulated network.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "addr/resolver.hpp"
#include "addr/sim_network_view.hpp"
#include "addr/sim_subnet_admin.hpp"
#include "cm/manager.hpp"
#include "cma/manager.hpp"
#include "cma/port_table.hpp"
#include "fabric/faults.hpp"
#include "fabric/sim_network.hpp"
#include "notes.hpp"
#include "runtime/dispatcher.hpp"
#include "service.hpp"
#include "verbs/gsi.hpp"
#include "verbs/multicast.hpp"

namespace hawser::scenarios {

// Communication ids in order: which one comes next is no race.
class CountingCommIds final : public cm::CommIdSpace {
 public:
  explicit CountingCommIds(std::uint32_t first) : next_(first) {}
  Result<CommId> allocate() override { return CommId(next_.fetch_add(1)); }
  void release(CommId) override {}

 private:
  rt::Atomic<std::uint32_t> next_;
};

// Sends as it should, until it is told otherwise.
class GsiSender final : public cm::MadSender {
 public:
  explicit GsiSender(verbs::Gsi& gsi) : gsi_(gsi) {}
  void send(const verbs::MadAddress& to, const verbs::Mad& mad) override {
    if (loses_) {
      loses_ = false;
      return;
    }
    if (repeats_) gsi_.send(to, mad);
    gsi_.send(to, mad);
  }
  void lose_next() { loses_ = true; }
  void lose_nothing() { loses_ = false; }
  void repeat() { repeats_ = true; }

 private:
  verbs::Gsi& gsi_;
  Note<bool> loses_, repeats_;
};

// Address 10.0.0.NUMBER on interface NUMBER. Its members are what a scenario works with. The contract of cma is
// watched: what HAWSER_CHECK=1 would report is a finding.
class Host {
 public:
  Host(rt::explore::Execution& execution, fabric::SimNetwork& net, std::uint32_t number, fabric::FaultPlan faults = {})
      : Host(execution, net, number, {usual_interface(number)}, std::move(faults)) {}
  // With interfaces of its own; the first one's first address is the host's.
  Host(rt::explore::Execution& execution, fabric::SimNetwork& net, std::uint32_t number,
       const std::vector<verbs::InterfaceSnapshot>& interfaces, fabric::FaultPlan faults)
      : address(interfaces.front().addresses.front()),
        interface(interfaces.front().index),
        dispatcher(execution.world()),
        resolver(dispatcher, view),
        subnet(dispatcher),
        devices(number),
        end_(net.attach(addresses_of(interfaces)).release()),
        wire(std::unique_ptr<fabric::Fabric>(end_), std::move(faults)),
        gsi(wire, devices),
        groups(wire),
        sender(gsi),
        comm_ids(number << 24 | 1),
        connections(dispatcher, sender, comm_ids),
        ports(execution.world(), [] { return std::pair<std::uint16_t, std::uint16_t>{40000, 40009}; }),
        service(execution, dispatcher, [this] { receive(); }, [this] { return end_->next_arrival(); }) {
    view.set_interfaces(interfaces);
    devices.apply(view.interfaces());
    gsi.set_receiver([this](const verbs::DevicePtr& device, const verbs::MadAddress& from, const verbs::Mad& mad) {
      connections.on_mad(device, from, mad);
    });
    manager = std::make_unique<cma::Manager>(
        cma::Services{dispatcher, view, resolver, devices, connections, ports, ledger, groups, {}, &subnet});
    manager->contract().watch([this, &execution](const cma::ContractReport& report) {
      if (report.kind == cma::ContractReport::Kind::forbidden_in_handler && forbidden_calls_expected > 0) {
        --forbidden_calls_expected;
        return;
      }
      // Not its text(), whose call sites differ from process to process.
      execution.check(false, fmt::format("contract: {} on an id during {}", name(report.second), name(report.first)));
    });
    view.set_observer({.interfaces_changed = [this] { devices.apply(view.interfaces()); },
                       .neighbour_changed =
                           [this](const addr::NeighbourChange& change) {
                             resolver.on_neighbour(change);
                             manager->on_neighbour(change);
                           }});
  }

  const IpAddress address;
  const std::uint32_t interface;
  rt::Dispatcher dispatcher;
  addr::SimNetworkView view;
  addr::Resolver resolver;
  addr::SimSubnetAdmin subnet;
  verbs::DeviceTable devices;

 private:
  fabric::SimFabric* const end_;  // owned by wire

 public:
  fabric::FaultyFabric wire;
  verbs::Gsi gsi;
  verbs::MulticastGroups groups;
  GsiSender sender;
  CountingCommIds comm_ids;
  cm::Manager connections;
  cma::PortTable ports;
  cm::NoLedger ledger;
  std::unique_ptr<cma::Manager> manager;
  Service service;
  unsigned forbidden_calls_expected = 0;  // reports that are no finding

 private:
  static verbs::InterfaceSnapshot usual_interface(std::uint32_t number) {
    return {.index = number,
            .name = "eth" + std::to_string(number),
            .mac = {2, 0, 0, 0, 0, static_cast<std::uint8_t>(number)},
            .mtu_bytes = 1500,
            .up = true,
            .loopback = false,
            .addresses = {IpAddress::v4(0x0A000000 + number)}};
  }
  static std::vector<IpAddress> addresses_of(const std::vector<verbs::InterfaceSnapshot>& interfaces) {
    std::vector<IpAddress> addresses;
    for (const auto& each : interfaces) addresses.insert(addresses.end(), each.addresses.begin(), each.addresses.end());
    return addresses;
  }
  void receive() {
    fabric::InDatagram in[4];
    while (const std::size_t count = wire.receive(in)) {
      for (std::size_t i = 0; i < count; ++i) gsi.on_datagram(in[i]);
    }
  }
};

[[nodiscard]] inline SocketAddress socket_address(const IpAddress& ip, std::uint16_t port) {
  return {.family = Family::inet, .ip = ip, .port = port, .scope_id = 0, .flow_info = 0};
}

[[nodiscard]] inline cma::ConnParam with_qp(std::uint32_t qpn) {
  cma::ConnParam param;
  param.qpn = Qpn(qpn);
  param.retry_count = 7;
  param.rnr_retry_count = 7;
  return param;
}

}  // namespace hawser::scenarios
