#include "stack/stack.hpp"

#include <pthread.h>

#include <atomic>

#include "addr/netlink_posix.hpp"
#include "addr/resolver.hpp"
#include "agent/client.hpp"
#include "base/log.hpp"
#include "runtime/sync.hpp"
#include "runtime/world.hpp"
#include "stack/mad_sender.hpp"
#include "stack/settings.hpp"
#include "stack/trace.hpp"

namespace hawser::stack {
// Members in the order of construction: each stands on those above it.
struct Stack::Impl {
  Impl(std::unique_ptr<agent::Client> client, std::unique_ptr<addr::NetworkView> view, cma::RequestTiming timing)
      : agent(std::move(client)),
        network(std::move(view)),
        devices(agent->host_identity()),
        data_path(world, agent->fabric(), devices, agent->qpns(), roce::RcLimits{}),
        resolver(dispatcher, *network),
        mad_sender(data_path.gsi(), dispatcher),
        connections(dispatcher, mad_sender, agent->comm_ids()),
        manager({dispatcher, *network, resolver, devices, connections, agent->ports(), agent->ledger(), timing}),
        engine({world, dispatcher, data_path, agent->fabric(), network.get(), agent.get(), [this] { publish(); },
                [this] { return mad_sender.report_fd(); }, [this] { mad_sender.read_reports(connections); }}) {
    devices.apply(network->interfaces());
    network->set_observer({[this] { devices.apply(network->interfaces()); },
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
    agent->set_relay([this](const fabric::InDatagram& datagram) { data_path.deliver(datagram); });
  }

  void publish() { agent->publish({agent->fabric().counters(), data_path.counters(), connections.counters()}); }

  rt::World world;
  std::unique_ptr<agent::Client> agent;
  std::unique_ptr<addr::NetworkView> network;
  rt::Dispatcher dispatcher{world};
  verbs::DeviceTable devices;
  verbs::DataPath data_path;
  addr::Resolver resolver;
  MadSender mad_sender;
  cm::Manager connections;
  cma::Manager manager;
  Engine engine;
};

Stack::Stack(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Stack::~Stack() = default;

Result<std::unique_ptr<Stack>> Stack::create() {
  const auto timing = request_timing(process_environment());
  if (!timing) return std::unexpected(timing.error());
  auto network = addr::NetlinkView::create();
  if (!network) {
    log::error("cannot ask the kernel for its network interfaces (netlink): {}", network.error().message());
    return std::unexpected(network.error());
  }
  auto client = agent::Client::connect({});
  if (!client) return std::unexpected(client.error());
  return std::unique_ptr<Stack>(new Stack(std::make_unique<Impl>(std::move(*client), std::move(*network), *timing)));
}

rt::World& Stack::world() { return impl_->world; }
rt::Dispatcher& Stack::dispatcher() { return impl_->dispatcher; }
verbs::DeviceTable& Stack::devices() { return impl_->devices; }
verbs::DataPath& Stack::data_path() { return impl_->data_path; }
verbs::MulticastGroups& Stack::multicast_groups() { return impl_->data_path.multicast_groups(); }
cm::Manager& Stack::cm() { return impl_->connections; }
cma::Manager& Stack::cma() { return impl_->manager; }
Engine& Stack::engine() { return impl_->engine; }

namespace {

// The Stack of this pid. Never destroyed: other threads of an exiting program may be inside it, and the agent cleans up
// after every process alike. A forked child leaves the parent's where it is and makes its own.
std::atomic<Stack*> current{nullptr};
rt::Mutex& creation_mutex() {
  static auto* mutex = new rt::Mutex(rt::LockRank::process);
  return *mutex;
}

// fork() waits for a creation in progress, so that the child does not inherit its lock.
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
