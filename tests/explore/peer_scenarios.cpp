// cma on two hosts, as ucm uses it: handlers tell, the owners' threads act. Both ends answer, refuse, disconnect and
// destroy as they like, messages are lost, devices go. And ids that share a port [spec 2.6.2, 2.6.5].
#include <array>
#include <deque>
#include <optional>

#include "host.hpp"
#include "mailbox.hpp"
#include "scenarios.hpp"
#include "stage.hpp"
#include "watched.hpp"

namespace hawser::scenarios {
namespace {

using namespace std::chrono_literals;
using cma::EventType;
using rt::explore::Execution;

// What the two hosts do with each other.
struct Kind {
  cma::PortSpace space;
  cma::QpType qp_type;
  [[nodiscard]] bool connects() const { return qp_type == cma::QpType::rc; }
};
constexpr Kind connections{cma::PortSpace::tcp, cma::QpType::rc}, datagrams{cma::PortSpace::udp, cma::QpType::ud};

[[nodiscard]] fabric::FaultPlan lose_one_of(Execution& execution, std::size_t count) {
  fabric::FaultPlan plan;
  if (const std::size_t lost = execution.choose(count + 1); lost < count) plan.lose_nth = lost;
  return plan;
}

// An id, its handler and its owner's view of both.
struct Owned {
  Owned(Execution& execution, Host& on) : host(on), watched(execution) {}
  int handle(cma::Id& self, const cma::Event& event) {
    return watched.event(event, [&] {
      if (event.type == EventType::connect_response) (void)self.accept(nullptr);
      events.put(event.type);
      return 0;
    });
  }
  void destroy() {
    watched.destroy(*host.manager, id);
    id = nullptr;
  }

  Host& host;
  Watched watched;
  Mailbox<EventType> events;
  cma::Id* id = nullptr;
};

void run_client(Execution& execution, Host& host, const IpAddress& server, const Kind& kind) {
  Owned own(execution, host);
  own.id = host.manager->create_id(
      kind.space, kind.qp_type, [&own](cma::Id& id, const cma::Event& event) { return own.handle(id, event); },
      nullptr);
  const std::size_t steps = execution.choose(kind.connects() ? 5 : 3);
  const auto asked = [&] {
    if (!own.id->resolve_addr(nullptr, socket_address(server, service_port), 1s)) return false;
    if (own.events.take() != EventType::addr_resolved || !own.id->resolve_route(1s)) return false;
    return own.events.take() == EventType::route_resolved && own.id->connect(with_qp(0x100)) && steps >= 1;
  };
  // An answer, or UNREACHABLE: something comes, or the run ends with a lost wake-up.
  const bool connected = asked() && own.events.take() == EventType::connect_response;
  if (steps == 2 && !kind.connects() && own.id->state() == cma::State::connect) {
    const auto more = own.events.take(execution.world().now() + 100s);
    execution.check(!more || *more == EventType::device_removal, "a second answer");
  }
  if (connected) {
    if (steps == 2 || steps == 3) (void)own.id->disconnect();
    if (steps == 3) (void)own.events.take();  // DISCONNECTED, whoever was first
    if (steps == 4) (void)own.events.take(execution.world().now() + 30s);
  }
  own.destroy();
}

class Server {
 public:
  Server(Execution& execution, Host& host, const Kind& kind)
      : execution_(execution), host_(host), kind_(kind), listener_(execution, host) {}

  // The whole life of a server that serves one request.
  void run() {
    listener_.id = host_.manager->create_id(
        kind_.space, kind_.qp_type,
        [this](cma::Id& id, const cma::Event& event) {
          if (event.type != EventType::connect_request) return listener_.handle(id, event);
          return on_request(id);
        },
        nullptr);
    if (listener_.id->bind_addr(socket_address(host_.address, service_port)) && listener_.id->listen(8)) {
      if (Owned* child = requests_.take(execution_.world().now() + 60s).value_or(nullptr)) serve(*child);
    }
    listener_.destroy();
    execution_.check(kind_.connects() || children_.size() <= 1, "a repeated question made a second id");
    for (Owned& child : children_) {
      if (child.id != nullptr) child.destroy();
    }
  }

