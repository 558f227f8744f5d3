// cma: an id may end at any moment, by its owner or by its handler, while answers, timers and messages are on their
// way [spec 2.1.1-2.1.3, 7 I13, 7 I14].
#include <algorithm>
#include <vector>

#include "host.hpp"
#include "scenarios.hpp"

namespace hawser::scenarios {
namespace {

using namespace std::chrono_literals;
using cma::EventType;
using rt::explore::Execution;

constexpr std::uint16_t service_port = 7471;
constexpr addr::Mac some_mac{2, 0, 0, 0, 0, 99};

// The events of an id, for the fiber that owns it: as ucm's channel.
class Events {
 public:
  void put(EventType type) {
    rt::Lock lock(mutex_);
    seen_.push_back(type);
    changed_.notify_all();
  }
  // The event with this number, from 0; waits for it.
  [[nodiscard]] EventType at(std::size_t number) {
    rt::Lock lock(mutex_);
    while (seen_.size() <= number) changed_.wait(mutex_);
    return seen_[number];
  }

 private:
  rt::Mutex mutex_{rt::LockRank::ucm_channel};
  rt::CondVar changed_;
  std::vector<EventType> seen_ HW_GUARDED_BY(mutex_);
};

// An address query is on its way. Its answer comes, and so does an ADDR_CHANGE, whose handler ends the id: whatever was
// going on must be cancelled, in whichever order [spec 4 #4, 2.5.4].
void destroy_from_handler(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  Host host(execution, network, 1);
  const IpAddress peer = IpAddress::v4(0x0A000002);
  host.view.answer_for_unknown_neighbours(false);
  Events events;
  cma::Id* const id = host.manager->create_id(
      cma::PortSpace::tcp, cma::QpType::rc,
      [&](cma::Id&, const cma::Event& event) {
        events.put(event.type);
        return event.type == EventType::addr_change ? 1 : 0;
      },
      nullptr);
  execution.check(id->bind_addr(socket_address(host.address, 0)).has_value(), "bind_addr");
  execution.check(id->resolve_addr(nullptr, socket_address(peer, service_port), 1s).has_value(), "resolve_addr");
  // From here on the id belongs to its handler.
  host.service.start();
  const auto bond = execution.spawn("bond", [&] { host.manager->on_address_change(host.interface); });
  const auto neighbour = execution.spawn("neighbour", [&] { host.view.set_neighbour(host.interface, peer, some_mac); });
  execution.join(bond);
  execution.join(neighbour);
  host.service.stop();
  execution.check(host.manager->live_ids() == 0, "the id is still there");
  execution.check(host.ports.size() == 0, "the port was not given back");
}

// The handler of ADDR_RESOLVED starts the next step, as many programs do, and then ends the id all the same.
// [spec 2.5.6, 3.5 I9]
void next_step_then_destroy(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  Host host(execution, network, 1);
  cma::Id* const id = host.manager->create_id(
      cma::PortSpace::tcp, cma::QpType::rc,
      [&](cma::Id& on, const cma::Event& event) {
        if (event.type != EventType::addr_resolved) return 0;
        execution.check(on.resolve_route(1s).has_value(), "resolve_route");
        return 1;
      },
      nullptr);
  host.service.start();
  const SocketAddress peer = socket_address(IpAddress::v4(0x0A000002), service_port);
  execution.check(id->resolve_addr(nullptr, peer, 1s).has_value(), "resolve_addr");
  execution.sleep_until(execution.world().now() + 2s);
  host.service.stop();
  execution.check(host.manager->live_ids() == 0, "the id is still there");
}

// A handler calls what it must not: it is told so, and nothing hangs [spec 3.1 C].
void forbidden_in_handler(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  Host host(execution, network, 1);
  host.forbidden_calls_expected = 2;
  Events events;
  cma::Id* const id = host.manager->create_id(
      cma::PortSpace::tcp, cma::QpType::rc,
      [&](cma::Id& on, const cma::Event& event) {
        if (event.type == EventType::addr_resolved) execution.check(on.resolve_route(1s).has_value(), "resolve_route");
        if (event.type == EventType::route_resolved) {
          execution.check(errno_of(on.connect(with_qp(0x100))) == EDEADLK, "connect() from a handler");
          host.manager->destroy_id(&on);
        }
        events.put(event.type);
        return 0;
      },
      nullptr);
  host.service.start();
  const SocketAddress peer = socket_address(IpAddress::v4(0x0A000002), service_port);
  execution.check(id->resolve_addr(nullptr, peer, 1s).has_value(), "resolve_addr");
  execution.check(events.at(1) == EventType::route_resolved, "another event");
  host.manager->destroy_id(id);
  execution.check(host.forbidden_calls_expected == 0, "a forbidden call was not reported");
  host.service.stop();
}

// A subnet administrator's answer is on its way, to a question for services or for a path, while the owner ends the id
// or the device goes.
void subnet_answers(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  Host host(execution, network, 1);
  const bool found = execution.choose(2) == 1;
  const addr::ServiceRecord service{
      .id = ServiceId(0x01060001), .gid = IpAddress::v4(0x0A000002), .pkey = {}, .name = {}};
  host.subnet.on_services = [&](const addr::ServiceQuery&) {
    return found ? Result<std::vector<addr::ServiceRecord>>({service}) : fail(ENODATA);
  };
  host.subnet.on_path = [&](const Gid&) { return Result<addr::PathRecord>(addr::PathRecord{}); };
  std::vector<EventType> told;
  cma::Id* const id = host.manager->create_id(
      cma::PortSpace::tcp, cma::QpType::rc,
      [&](cma::Id& on, const cma::Event& event) {
        execution.check(told.empty() || told.back() != EventType::device_removal, "an event after DEVICE_REMOVAL");
        told.push_back(event.type);
        if (event.type == EventType::addrinfo_resolved) execution.check(!on.services().empty(), "no service");
        return 0;
      },
      nullptr);
  execution.check(id->bind_addr(socket_address(host.address, 0)).has_value(), "bind_addr");
  host.service.start();
  const auto remover = execution.spawn("remover", [&] {
    if (execution.choose(2) == 1) host.view.set_interfaces({});
  });
  if (id->resolve_service({.name = "s", .id = {}}) && execution.choose(2) == 1) {
    execution.sleep_until(execution.world().now() + 1ms);
    (void)id->resolve_route(1s);
  }
  host.manager->destroy_id(id);
  const std::size_t before = told.size();
  execution.join(remover);
  host.service.stop();
  execution.check(told.size() == before, "an event of an id that has ended");
  execution.check(host.manager->live_ids() == 0, "the id is still there");
}

// The owner ends the id while the neighbour answers, its MAC changes, the bond fails over, or the device goes.
// [spec 2.5.1, 2.5.2, 3.5 A, 3.5 I8, 4 #3, 4 #26, 4 #27, 3.8 I12]
void destroy_while_things_happen(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  Host host(execution, network, 1);
  const IpAddress peer = IpAddress::v4(0x0A000002);
  host.view.answer_for_unknown_neighbours(false);
  Events events;
  cma::Id* const id = host.manager->create_id(
      cma::PortSpace::tcp, cma::QpType::rc,
      [&](cma::Id&, const cma::Event& event) {
        events.put(event.type);
        return 0;
      },
      nullptr);
  execution.check(id->bind_addr(socket_address(host.address, 0)).has_value(), "bind_addr");
  host.service.start();
  const std::size_t what = execution.choose(3);
  const auto meanwhile = execution.spawn("meanwhile", [&] {
    if (what == 0) {
      host.manager->on_address_change(host.interface);
      host.manager->on_address_change(host.interface);
    }
    if (what == 1) host.view.set_interfaces({});
    host.view.set_neighbour(host.interface, peer, some_mac);
  });
  if (id->resolve_addr(nullptr, socket_address(peer, service_port), 1s) && execution.choose(2) == 1) {
    if (events.at(0) == EventType::addr_resolved) (void)id->resolve_route(1s);
  }
  host.manager->destroy_id(id);
  execution.check(host.manager->live_ids() == 0, "destroy_id() left the id");
  execution.check(host.ports.size() == 0, "the port was not given back");
  execution.join(meanwhile);
  host.service.stop();
}

// resolve_addr() fails and the program tries again from its own thread, while the first attempt is on its way out of
// the dispatcher; then it ends the id [spec 4 #11].
void resolve_again(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  Host host(execution, network, 1);
  const IpAddress peer = IpAddress::v4(0x0A000002);
  host.view.answer_for_unknown_neighbours(false);
  Events events;
  cma::Id* const id = host.manager->create_id(
      cma::PortSpace::tcp, cma::QpType::rc,
      [&](cma::Id&, const cma::Event& event) {
        events.put(event.type);
        return 0;
      },
      nullptr);
  host.service.start();
  const SocketAddress to = socket_address(peer, service_port);
  execution.check(id->resolve_addr(nullptr, to, 1s).has_value(), "resolve_addr");
  execution.check(events.at(0) == EventType::addr_error, "ADDR_ERROR");
  const auto neighbour = execution.spawn("neighbour", [&] { host.view.set_neighbour(host.interface, peer, some_mac); });
  execution.check(id->resolve_addr(nullptr, to, 1s).has_value(), "resolve_addr again");
  if (execution.choose(2) == 1) execution.check(events.at(1) == EventType::addr_resolved, "ADDR_RESOLVED");
  host.manager->destroy_id(id);
  execution.join(neighbour);
  execution.check(host.manager->live_ids() == 0, "destroy_id() left the id");
  execution.check(host.ports.size() == 0, "the port was not given back");
  host.service.stop();
}

// A server that accepts in its handler and ends its ids as a program does: from its own thread.
class Server {
 public:
  Server(Execution& execution, Host& host) : host_(host) {
    listener_ = host_.manager->create_id(
        cma::PortSpace::tcp, cma::QpType::rc,
        [this](cma::Id& id, const cma::Event& event) { return handle(id, event); }, nullptr);
    execution.check(listener_->bind_addr(socket_address(host_.address, service_port)).has_value(), "server: bind");
    execution.check(listener_->listen(8).has_value(), "server: listen");
  }
  void close() {
    host_.manager->destroy_id(listener_);
    std::vector<cma::Id*> children;
    {
      rt::Lock lock(mutex_);
      children.swap(children_);
    }
    for (cma::Id* child : children) host_.manager->destroy_id(child);
  }

