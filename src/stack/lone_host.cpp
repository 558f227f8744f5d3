// A Stack that owns UDP 4791 itself: the whole port, or that of one address of the host.
#include <unistd.h>

#include <algorithm>

#include "addr/netlink_posix.hpp"
#include "agent/port_holder.hpp"
#include "base/log.hpp"
#include "cma/port_table.hpp"
#include "fabric/udp_posix.hpp"
#include "stack/host.hpp"
#include "stack/own_ledger.hpp"
#include "stack/own_numbers.hpp"

namespace hawser::stack {
namespace {

// What the network looks like to a Stack that has one address of the host. The host's other addresses belong to others:
// they are reached as from outside, from ours.
class OneAddressView final : public addr::NetworkView {
 public:
  OneAddressView(std::unique_ptr<addr::NetworkView> host, const IpAddress& address)
      : host_(std::move(host)), address_(address) {}

  [[nodiscard]] std::vector<verbs::InterfaceSnapshot> interfaces() override {
    auto interfaces = host_->interfaces();
    std::erase_if(interfaces, [this](const auto& interface) { return !has_address(interface); });
    for (auto& interface : interfaces) interface.addresses = {address_};
    return interfaces;
  }
  [[nodiscard]] Result<addr::Route> route(const IpAddress& destination, const std::optional<IpAddress>& source,
                                          std::uint32_t interface) override {
    if (source && *source != address_) return fail(EADDRNOTAVAIL);
    const auto all = host_->route(destination, std::nullopt, interface);
    if (!all) return fail(all.error());
    if (!all->local) return host_->route(destination, address_, interface);
    const auto mine = interfaces();
    return addr::Route{.source = address_,
                       .gateway = {},
                       .interface = mine.empty() ? all->interface : mine.front().index,
                       .local = destination == address_,
                       .hop_limit = all->hop_limit};
  }
  [[nodiscard]] Result<addr::Mac> neighbour(std::uint32_t interface, const IpAddress& address) override {
    // The host's own addresses need no looking up, and have no MAC that could change.
    if (const auto to = host_->route(address, std::nullopt, interface); to && to->local) return addr::Mac{};
    return host_->neighbour(interface, address);
  }
  [[nodiscard]] std::pair<std::uint16_t, std::uint16_t> local_port_range() override {
    return host_->local_port_range();
  }
  [[nodiscard]] bool may_bind_privileged() override { return host_->may_bind_privileged(); }
  [[nodiscard]] bool bind_v6_only() override { return host_->bind_v6_only(); }
  void set_observer(Observer observer) override { host_->set_observer(std::move(observer)); }
  [[nodiscard]] int poll_fd() const override { return host_->poll_fd(); }
  void poll() override { host_->poll(); }

 private:
  // All of 127/8 is the loopback interface's.
  [[nodiscard]] bool has_address(const verbs::InterfaceSnapshot& interface) const {
    if (interface.loopback && address_.is_v4() && address_.is_loopback()) return true;
    return std::ranges::find(interface.addresses, address_) != interface.addresses.end();
  }

  const std::unique_ptr<addr::NetworkView> host_;
  const IpAddress address_;
};

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() { close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  const int fd_;
};

class LoneHost final : public Host {
 public:
  LoneHost(std::unique_ptr<addr::NetworkView> network, std::unique_ptr<Socket> socket,
           std::unique_ptr<fabric::Fabric> fabric)
      : network_(std::move(network)), socket_(std::move(socket)), fabric_(std::move(fabric)) {}
  rt::World& world() override { return world_; }
  fabric::Fabric& fabric() override { return *fabric_; }
  addr::NetworkView& network() override { return *network_; }
  verbs::QpnSpace& qpns() override { return qpns_; }
  cm::CommIdSpace& comm_ids() override { return comm_ids_; }
  cma::PortArbiter& ports() override { return ports_; }
  cm::Ledger& ledger() override { return ledger_; }
  [[nodiscard]] std::uint64_t identity() const override { return identity_; }

 private:
  rt::World world_;
  std::unique_ptr<addr::NetworkView> network_;
  std::unique_ptr<Socket> socket_;
  std::unique_ptr<fabric::Fabric> fabric_;
  OwnQpns qpns_{world_};
  OwnCommIds comm_ids_{world_};
  cma::PortTable ports_{world_, [this] { return network_->local_port_range(); }};
  OwnLedger ledger_;
  // Its devices are its own: peers tell connections apart by device and QPN, and another Stack of this host may hand
  // out the same QPN.
  const std::uint64_t identity_ = world_.random();
};

void explain(int error, const LoneHostOptions& options) {
  const std::string where = options.address ? " of " + options.address->text() : std::string();
  if (error == EADDRINUSE) {
    const auto holders = agent::port_holders(roce_v2_port);
    const bool own_agent = std::ranges::any_of(
        holders, [](const agent::PortHolder& h) { return h.uid == geteuid() && h.program == "hawserd"; });
    log::error("a Stack without an agent needs UDP port {}{} for itself. {}{}", roce_v2_port, where,
               agent::explain_port_holders(holders, roce_v2_port),
               own_agent ? "; or open the Stack with the agent, which shares the port" : "");
  } else if (error == EADDRNOTAVAIL) {
    log::error("a Stack cannot have the address {}: no interface of this host has it", options.address->text());
  } else {
    log::error("cannot open UDP port {}{}: {}", roce_v2_port, where, std::generic_category().message(error));
  }
}

}  // namespace

Result<std::unique_ptr<Host>> lone_host(const LoneHostOptions& options) {
  auto netlink = addr::NetlinkView::create();
  if (!netlink) {
    log::error("cannot ask the kernel for its network interfaces (netlink): {}", netlink.error().message());
    return fail(netlink.error());
  }
  std::unique_ptr<addr::NetworkView> network = std::move(*netlink);
  if (options.address) network = std::make_unique<OneAddressView>(std::move(network), *options.address);
  const auto descriptor = fabric::open_udp_socket({.reuse_port = false, .address = options.address});
  if (!descriptor) {
    explain(errno_of(descriptor), options);
    return fail(descriptor.error());
  }
  auto socket = std::make_unique<Socket>(*descriptor);
  auto fabric = std::make_unique<fabric::UdpFabric>(socket->fd());
  return std::make_unique<LoneHost>(std::move(network), std::move(socket), std::move(fabric));
}

}  // namespace hawser::stack
