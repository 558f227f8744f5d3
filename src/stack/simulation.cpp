#include "stack/simulation.hpp"

#include <algorithm>

#include "addr/sim_network_view.hpp"
#include "base/assert.hpp"
#include "cma/port_table.hpp"
#include "stack/own_ledger.hpp"
#include "stack/own_numbers.hpp"

namespace hawser::stack {

// One host. The Simulation knows its Stack from add_host() until the Stack takes this with it.
class Simulation::SimHost final : public Host {
 public:
  SimHost(Simulation& simulation, const SimHostOptions& options, std::uint32_t number)
      : simulation_(simulation),
        number_(number),
        addresses_(options.addresses),
        fabric_(simulation.network_.attach(options.addresses)),
        qpns_(*simulation.world_),
        comm_ids_(*simulation.world_),
        ports_(*simulation.world_, [this] { return network_.local_port_range(); }),
        subnet_(options.subnet) {
    network_.set_interfaces(
        {{.index = number,
          .name = options.interface,
          .mac = {2, 0, 0, 0, static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)},
          .mtu_bytes = 1500,
          .up = true,
          .loopback = false,
          .addresses = options.addresses}});
  }
  ~SimHost() override {
    std::erase(simulation_.stacks_, stack);
    for (const IpAddress& address : addresses_) simulation_.addresses_.erase(address);
  }

  rt::World& world() override { return *simulation_.world_; }
  fabric::Fabric& fabric() override { return *fabric_; }
  addr::NetworkView& network() override { return network_; }
  verbs::QpnSpace& qpns() override { return qpns_; }
  cm::CommIdSpace& comm_ids() override { return comm_ids_; }
  cma::PortArbiter& ports() override { return ports_; }
  cm::Ledger& ledger() override { return ledger_; }
  std::unique_ptr<addr::SubnetAdmin> make_subnet_admin(rt::Dispatcher& dispatcher) override {
    if (!subnet_) return nullptr;
    auto subnet = std::make_unique<addr::SimSubnetAdmin>(dispatcher);
    subnet_(*subnet);
    return subnet;
  }
  [[nodiscard]] std::uint64_t identity() const override { return number_; }
  std::function<bool()> simulate() override {
    return [this] { return simulation_.step(); };
  }

  Stack* stack = nullptr;

 private:
  Simulation& simulation_;
  const std::uint32_t number_;
  const std::vector<IpAddress> addresses_;
  addr::SimNetworkView network_;
  const std::unique_ptr<fabric::SimFabric> fabric_;
  OwnQpns qpns_;
  OwnCommIds comm_ids_;
  cma::PortTable ports_;
  OwnLedger ledger_;
  const SubnetPlan subnet_;
};

Simulation::Simulation(std::uint64_t seed, fabric::LinkModel link)
    : world_(rt::World::simulated(seed)), network_(*world_, link) {}

Simulation::~Simulation() { HW_ASSERT(stacks_.empty(), "simulation-outlived-by-stack"); }

Result<std::unique_ptr<Stack>> Simulation::add_host(const SimHostOptions& options) {
  if (options.addresses.empty()) return fail(EINVAL);
  std::set<IpAddress> together = addresses_;
  for (const IpAddress& address : options.addresses) {
    if (address.is_any() || address.is_multicast() || address.is_loopback()) return fail(EINVAL);
    if (!together.insert(address).second) return fail(EADDRINUSE);
  }
  addresses_.swap(together);
  auto host = std::make_unique<SimHost>(*this, options, ++hosts_made_);
  SimHost& made = *host;
  auto stack = Stack::create(std::move(host));
  if (!stack) return stack;
  made.stack = stack->get();
  stacks_.push_back(stack->get());
  return stack;
}

bool Simulation::poll_all() {
  bool busy = false;
  // By index: a handler may add a host, or end one. NOLINTNEXTLINE(modernize-loop-convert)
  for (std::size_t i = 0; i < stacks_.size(); ++i) busy |= stacks_[i]->poll();
  return busy;
}

rt::Time Simulation::next_deadline() const {
  rt::Time next = network_.next_arrival();
  for (Stack* stack : stacks_) {
    next = std::min({next, stack->data_path().next_deadline(), stack->dispatcher().next_deadline()});
  }
  return next;
}

bool Simulation::step() {
  if (poll_all()) return true;
  const rt::Time next = next_deadline();
  if (next == rt::time_never || next <= now())
    return false;  // the latter: inside of a handler, nothing more can be done
  world_->advance_to(next);
  return true;
}

void Simulation::run_until(rt::Time end) {
  for (;;) {
    if (poll_all()) continue;
    const rt::Time next = next_deadline();
    if (next > end) break;
    if (next <= now()) return;
    world_->advance_to(next);
  }
  if (end > now()) world_->advance_to(end);
}

rt::Time Simulation::now() const { return world_->now(); }

}  // namespace hawser::stack
