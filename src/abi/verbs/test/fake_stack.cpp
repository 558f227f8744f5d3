// A Stack for tests of the C library: the real verbs over a simulated network in real time, without agent or threads.
// Defines what stack/stack.cpp and stack/engine.cpp define.
#include <poll.h>

#include "base/assert.hpp"
#include "fabric/sim_network.hpp"
#include "stack/stack.hpp"

namespace hawser::stack {
namespace {

const IpAddress addresses[] = {*IpAddress::parse("10.0.0.1"), *IpAddress::parse("10.0.1.1")};

class Qpns final : public verbs::QpnSpace {
 public:
  Result<Qpn> allocate() override { return Qpn(next_++); }
  void release(Qpn) override {}

 private:
  std::uint32_t next_ = 0x100;
};

verbs::InterfaceSnapshot interface(std::uint32_t number) {
  return {.index = number + 1,
          .name = "eth" + std::to_string(number),
          .mac = {2, 0, 0, 0, 0, static_cast<std::uint8_t>(number)},
          .mtu_bytes = 1500,
          .up = true,
          .loopback = false,
          .addresses = {addresses[number]}};
}

}  // namespace

struct Engine::Impl {
  Sources sources;
};

struct Stack::Impl {
  Impl() { devices.apply({interface(0), interface(1)}); }

  rt::World world;
  rt::Dispatcher dispatcher{world};
  fabric::SimNetwork network{world, {.delay_min = rt::Duration::zero(), .delay_max = rt::Duration::zero()}};
  std::unique_ptr<fabric::SimFabric> fabric = network.attach({addresses[0], addresses[1]});
  Qpns qpns;
  verbs::DeviceTable devices{1};
  verbs::DataPath data_path{world, *fabric, devices, qpns, {}};
  Engine engine{{world, dispatcher, data_path, *fabric, nullptr, nullptr}};
};

Engine::Engine(Sources sources) : impl_(new Impl{sources}) {}
Engine::~Engine() = default;
void Engine::progress() {
  impl_->sources.data_path.receive(64);
  impl_->sources.data_path.on_time(impl_->sources.world.now());
}
Status Engine::wait(WaitKind, int fd, const std::function<bool()>& ready) {
  while (!ready()) {
    progress();
    pollfd descriptor{.fd = fd, .events = POLLIN, .revents = 0};
    ::poll(&descriptor, 1, 0);
  }
  return {};
}
void Engine::ensure_service() {}

Stack::Stack(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Stack::~Stack() = default;
Result<std::unique_ptr<Stack>> Stack::create() { return std::unique_ptr<Stack>(new Stack(std::make_unique<Impl>())); }
rt::World& Stack::world() { return impl_->world; }
verbs::DeviceTable& Stack::devices() { return impl_->devices; }
verbs::DataPath& Stack::data_path() { return impl_->data_path; }
Engine& Stack::engine() { return impl_->engine; }

Result<Stack*> process_stack() {
  static Stack* const stack = Stack::create()->release();  // lives as long as the process, as the real one
  return stack;
}

}  // namespace hawser::stack
