// ucm on cma: unmodified programs call one id from several threads, destroy, migrate and close at any moment, and lose
// their device. What ucm lets through to cma must keep cma's contract, which host.hpp watches.
// [spec 2.2.1, 2.8.3, 2.8.9]
#include <algorithm>
#include <set>
#include <vector>

#include "base/tsan_ignore.hpp"
#include "scenarios.hpp"
#include "ucm_host.hpp"

namespace hawser::scenarios {
namespace {

using namespace std::chrono_literals;
using cma::EventType;
using rt::explore::Execution;
using ucm::Handle;

constexpr std::uint16_t service_port = 7471;

[[nodiscard]] SocketAddress peer_address() { return socket_address(IpAddress::v4(0x0A000002), service_port); }

// Two threads do with one id whatever comes to their mind, and a third ends it: ucm's mutex makes it one after the
// other [spec 2.2.1, 4 #2].
void one_id_two_threads(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  UcmHost host(execution, network, 1);
  Channel channel(execution, host.ucm);
  const Handle id = channel.create(1);
  host.service.start();
  const auto meddle = [&] {
    (void)host.ucm.resolve_addr(*channel.file, id, nullptr, peer_address(), 1s);
    (void)host.ucm.resolve_route(*channel.file, id, 1s);
    (void)host.ucm.query_route(*channel.file, id);
  };
  const auto one = execution.spawn("one", meddle);
  const auto two = execution.spawn("two", [&] {
    (void)host.ucm.bind(*channel.file, id, socket_address(host.address, 0));
    meddle();
  });
  (void)channel.poll();
  const auto reported = host.ucm.destroy_id(*channel.file, id);
  execution.check(reported.has_value(), "destroy_id");
  execution.check(reported == channel.fetched(id), "the number of fetched events is wrong");
  execution.check(!channel.poll().has_value(), "an event of an id that is no more");
  check_nothing_left(execution, host);
  execution.join(one);
  execution.join(two);
  host.ucm.close(*channel.file);
  host.service.stop();
}

// The device goes while the program is between any two steps, and then the program ends the id, which is what ucm is
// doing at the same time [spec 2.8, 4 #39].
void device_removal(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  UcmHost host(execution, network, 1);
  Channel channel(execution, host.ucm);
  const Handle id = channel.create(1);
  execution.check(host.ucm.bind(*channel.file, id, socket_address(host.address, 0)).has_value(), "bind");
  const bool listens = execution.choose(2) == 1;
  host.service.start();
  const auto remover = execution.spawn("remover", [&] { host.view.set_interfaces({}); });
  bool removed = false;
  const auto wait_for_event = [&] {
    const EventType type = channel.next().type;
    removed = removed || type == EventType::device_removal;
  };
  if (listens) {
    (void)host.ucm.listen(*channel.file, id, 1);
  } else if (host.ucm.resolve_addr(*channel.file, id, nullptr, peer_address(), 1s)) {
    if (execution.choose(2) == 1) wait_for_event();
    if (host.ucm.resolve_route(*channel.file, id, 1s) && !removed && execution.choose(2) == 1) wait_for_event();
  }
  if (execution.choose(2) == 1) {
    // The program waits for the end that ucm makes by itself.
    while (!removed) wait_for_event();
    execution.sleep_until(execution.world().now() + 1s);
    execution.check(host.manager->live_ids() == 0, "close_work did not end the id");
    execution.check(errno_of(host.ucm.listen(*channel.file, id, 1)) == ENXIO, "an id without its device");
  }
  const auto reported = host.ucm.destroy_id(*channel.file, id);
  execution.check(reported == channel.fetched(id), "the number of fetched events is wrong");
  execution.join(remover);
  host.ucm.close(*channel.file);
  check_nothing_left(execution, host);
  execution.sleep_until(execution.world().now() + 1s);
  execution.check(host.connections.usage() == cm::Usage{}, "cm keeps something");
  host.service.stop();
}

// An id moves to another channel while another thread ends it and a third closes one of the channels, and an event is
// on its way [spec 4 #40, #41].
void migrate_destroy_close(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  UcmHost host(execution, network, 1);
  Channel from(execution, host.ucm);
  Channel to(execution, host.ucm);
  Channel third(execution, host.ucm);
  const Handle id = from.create(1);
  execution.check(host.ucm.resolve_addr(*from.file, id, nullptr, peer_address(), 1s).has_value(), "resolve_addr");
  host.service.start();
  const std::size_t closes = execution.choose(4);
  const auto mover = execution.spawn("mover", [&] {
    const auto reported = host.ucm.migrate_id(to.file, *from.file, id);
    if (reported) execution.check(*reported <= from.fetched(id), "more events reported than fetched");
  });
  const auto closer = execution.spawn("closer", [&] {
    if (closes < 2) host.ucm.close(closes == 0 ? *to.file : *from.file);
    if (closes == 2) (void)host.ucm.migrate_id(third.file, *from.file, id);
  });
  (void)from.poll();
  (void)to.poll();
  auto reported = host.ucm.destroy_id(*from.file, id);
  if (!reported) reported = host.ucm.destroy_id(*to.file, id);
  if (!reported) reported = host.ucm.destroy_id(*third.file, id);
  // A closed channel counts nothing any more.
  if (reported && closes != 0)
    execution.check(*reported == from.fetched(id) + to.fetched(id), "the number of events is wrong");
  execution.join(mover);
  execution.join(closer);
  for (Channel* channel : {&from, &to, &third}) host.ucm.close(*channel->file);
  check_nothing_left(execution, host);
  host.service.stop();
}

// Ids are born on a channel that is being closed [spec 2.8.8].
void create_and_close(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  UcmHost host(execution, network, 1);
  Channel channel(execution, host.ucm);
  host.service.start();
  const auto creator = execution.spawn("creator", [&] {
    const auto id = host.ucm.create_id(channel.file, 1, cma::PortSpace::tcp, cma::QpType::rc);
    if (id) (void)host.ucm.bind(*channel.file, *id, socket_address(host.address, 0));
  });
  host.ucm.close(*channel.file);
  execution.join(creator);
  check_nothing_left(execution, host);
  host.service.stop();
}

// A client that connects once and takes what comes.
class Client {
 public:
  Client(Execution& execution, Host& host, const SocketAddress& server) : host_(host) {
    id_ = host_.manager->create_id(
        cma::PortSpace::tcp, cma::QpType::rc,
        [this, &execution](cma::Id& id, const cma::Event& event) { return handle(execution, id, event); }, nullptr);
    execution.check(id_->resolve_addr(nullptr, server, 1s).has_value(), "client: resolve_addr");
  }
  void end() { host_.manager->destroy_id(id_); }