 private:
  int handle(cma::Id& id, const cma::Event& event) {
    if (event.type == EventType::connect_request) {
      const cma::ConnParam param = with_qp(0x200);
      if (!id.accept(&param)) return 1;
      rt::Lock lock(mutex_);
      children_.push_back(&id);
    }
    if (event.type == EventType::disconnected) (void)id.disconnect();
    return 0;
  }
  Host& host_;
  cma::Id* listener_;
  rt::Mutex mutex_{rt::LockRank::ucm_table};
  std::vector<cma::Id*> children_ HW_GUARDED_BY(mutex_);
};

// Two hosts connect over a network that may lose one of the messages; the client goes as far as it chooses and ends its
// id, while the server closes at any time [spec 2.2.3, 3.1 B, 4 #5, 5.6.8].
void connect_and_close(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  fabric::FaultPlan loss;
  if (const std::size_t lost = execution.choose(4); lost < 3) loss.lose_nth = lost;
  Host client_host(execution, network, 1, loss);
  Host server_host(execution, network, 2);
  network.set_notify([&] {
    client_host.service.wake();
    server_host.service.wake();
  });
  client_host.service.start();
  server_host.service.start();
  Server server(execution, server_host);

  Events events;
  cma::Id* const id = client_host.manager->create_id(
      cma::PortSpace::tcp, cma::QpType::rc,
      [&](cma::Id& on, const cma::Event& event) {
        if (event.type == EventType::connect_response) (void)on.accept(nullptr);
        events.put(event.type);
        return 0;
      },
      nullptr);
  const std::size_t steps = execution.choose(4);
  const auto client = execution.spawn("client", [&] {
    const SocketAddress to = socket_address(server_host.address, service_port);
    execution.check(id->resolve_addr(nullptr, to, 1s).has_value(), "resolve_addr");
    execution.check(events.at(0) == EventType::addr_resolved, "ADDR_RESOLVED");
    execution.check(id->resolve_route(1s).has_value(), "resolve_route");
    execution.check(events.at(1) == EventType::route_resolved, "ROUTE_RESOLVED");
    execution.check(id->connect(with_qp(0x100)).has_value(), "connect");
    // UNREACHABLE and REJECTED are as good: the server may have closed.
    if (steps >= 1 && events.at(2) == EventType::connect_response) {
      if (steps >= 2) (void)id->disconnect();
      if (steps >= 3) (void)events.at(3);
    }
    client_host.manager->destroy_id(id);
  });
  const auto closer = execution.spawn("closer", [&] { server.close(); });
  execution.join(client);
  execution.join(closer);
  execution.check(client_host.manager->live_ids() == 0, "the client's id is still there");
  execution.check(server_host.manager->live_ids() == 0, "an id of the server is still there");
  execution.check(client_host.ports.size() + server_host.ports.size() == 0, "a port was not given back");
  execution.sleep_until(execution.world().now() + 400s);  // timewait, retries
  execution.check(client_host.connections.usage() == cm::Usage{}, "the client's cm keeps something");
  execution.check(server_host.connections.usage() == cm::Usage{}, "the server's cm keeps something");
  client_host.service.stop();
  server_host.service.stop();
}

}  // namespace

std::vector<Planned> cma_scenarios() {
  return {
      {.scenario = {.name = "cma-destroy-from-handler",
                    .about = "a handler ends the id while an address query is under way [spec 4 #4]",
                    .probes = {},
                    .body = destroy_from_handler},
       .plans = {{"dfs:1", 0}, {"pct:3", 1000}, {"random", 500}}},
      {.scenario = {.name = "cma-next-step-then-destroy",
                    .about = "a handler starts the next step and then ends the id",
                    .probes = {},
                    .body = next_step_then_destroy},
       .plans = {{"dfs:1", 0}, {"random", 500}}},
      {.scenario = {.name = "cma-forbidden-in-handler",
                    .about = "a handler calls connect() and destroys its own id",
                    .probes = {},
                    .body = forbidden_in_handler},
       .plans = {{"dfs:1", 0}, {"random", 200}}},
      {.scenario = {.name = "cma-subnet-answers",
                    .about = "services and paths against destroy and device removal",
                    .probes = {"cma-services-for-claimed", "cma-path-for-claimed", "cma-path-of-claimed"},
                    .body = subnet_answers},
       .plans = {{"dfs:1", 0}, {"pct:3", 1000}, {"random", 500}}},
      {.scenario = {.name = "cma-destroy-anytime",
                    .about = "destroy_id() against answers, ADDR_CHANGE and device removal",
                    .probes = {"cma-answer-for-claimed", "cma-claimed-before-query", "cma-route-for-claimed",
                               "cma-removal-of-claimed"},
                    .body = destroy_while_things_happen},
       .plans = {{"dfs:1", 0}, {"pct:3", 2000}, {"random,eager", 1000}}},
      {.scenario = {.name = "cma-resolve-again",
                    .about = "resolve_addr() again while the first attempt is on its way out [spec 4 #11]",
                    .probes = {},
                    .body = resolve_again},
       .plans = {{"dfs:1", 0}, {"pct:3", 1000}}},
      {.scenario = {.name = "cma-connect-and-close",
                    .about = "two hosts connect over a lossy network and close at any time",
                    .probes = {},
                    .body = connect_and_close},
       .plans = {{"pct:3", 1000}, {"random", 1000}, {"random,eager", 500}}},
  };
}

}  // namespace hawser::scenarios
