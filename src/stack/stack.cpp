#include "stack/stack.hpp"

#include <pthread.h>

#include <atomic>

#include "addr/resolver.hpp"
#include "base/log.hpp"
#include "runtime/sync.hpp"
#include "runtime/world.hpp"
#include "stack/mad_sender.hpp"
#include "stack/settings.hpp"
#include "stack/sleeper.hpp"
#include "stack/trace.hpp"

namespace hawser::stack {
// Members in the order of construction: each stands on those above it.
struct Stack::Impl {
  Impl(std::unique_ptr<Host> on, cma::RequestTiming timing)
      : host(std::move(on)),
        fabric(host->fabric()),
        network(host->network()),
        dispatcher(host->world()),
        subnet(dispatcher, host->make_subnet_admin(dispatcher)),
        devices(host->identity()),
        data_path(host->world(), fabric, devices, host->qpns(), roce::RcLimits{}),
        resolver(dispatcher, network),
        mad_sender(data_path.gsi(), dispatcher, !host->world().is_simulated()),
        faulty_sender(dispatcher, mad_sender, host->ledger()),
        connections(dispatcher, faulty_sender, host->comm_ids()),
        manager({dispatcher, network, resolver, devices, connections, host->ports(), host->ledger(),
                 data_path.multicast_groups(), timing, &subnet}),
        faults({dispatcher, network, subnet, faulty_sender, connections, fabric}),
        engine({host->world(), dispatcher, data_path, fabric, &network, host->agent(), [this] { publish(); },
                [this] { return mad_sender.report_fd(); }, [this] { mad_sender.read_reports(connections); },
                host->simulate()}) {
    network.set_observer({[this] { devices.apply(network.interfaces()); },
                          [this](const addr::NeighbourChange& change) {
                            resolver.on_neighbour(change);
                            manager.on_neighbour(change);
                          }});
    data_path.gsi().set_receiver(
        [this](const verbs::DevicePtr& device, const verbs::MadAddress& from, const verbs::Mad& mad) {
          if (log::debug_enabled()) log::debug("from {}: {}", from.remote.text(), describe(mad));
          connections.on_mad(device, from, mad);
        });
    data_path.set_communication_established([this](Qpn qpn) { connections.on_communication_established(qpn); });
    if (agent::Client* const agent = host->agent()) follow(*agent);
    devices.apply(network.interfaces());
  }

  // Datagrams that came another way, faults, and what the agent knows of the peers on this host.
  void follow(agent::Client& agent) {
    connections.set_peer_stopped([this, &agent](const verbs::MadAddress& to, CommId peer) {
      return devices.find_by_address(to.remote, to.interface) != nullptr &&
             agent.activity(peer) == roce::PeerActivity::stopped;
    });
    data_path.set_peer_activity([&agent](Qpn qpn) { return agent.activity(qpn); });
    faults.follow(agent);
    agent.set_observer({[this](const fabric::InDatagram& datagram) { data_path.deliver(datagram); },
                        [this](std::uint32_t number, const agent::FaultTarget& target, std::string_view fault) {
                          faults.set_for_agent(number, target, fault);
                        },
                        [this](std::uint32_t number) { faults.clear_for_agent(number); },
                        [this] { faults.tell_agent_again(); }});
    agent.poll();  // faults that hold from the beginning
  }

  void publish() {
    if (host->agent() == nullptr) return;
    host->agent()->publish({fabric.counters(), data_path.counters(), connections.counters(), faulty_sender.counters()});
  }

  std::unique_ptr<Host> host;
  fabric::FaultyFabric fabric;
  addr::FaultyNetworkView network;
  rt::Dispatcher dispatcher;
  addr::FaultySubnetAdmin subnet;
  verbs::DeviceTable devices;
  verbs::DataPath data_path;
  addr::Resolver resolver;
  MadSender mad_sender;
  cm::FaultySender faulty_sender;
  cm::Manager connections;
  cma::Manager manager;
  Faults faults;
  Engine engine;
  Sleeper interruption;
};

Stack::Stack(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Stack::~Stack() = default;

Result<std::unique_ptr<Stack>> Stack::create() {
  auto host = join_host();
  if (!host) return fail(host.error());
  return create(std::move(*host));
}

Result<std::unique_ptr<Stack>> Stack::create(std::unique_ptr<Host> host) {
  // What happens on a simulated network depends on nothing but the simulation.
  const Result<cma::RequestTiming> timing =
      host->world().is_simulated() ? cma::RequestTiming{} : request_timing(process_environment());
  if (!timing) return fail(timing.error());
  const Result<cm::FaultPlans> plans = host->world().is_simulated() ? cm::FaultPlans{} : cm::plans_of_environment();
  if (!plans) return fail(plans.error());
  std::unique_ptr<Stack> stack(new Stack(std::make_unique<Impl>(std::move(host), *timing)));
  stack->faults().set(*plans);
  return stack;
}

bool Stack::poll() { return impl_->engine.poll(); }

Status Stack::run(const std::function<bool()>& done) {
  bool interrupted = false;
  const Status waited = impl_->engine.wait(WaitKind::cm_events, impl_->interruption.fd(), [&] {
    if (!interrupted) interrupted = impl_->interruption.drain();
    return interrupted || (done && done());
  });
  return waited;
}

void Stack::interrupt() { impl_->interruption.kick(); }

rt::World& Stack::world() { return impl_->host->world(); }
rt::Dispatcher& Stack::dispatcher() { return impl_->dispatcher; }
verbs::DeviceTable& Stack::devices() { return impl_->devices; }
verbs::DataPath& Stack::data_path() { return impl_->data_path; }
verbs::MulticastGroups& Stack::multicast_groups() { return impl_->data_path.multicast_groups(); }
cm::Manager& Stack::cm() { return impl_->connections; }
cma::Manager& Stack::cma() { return impl_->manager; }
cm::Ledger& Stack::ledger() { return impl_->host->ledger(); }
Engine& Stack::engine() { return impl_->engine; }
Faults& Stack::faults() { return impl_->faults; }
Host& Stack::host() { return *impl_->host; }

namespace {

// The Stack of this pid. Never destroyed: other threads of an exiting program may be inside it, and the agent cleans up
// after every process alike. A forked child leaves the parent's where it is and makes its own.
std::atomic<Stack*> current{nullptr};
rt::Mutex& creation_mutex() {
  static auto* mutex = new rt::Mutex(rt::LockRank::process);
  return *mutex;
}

// fork() waits for a creation in progress, so that the child does not inherit its lock. Taken and released in functions
// that fork() calls, where clang's analysis does not follow.
void before_fork() HW_NO_THREAD_SAFETY_ANALYSIS { creation_mutex().lock(); }
void after_fork_in_parent() HW_NO_THREAD_SAFETY_ANALYSIS { creation_mutex().unlock(); }
void after_fork_in_child() HW_NO_THREAD_SAFETY_ANALYSIS {
  current.store(nullptr);
  creation_mutex().unlock();
}

}  // namespace

Stack* process_stack_if_any() { return current.load(std::memory_order_acquire); }

Result<Stack*> process_stack() {
  if (Stack* stack = process_stack_if_any()) return stack;
  rt::Lock lock(creation_mutex());
  if (Stack* stack = process_stack_if_any()) return stack;
  static const int registered = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  if (registered != 0) return fail(registered);
  auto made = Stack::create();
  if (!made) return std::unexpected(made.error());
  current.store(made->release(), std::memory_order_release);
  return current.load();
}

}  // namespace hawser::stack
