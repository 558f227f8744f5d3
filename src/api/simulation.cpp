#include "stack/simulation.hpp"

#include "api/stack_impl.hpp"
#include "hawser/simulation.hpp"

namespace hawser {

class Simulation::Impl {
 public:
  explicit Impl(const SimulationOptions& options)
      : network(options.seed, {.delay_min = options.delay_min, .delay_max = options.delay_max}), begin(network.now()) {}

  stack::Simulation network;
  const rt::Time begin;
};

namespace {

stack::SubnetPlan subnet_plan(const std::optional<SimulatedSubnet>& subnet) {
  if (!subnet) return {};
  return [subnet](addr::SimSubnetAdmin& admin) {
    admin.on_services = subnet->services;
    admin.on_path = subnet->path ? subnet->path : [](const Gid&) { return std::optional(Result<PathRecord>()); };
    admin.delay = subnet->delay;
  };
}

}  // namespace

Simulation::Simulation(const SimulationOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Simulation::~Simulation() = default;

Result<Stack> Simulation::add_host(const SimulatedHost& host) {
  const auto faults = cm::parse_plans(host.faults);
  if (!faults) return fail(faults.error());
  auto made = impl_->network.add_host(
      {.interface = host.interface, .addresses = host.addresses, .subnet = subnet_plan(host.subnet)});
  if (!made) return fail(made.error());
  (*made)->faults().set(*faults);
  return Stack(std::make_unique<StackImpl>(std::move(*made)));
}

bool Simulation::run(const std::function<bool()>& done) {
  for (;;) {
    if (done && done()) return true;
    if (!impl_->network.step()) return !done || done();
  }
}

void Simulation::run_for(std::chrono::nanoseconds duration) {
  impl_->network.run_until(impl_->network.now() + duration);
}

std::chrono::nanoseconds Simulation::now() const { return impl_->network.now() - impl_->begin; }

}  // namespace hawser