 private:
  int on_request(cma::Id& id) {
    if (refuses_) return -ECONNREFUSED;
    Owned& child = children_.emplace_back(execution_, host_);
    child.id = &id;
    id.set_handler([&child](cma::Id& self, const cma::Event& event) { return child.handle(self, event); }, nullptr);
    requests_.put(&child);
    return 0;
  }
  void serve(Owned& child) {
    const cma::ConnParam param = with_qp(0x200);
    switch (execution_.choose(3)) {
      case 0:
        child.id->lock_handler();
        (void)child.id->accept(&param);
        child.id->unlock_handler();
        break;
      case 1: (void)child.id->reject(28, {}); break;
      default: break;  // the client's patience ends some time
    }
    const std::size_t steps = execution_.choose(4);
    if (steps >= 1) (void)child.events.take(execution_.world().now() + 30s);
    if (steps >= 2) (void)child.id->disconnect();
    if (steps >= 3) child.destroy();  // else after the listener
  }

  Execution& execution_;
  Host& host_;
  const Kind& kind_;
  Owned listener_;
  Mailbox<Owned*> requests_;
  std::deque<Owned> children_;
  const bool refuses_ = execution_.choose(8) == 7;
};

enum class Removal : std::uint8_t { none, client, server };

void connect_both_ends(Execution& execution, const Kind& kind, Removal removal) {
  fabric::SimNetwork network(execution.world());
  Host client_host(execution, network, 1, lose_one_of(execution, 4));
  Host server_host(execution, network, 2, lose_one_of(execution, 3));
  network.set_notify([&] {
    client_host.service.wake();
    server_host.service.wake();
  });
  client_host.service.start();
  server_host.service.start();
  Server server(execution, server_host, kind);
  const auto server_fiber = execution.spawn("server", [&] { server.run(); });
  const auto client_fiber =
      execution.spawn("client", [&] { run_client(execution, client_host, server_host.address, kind); });
  if (removal == Removal::client) client_host.view.set_interfaces({});
  if (removal == Removal::server) server_host.view.set_interfaces({});
  execution.join(client_fiber);
  execution.join(server_fiber);
  execution.check(client_host.manager->live_ids() == 0, "the client's id is still there");
  execution.check(server_host.manager->live_ids() == 0, "an id of the server is still there");
  execution.check(client_host.ports.size() + server_host.ports.size() == 0, "a port was not given back");
  // Timewait, retries, remembered answers. With ",eager" time may pass before a service has run: it is looked at again.
  const auto kept = [&](Host& host) { return host.connections.usage() != cm::Usage{}; };
  for (int looks = 0; looks < 20 && (looks == 0 || kept(client_host) || kept(server_host)); ++looks) {
    execution.sleep_until(execution.world().now() + 400s);
  }
  execution.check(client_host.connections.usage() == cm::Usage{}, "the client's cm keeps something");
  execution.check(server_host.connections.usage() == cm::Usage{}, "the server's cm keeps something");
  client_host.service.stop();
  server_host.service.stop();
}

void both_ends(Execution& execution) { connect_both_ends(execution, connections, Removal::none); }

// [spec 2.7.1, 7 I20]
void device_goes(Execution& execution) {
  connect_both_ends(execution, connections, execution.choose(2) == 0 ? Removal::client : Removal::server);
}

void datagrams_both_ends(Execution& execution) {
  constexpr std::array removals{Removal::none, Removal::client, Removal::server};
  connect_both_ends(execution, datagrams, removals[execution.choose(removals.size())]);
}

// One of two says no, over a network that loses nothing: the other one hears that, and nothing else, from whatever step
// of the handshake it is refused [spec 1.10.4, 5.5.5].
void refusals_are_heard(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  Host client_host(execution, network, 1);
  Host server_host(execution, network, 2);
  network.set_notify([&] {
    client_host.service.wake();
    server_host.service.wake();
  });
  client_host.service.start();
  server_host.service.start();
  Owned listener(execution, server_host), child(execution, server_host), client(execution, client_host);
  const bool client_refuses = execution.choose(2) == 1;
  Mailbox<cma::Id*> requests;
  listener.id = server_host.manager->create_id(
      cma::PortSpace::tcp, cma::QpType::rc,
      [&](cma::Id& id, const cma::Event&) {
        id.set_handler([&](cma::Id& self, const cma::Event& event) { return child.handle(self, event); }, nullptr);
        requests.put(&id);
        return 0;
      },
      nullptr);
  execution.check(listener.id->bind_addr(socket_address(server_host.address, service_port)).has_value(), "bind_addr");
  execution.check(listener.id->listen(8).has_value(), "listen");
  client.id = client_host.manager->create_id(
      cma::PortSpace::tcp, cma::QpType::rc,
      [&](cma::Id& id, const cma::Event& event) {
        return client.watched.event(id, event, [&] {
          if (event.type == EventType::addr_resolved)
            execution.check(id.resolve_route(1s).has_value(), "resolve_route");
          if (event.type == EventType::route_resolved) (void)id.connect_locked(with_qp(0x100));
          if (event.type >= EventType::connect_response) client.events.put(event.type);
          return 0;
        });
      },
      nullptr);
  const auto to = socket_address(server_host.address, service_port);
  execution.check(client.id->resolve_addr(nullptr, to, 1s).has_value(), "resolve_addr");
  child.id = *requests.take();
  Owned& refused = client_refuses ? child : client;
  if (client_refuses) {
    const cma::ConnParam param = with_qp(0x200);
    child.id->lock_handler();
    execution.check(child.id->accept(&param).has_value(), "accept");
    child.id->unlock_handler();
    execution.check(client.events.take() == EventType::connect_response, "CONNECT_RESPONSE");
    execution.check(client.id->reject(28, {}).has_value(), "reject");
  } else {
    execution.check(child.id->reject(28, {}).has_value(), "reject");
  }
  execution.check(refused.events.take() == EventType::rejected, "who was refused is told something else");
  for (Owned* own : {&listener, &child, &client}) own->destroy();
  execution.sleep_until(execution.world().now() + 400s);  // timewait
  execution.check(client_host.connections.usage() == cm::Usage{}, "the client's cm keeps something");
  execution.check(server_host.connections.usage() == cm::Usage{}, "the server's cm keeps something");
  client_host.service.stop();
  server_host.service.stop();
}

// A wildcard listener, while devices go and come: afterwards it listens on what is there, and on nothing else.
// [spec 1.9.2, 1.9.5, 3.3 I5, 4 #7, #34, 7 I20]
void wildcard_listener(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  Host host(execution, network, 1);
  Owned listener(execution, host);
  listener.id = host.manager->create_id(
      cma::PortSpace::tcp, cma::QpType::rc,
      [&](cma::Id& id, const cma::Event& event) { return listener.handle(id, event); }, nullptr);
  const auto interfaces = host.view.interfaces();
  const bool comes_back = execution.choose(2) == 1;
  host.service.start();
  const auto hands = execution.spawn("hands", [&] {
    host.view.set_interfaces({});
    if (comes_back) host.view.set_interfaces(interfaces);
  });
  execution.check(listener.id->listen(1).has_value(), "listen");
  execution.join(hands);
  execution.sleep_until(execution.world().now() + 1s);
  execution.check(host.connections.usage().listeners == (comes_back ? 1U : 0U), "listens on the wrong devices");
  listener.destroy();
  execution.check(host.connections.usage() == cm::Usage{}, "cm keeps something");
  execution.check(host.ports.size() == 0, "the port was not given back");
  host.service.stop();
}

// Two ids share a port, one of them ends, the other listens, and a third one wants to share: either the listener gets
// the port for itself or the third one gets a share, never both and never neither [spec 3.3 A].
void reuse_and_listen(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  Host host(execution, network, 1);
  const SocketAddress address = socket_address(host.address, service_port);
  const auto make = [&] {
    return host.manager->create_id(
        cma::PortSpace::tcp, cma::QpType::rc, [](cma::Id&, const cma::Event&) { return 0; }, nullptr);
  };
  cma::Id* const first = make();
  cma::Id* const second = make();
  cma::Id* const third = make();
  for (cma::Id* id : {first, second}) {
    execution.check(id->set_reuse_address(true).has_value(), "set_reuse_address");
    execution.check(id->bind_addr(address).has_value(), "bind_addr");
  }
  Status listening, bound;
  const auto one = execution.spawn("listens", [&] { listening = first->listen(1); });
  const auto two = execution.spawn("shares", [&] {
    execution.check(third->set_reuse_address(true).has_value(), "set_reuse_address");
    bound = third->bind_addr(address);
  });
  host.manager->destroy_id(second);
  execution.join(one);
  execution.join(two);
  execution.check(listening.has_value() != bound.has_value(), "the port has both a listener and a share, or neither");
  execution.check(listening || errno_of(listening) == EADDRINUSE, "listen fails for another reason");
  execution.check(bound || errno_of(bound) == EADDRINUSE, "bind_addr fails for another reason");
  execution.check(listening.has_value() == (first->state() == cma::State::listen), "the state says otherwise");
  host.manager->destroy_id(first);
  host.manager->destroy_id(third);
  execution.check(host.ports.size() == 0, "a port was not given back");
}

// A DREQ that nobody answers is sent again, and given up in the end: the id takes its next step in the very moment in
// which one of its timers fires [spec 5.5.16-5.5.18].
void request_expires(Execution& execution) {
  Stage stage(execution, Situation::disconnecting);
  const auto until_next_timer = [&](rt::Duration after) {
    const rt::Time deadline = stage.near.dispatcher.next_deadline();
    if (deadline != rt::time_never) execution.sleep_until(deadline + after);
  };
  execution.set_calm(true);
  for (std::size_t timers = 13 + execution.choose(4); timers > 0; --timers)
    until_next_timer(1ms);  // about as many as it has
  execution.set_calm(false);
  until_next_timer(0ms);
  cma::Id& id = *stage.subject->id;
  switch (execution.choose(4)) {
    case 0: (void)id.disconnect(); break;
    case 1: stage.subject->started(cma::Entry::reject, id.reject(28, {}).has_value()); break;
    default: stage.subject->destroy();
  }
  stage.clear();
}

}  // namespace

std::vector<Planned> peer_scenarios() {
  return {
      {.scenario = {.name = "cma-request-expires",
                    .about = "a request is given up while its owner goes on or ends the id",
                    .probes = {"cm-expired-too-late"},
                    .body = request_expires},
       .plans = {{"pct:2:80", 4000}, {"random", 500}}},
      {.scenario = {.name = "cma-both-ends",
                    .about = "both ends answer, refuse, disconnect and destroy over a lossy network",
                    .probes = {"cm-duplicate-req-answered", "cm-duplicate-rep-answered", "cm-late-dreq-answered",
                               "cm-rep-after-destroy", "cm-event-after-destroy", "cm-destroy-waits"},
                    .body = both_ends},
       .plans = {{"pct:3", 6000}, {"random", 2000}, {"random,eager", 500}}},
      {.scenario = {.name = "cma-device-goes",
                    .about = "a device goes while two hosts connect and end [spec 2.7]",
                    .probes = {"cma-removal-of-claimed"},
                    .body = device_goes},
       .plans = {{"pct:3", 6000}, {"random", 2000}}},
      {.scenario = {.name = "cma-datagrams-both-ends",
                    .about = "a service is resolved, refused, or nobody answers, over a lossy network",
                    .probes = {"cm-repeated-sidr-req-answered"},
                    .body = datagrams_both_ends},
       .plans = {{"pct:3", 2500}, {"random", 2000}, {"random,eager", 500}}},
      {.scenario = {.name = "cma-refusals-are-heard",
                    .about = "reject() at each step of a handshake over a network that loses nothing [spec 4 #53]",
                    .probes = {},
                    .body = refusals_are_heard},
       .plans = {{"pct:3", 500}, {"random", 500}}},
      {.scenario = {.name = "cma-wildcard-listener",
                    .about = "listen() on every device while devices go and come [spec 1.9]",
                    .probes = {},
                    .body = wildcard_listener},
       .plans = {{"dfs:1", 0}, {"pct:3", 1000}}},
      {.scenario = {.name = "cma-reuse-and-listen",
                    .about = "ids share a port while one of them listens [spec 3.3]",
                    .probes = {},
                    .body = reuse_and_listen},
       .plans = {{"dfs:1", 0}, {"pct:3", 1000}, {"random", 1000}}},
  };
}

}  // namespace hawser::scenarios