 private:
  int handle(Execution& execution, cma::Id& id, const cma::Event& event) {
    cma::ConnParam param;
    param.qpn = Qpn(0x100);
    if (event.type == EventType::addr_resolved) execution.check(id.resolve_route(1s).has_value(), "resolve_route");
    if (event.type == EventType::route_resolved) execution.check(id.connect_locked(param).has_value(), "connect");
    if (event.type == EventType::connect_response) (void)id.accept(nullptr);
    if (event.type == EventType::disconnected) (void)id.disconnect();
    return 0;
  }
  Host& host_;
  cma::Id* id_;
};

// A connection request sits in the channel, fetched or not, while the listener is destroyed or moved, or the channel
// closed [spec 2.8, 4 #43].
void unfetched_request(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  Host client_host(execution, network, 1);
  UcmHost host(execution, network, 2);
  network.set_notify([&] {
    client_host.service.wake();
    host.service.wake();
  });
  Channel channel(execution, host.ucm);
  Channel other(execution, host.ucm);
  const Handle listener = channel.create(1);
  execution.check(host.ucm.bind(*channel.file, listener, socket_address(host.address, service_port)).has_value(),
                  "bind");
  execution.check(host.ucm.listen(*channel.file, listener, 1).has_value(), "listen");
  client_host.service.start();
  host.service.start();
  Client client(execution, client_host, socket_address(host.address, service_port));

  const auto accept_on = [&](Channel& on) {
    const auto event = on.poll();
    if (!event) return;
    if (event->type != EventType::connect_request) return;
    cma::ConnParam param;
    param.qpn = Qpn(0x200);
    (void)host.ucm.accept(*on.file, event->id, 2, param);
    if (execution.choose(2) == 1) (void)host.ucm.destroy_id(*on.file, event->id);
  };
  const std::size_t what = execution.choose(4);
  execution.sleep_until(execution.world().now() +
                        rt::Duration(std::chrono::microseconds(10 + 10 * execution.choose(2))));
  const auto one = execution.spawn("one", [&] {
    accept_on(channel);
    accept_on(other);
  });
  const auto two = execution.spawn("two", [&] {
    if (what >= 2) (void)host.ucm.migrate_id(other.file, *channel.file, listener);
    if (what == 3) host.ucm.close(*channel.file);
  });
  if (what == 1) host.ucm.close(*channel.file);
  auto reported = host.ucm.destroy_id(*channel.file, listener);
  if (!reported) reported = host.ucm.destroy_id(*other.file, listener);
  execution.join(one);
  if (reported) {
    const unsigned fetched = channel.fetched(listener) + other.fetched(listener);
    execution.check(*reported == fetched, "the number of fetched events is wrong");
  }
  execution.join(two);
  accept_on(other);
  host.ucm.close(*channel.file);
  host.ucm.close(*other.file);
  check_nothing_left(execution, host);
  client.end();
  execution.sleep_until(execution.world().now() + 400s);  // timewait, retries
  execution.check(client_host.connections.usage() == cm::Usage{}, "the client's cm keeps something");
  execution.check(host.connections.usage() == cm::Usage{}, "the server's cm keeps something");
  client_host.service.stop();
  host.service.stop();
}

// A request is on its way to the program when its peer withdraws it, the device goes or the listener ends: the program
// is told of each id what that id can have, in an order that it can have [spec 1.5, 2.8].
void request_and_its_end(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  Host client_host(execution, network, 1);
  UcmHost host(execution, network, 2);
  network.set_notify([&] {
    client_host.service.wake();
    host.service.wake();
  });
  Channel channel(execution, host.ucm);
  const Handle listener = channel.create(1);
  execution.check(host.ucm.bind(*channel.file, listener, socket_address(host.address, service_port)).has_value(),
                  "bind");
  execution.check(host.ucm.listen(*channel.file, listener, 1).has_value(), "listen");
  client_host.service.start();
  host.service.start();
  std::set<Handle> gone;
  const auto fetch = [&] {
    while (const auto event = channel.poll()) {
      execution.check(!gone.contains(event->id), "an event after DEVICE_REMOVAL");
      if (event->type == EventType::device_removal) gone.insert(event->id);
      const bool possible = event->id != listener || event->type == EventType::device_removal;
      execution.check(possible, "an event that a listener cannot have");
    }
  };
  Client client(execution, client_host, socket_address(host.address, service_port));
  const bool removed = execution.choose(2) == 1;
  const bool destroyed = execution.choose(2) == 1;
  execution.sleep_until(execution.world().now() +
                        rt::Duration(std::chrono::microseconds(10 + 10 * execution.choose(3))));
  const auto peer = execution.spawn("peer", [&] { client.end(); });
  const auto remover = execution.spawn("remover", [&] {
    if (removed) host.view.set_interfaces({});
  });
  if (destroyed) (void)host.ucm.destroy_id(*channel.file, listener);
  fetch();
  execution.join(peer);
  execution.join(remover);
  execution.sleep_until(execution.world().now() + 1s);
  fetch();
  host.ucm.close(*channel.file);
  check_nothing_left(execution, host);
  execution.sleep_until(execution.world().now() + 400s);  // timewait, retries
  execution.check(client_host.connections.usage() == cm::Usage{}, "the client's cm keeps something");
  execution.check(host.connections.usage() == cm::Usage{}, "the server's cm keeps something");
  client_host.service.stop();
  host.service.stop();
}

// Two threads join and leave groups with one id, which is destroyed, moved, or loses its channel meanwhile
// [spec 4 #44].
void memberships(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  UcmHost host(execution, network, 1);
  Channel channel(execution, host.ucm);
  Channel other(execution, host.ucm);
  const auto id = host.ucm.create_id(channel.file, 1, cma::PortSpace::udp, cma::QpType::ud);
  execution.check(id.has_value() && host.ucm.bind(*channel.file, *id, socket_address(host.address, 0)), "bind");
  host.service.start();
  const SocketAddress group = socket_address(IpAddress::v4(0xEF010101), 0);
  struct Left {
    Handle handle{};
    unsigned reported{};
  };
  std::vector<Left> left;
  const auto join_and_leave = [&](std::uint64_t uid) {
    const auto joined = host.ucm.join_multicast(*channel.file, *id, group, uid, 0);
    if (!joined) return;
    auto reported = host.ucm.leave_multicast(*channel.file, *joined);
    if (!reported) reported = host.ucm.leave_multicast(*other.file, *joined);
    const TsanIgnore ignore;  // the scenario's own notes, in the order of the schedule
    if (reported) left.push_back({*joined, *reported});
  };
  const std::size_t what = execution.choose(4);
  const auto one = execution.spawn("one", [&] { join_and_leave(10); });
  const auto two = execution.spawn("two", [&] { join_and_leave(20); });
  (void)channel.poll();
  if (what == 1) (void)host.ucm.migrate_id(other.file, *channel.file, *id);
  if (what == 2) host.ucm.close(*channel.file);
  if (what == 3) (void)host.ucm.destroy_id(*channel.file, *id);
  (void)channel.poll();
  (void)other.poll();
  execution.join(one);
  execution.join(two);
  for (const Left& each : left) {
    execution.check(what == 2 || each.reported == channel.fetched(each.handle) + other.fetched(each.handle),
                    "the number of a membership's events is wrong");
  }
  for (Channel* on : {&channel, &other}) {
    while (const auto event = on->poll()) {
      execution.check(std::ranges::find(left, event->multicast, &Left::handle) == left.end(),
                      "an event of a membership that was left");
    }
  }
  for (Channel* on : {&channel, &other}) host.ucm.close(*on->file);
  check_nothing_left(execution, host);
  execution.check(host.groups.joins(host.devices.list().front(), group.ip) == 0, "joined is not left");
  host.service.stop();
}

// An event that the program writes itself while another thread moves the id: it is on the channel where the id is
// [spec 4 #49].
void own_events_and_migrate(Execution& execution) {
  fabric::SimNetwork network(execution.world());
  UcmHost host(execution, network, 1);
  Channel from(execution, host.ucm);
  Channel to(execution, host.ucm);
  const Handle id = from.create(1);
  host.service.start();
  bool written = false;
  const auto writer = execution.spawn(
      "writer", [&] { written = host.ucm.write_event(*from.file, id, 1, EventType::user, 0, 7).has_value(); });
  const auto moved = host.ucm.migrate_id(to.file, *from.file, id);
  execution.check(moved == 0U, "migrate_id");
  execution.join(writer);
  execution.check(!from.poll().has_value(), "an event of an id that has left the channel");
  execution.check(to.poll().has_value() == written, "an event is lost");
  execution.check(host.ucm.destroy_id(*to.file, id) == to.fetched(id), "the number of fetched events is wrong");
  for (Channel* on : {&from, &to}) host.ucm.close(*on->file);
  check_nothing_left(execution, host);
  host.service.stop();
}

}  // namespace

std::vector<Planned> ucm_scenarios() {
  return {
      {.scenario = {.name = "ucm-one-id-two-threads",
                    .about = "two threads work with one id, a third destroys it [spec 4 #2]",
                    .probes = {"ucm-destroy-waits"},
                    .body = one_id_two_threads},
       .plans = {{"dfs:0", 0}, {"pct:3", 1500}, {"random", 500}}},
      {.scenario = {.name = "ucm-device-removal",
                    .about = "the device goes at any step; close_work against destroy_id() [spec 2.8]",
                    .probes = {"ucm-destroy-waits", "ucm-id-without-device", "cma-claimed-before-query",
                               "cma-answer-for-claimed", "cma-route-for-claimed"},
                    .body = device_removal},
       .plans = {{"dfs:0", 0}, {"pct:3", 6000}, {"random", 3000}}},
      {.scenario = {.name = "ucm-migrate-destroy-close",
                    .about = "migrate_id() against destroy_id(), close() and events [spec 4 #40]",
                    .probes = {"ucm-migrate-too-late", "ucm-migrate-to-closed", "ucm-close-waits"},
                    .body = migrate_destroy_close},
       .plans = {{"dfs:0", 0}, {"pct:3", 2000}, {"random", 1000}}},
      {.scenario = {.name = "ucm-create-and-close",
                    .about = "create_id() on a channel that is being closed",
                    .probes = {},
                    .body = create_and_close},
       .plans = {{"dfs:2", 0}, {"random", 500}}},
      {.scenario = {.name = "ucm-multicast",
                    .about = "memberships against destroy, migrate and close [spec 4 #44]",
                    .probes = {"ucm-destroy-waits", "cma-membership-cancelled"},
                    .body = memberships},
       .plans = {{"pct:3", 2000}, {"random", 1000}}},
      {.scenario = {.name = "ucm-own-events-and-migrate",
                    .about = "write_event() against migrate_id() [spec 4 #49]",
                    .probes = {},
                    .body = own_events_and_migrate},
       .plans = {{"dfs:2", 0}, {"random", 500}}},
      {.scenario = {.name = "ucm-unfetched-request",
                    .about = "requests in the channel against destroy, migrate and close [spec 4 #43]",
                    .probes = {"ucm-unfetched-destroyed", "ucm-migrate-too-late", "ucm-close-waits",
                               "cma-request-for-claimed"},
                    .body = unfetched_request},
       .plans = {{"pct:3", 1500}, {"random", 1000}}},
      {.scenario = {.name = "ucm-request-and-its-end",
                    .about = "a request against its peer's end, device removal and the listener's end [spec 4 #43]",
                    .probes = {"ucm-unfetched-destroyed"},
                    .body = request_and_its_end},
       .plans = {{"pct:3", 1500}, {"random", 1000}}},
  };
}

}  // namespace hawser::scenarios
