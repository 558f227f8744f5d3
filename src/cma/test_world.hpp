// For tests: hosts with the real cm, cma and addr on one simulated clock, joined by a wire that carries MADs and can
// lose them. One thread; nothing happens until run() or pass().
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "addr/resolver.hpp"
#include "addr/sim_network_view.hpp"
#include "addr/sim_subnet_admin.hpp"
#include "cm/manager.hpp"
#include "cma/manager.hpp"
#include "cma/port_table.hpp"

namespace hawser::cma {

struct TestHost;

struct SentMad {
  verbs::MadAddress to;
  verbs::Mad mad{};
  [[nodiscard]] unsigned attribute() const { return std::to_integer<unsigned>(mad[17]); }  // 0x10 REQ, 0x12 REJ …
};

// All hosts, and what is between them.
struct TestWorld {
  explicit TestWorld(std::uint64_t seed = 1) : world(rt::World::simulated(seed)) {}
  // Runs until nobody has anything to do now.
  void run();
  // As run(), for a time.
  void pass(rt::Duration duration);

  std::unique_ptr<rt::World> world;
  std::vector<TestHost*> hosts;
  std::deque<SentMad> wire;
  std::vector<unsigned> sent;                          // attributes of everything sent
  std::function<bool(const SentMad&)> lose = nullptr;  // true: the wire swallows it
};

struct CountingCommIds final : cm::CommIdSpace {
  explicit CountingCommIds(std::uint32_t first) : next(first) {}
  Result<CommId> allocate() override {
    if (refuse) {
      if (const int error = refuse(); error != 0) return fail(error);
    }
    ++live;
    return CommId(next++);
  }
  void release(CommId) override { --live; }
  std::uint32_t next;
  int live = 0;
  std::function<int()> refuse;  // an errno, or 0: go on. Called with the locks of whoever asks
};

struct TestLedger final : cm::Ledger {
  cm::LedgerRecord* allocate() override {
    ++live;
    records.push_back(std::make_unique<cm::LedgerRecord>());
    return records.back().get();
  }
  void release(cm::LedgerRecord* record) override {
    cm::update(record, [](cm::LedgerRecord& r) { r.in_use = 0; });
    --live;
  }
  std::vector<std::unique_ptr<cm::LedgerRecord>> records;
  int live = 0;
};

// The port table, which may be told to refuse a listen: as the agent does that dies at this moment.
struct TestPorts final : PortArbiter {
  TestPorts(rt::World& world, PortTable::Range range) : table(world, std::move(range)) {}
  Result<PortBinding> bind(const PortRequest& request) override { return table.bind(request); }
  Status listen(PortHandle handle) override { return refuse != 0 ? fail(refuse) : table.listen(handle); }
  void unlisten(PortHandle handle) override { table.unlisten(handle); }
  Status set_option(PortHandle handle, PortOption option, bool value) override {
    return table.set_option(handle, option, value);
  }
  void release(PortHandle handle) override { table.release(handle); }
  [[nodiscard]] std::size_t size() const { return table.size(); }
  PortTable table;
  int refuse = 0;
};

// Where a host's groups are joined: says what it is told.
struct TestGroups final : fabric::Fabric {
  std::size_t send(std::span<const fabric::OutDatagram> datagrams) override { return datagrams.size(); }
  std::size_t receive(std::span<fabric::InDatagram>) override { return 0; }
  Status join_group(const IpAddress& group, std::uint32_t interface) override {
    if (refuse != 0) return fail(refuse);
    EXPECT_TRUE(members.emplace(group, interface).second) << "joined twice";
    return {};
  }
  Status leave_group(const IpAddress& group, std::uint32_t interface) override {
    EXPECT_EQ(members.erase({group, interface}), 1U) << "left without having joined";
    return {};
  }
  [[nodiscard]] std::uint16_t source_port() const override { return roce_v2_port; }
  [[nodiscard]] int poll_fd() const override { return -1; }
  [[nodiscard]] fabric::Counters counters() const override { return {}; }
  std::set<std::pair<IpAddress, std::uint32_t>> members;
  int refuse = 0;
};

struct TestHost final : cm::MadSender {
  TestHost(TestWorld& of, std::uint64_t identity, std::vector<verbs::InterfaceSnapshot> interfaces)
      : all(of),
        dispatcher(*of.world),
        devices(identity),
        resolver(dispatcher, network),
        subnet(dispatcher),
        ids(static_cast<std::uint32_t>(identity) << 24 | 1),
        connections(dispatcher, *this, ids),
        ports(*of.world, [this] { return network.local_port_range(); }) {
    network.set_interfaces(std::move(interfaces));
    devices.apply(network.interfaces());
    network.set_observer({.interfaces_changed = [this] { devices.apply(network.interfaces()); },
                          .neighbour_changed =
                              [this](const addr::NeighbourChange& change) {
                                resolver.on_neighbour(change);
                                if (manager) manager->on_neighbour(change);
                              }});
    manager = std::make_unique<Manager>(Services{.dispatcher = dispatcher,
                                                 .network = network,
                                                 .resolver = resolver,
                                                 .devices = devices,
                                                 .connections = connections,
                                                 .ports = ports,
                                                 .ledger = ledger,
                                                 .groups = groups,
                                                 .subnet = &subnet});
    of.hosts.push_back(this);
  }
  ~TestHost() override {
    all.pass(std::chrono::seconds(200));  // timewait and lost answers
    EXPECT_EQ(manager->live_ids(), 0U);
    EXPECT_EQ(ports.size(), 0U) << "every port is given back";
    EXPECT_EQ(ledger.live, 0);
    EXPECT_TRUE(igmp.members.empty()) << "every group is left [spec 3.7]";
    manager.reset();
    std::erase(all.hosts, this);
  }

  void send(const verbs::MadAddress& to, const verbs::Mad& mad) override {
    if (cut_off) return;
    all.wire.push_back({to, mad});
    all.sent.push_back(all.wire.back().attribute());
  }

  TestWorld& all;
  bool cut_off = false;  // nothing leaves the host
  rt::Dispatcher dispatcher;
  addr::SimNetworkView network;
  verbs::DeviceTable devices;
  addr::Resolver resolver;
  addr::SimSubnetAdmin subnet;  // none until a test says what it answers
  CountingCommIds ids;
  cm::Manager connections;
  TestPorts ports;
  TestLedger ledger;
  TestGroups igmp;
  verbs::MulticastGroups groups{igmp};
  std::unique_ptr<Manager> manager;
};

inline void TestWorld::run() {
  for (bool busy = true; busy;) {
    busy = false;
    for (TestHost* host : hosts) {
      if (!host->dispatcher.has_work(world->now())) continue;
      busy = true;
      EXPECT_TRUE(host->dispatcher.run());
    }
    if (wire.empty()) continue;
    busy = true;
    const SentMad sent_mad = wire.front();
    wire.pop_front();
    if (lose && lose(sent_mad)) continue;
    for (TestHost* host : hosts) {
      const verbs::DevicePtr device = host->devices.find_by_address(sent_mad.to.remote);
      if (device == nullptr) continue;
      // Loopback addresses mean the sender's own host; with several hosts the tests use them on one only.
      verbs::MadAddress from = sent_mad.to;
      std::swap(from.local, from.remote);
      from.interface = device->interface_index();
      host->connections.on_mad(device, from, sent_mad.mad);
      break;
    }
  }
}

inline void TestWorld::pass(rt::Duration duration) {
  const rt::Time end = world->now() + duration;
  for (;;) {
    run();
    rt::Time next = rt::time_never;
    for (TestHost* host : hosts) next = std::min(next, host->dispatcher.next_deadline());
    if (next > end) break;
    world->advance_to(std::max(next, world->now()));
  }
  world->advance_to(end);
}

inline verbs::InterfaceSnapshot ethernet(std::uint32_t index, const std::string& name,
                                         const std::vector<std::string>& addresses) {
  verbs::InterfaceSnapshot interface{.index = index,
                                     .name = name,
                                     .mac = {2, 0, 0, 0, 0, static_cast<std::uint8_t>(index)},
                                     .mtu_bytes = 1500,
                                     .up = true,
                                     .loopback = false,
                                     .addresses = {}};
  for (const std::string& text : addresses) interface.addresses.push_back(*IpAddress::parse(text));
  return interface;
}

inline verbs::InterfaceSnapshot loopback() {
  verbs::InterfaceSnapshot interface = ethernet(1, "lo", {"127.0.0.1", "::1"});
  interface.loopback = true;
  interface.mtu_bytes = 65536;
  return interface;
}

inline SocketAddress address(const std::string& ip, std::uint16_t port = 0, std::uint32_t scope = 0) {
  SocketAddress a;
  a.ip = *IpAddress::parse(ip);
  a.family = ip.find(':') == std::string::npos ? Family::inet : Family::inet6;
  a.port = port;
  a.scope_id = scope;
  return a;
}

inline std::vector<std::byte> bytes(std::string_view text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

// An id with a program that writes down what it is told, and does what the test put in `react`.
struct TestId {
  struct Seen {
    EventType type{};
    int status{};
    Event::Conn conn;  // without private_data
    UdTarget ud;
    std::string private_data;
    State state{};  // of the id, while the handler ran
    const Id* on{};
  };

  explicit TestId(TestHost& on, PortSpace space = PortSpace::tcp, QpType qp_type = QpType::rc) : host(on) {
    id = host.manager->create_id(
        space, qp_type, [this](Id& self, const Event& event) { return handle(self, event); }, this);
  }
  ~TestId() {
    for (Id* child : children) host.manager->destroy_id(child);
    destroy();
  }
  void destroy() {
    if (id != nullptr) host.manager->destroy_id(id);
    id = nullptr;
  }
  Id* operator->() const { return id; }

  int handle(Id& on, const Event& event) {
    Seen now{event.type, event.status, event.conn, event.ud.target, {}, on.state(), &on};
    for (const std::byte b : event.conn.private_data) now.private_data += static_cast<char>(b);
    for (const std::byte b : event.ud.private_data) now.private_data += static_cast<char>(b);
    now.conn.private_data = {};
    seen.push_back(now);
    const int result = react ? react(on, event) : 0;
    if (&on != id) {
      if (event.type == EventType::connect_request && result == 0) children.push_back(&on);
      if (event.type != EventType::connect_request && result != 0) std::erase(children, &on);
    } else if (result != 0) {
      id = nullptr;  // ends with the handler
    }
    return result;
  }
  [[nodiscard]] std::vector<EventType> types() const {
    std::vector<EventType> all;
    for (const Seen& one : seen) all.push_back(one.type);
    return all;
  }

  TestHost& host;
  Id* id = nullptr;
  std::vector<Seen> seen;     // of the id and, for a listener, its children
  std::vector<Id*> children;  // accepted into the world by the handler's 0
  std::function<int(Id&, const Event&)> react;
};

// Two hosts on one link.
class TwoHosts : public testing::Test {
 protected:
  TestWorld world_;
  TestHost a_{world_, 1, {loopback(), ethernet(2, "eth0", {"10.0.0.1", "fd00::1"})}};
  TestHost b_{world_, 2, {ethernet(3, "eth0", {"10.0.0.2", "fd00::2"})}};

  // Up to ROUTE_RESOLVED.
  void resolve(TestId& id, const SocketAddress& to) {
    ASSERT_EQ(errno_of(id->resolve_addr(nullptr, to, std::chrono::seconds(2))), 0);
    world_.run();
    ASSERT_EQ(id->state(), State::addr_resolved);
    ASSERT_EQ(errno_of(id->resolve_route(std::chrono::seconds(2))), 0);
    world_.run();
    ASSERT_EQ(id->state(), State::route_resolved);
    id.seen.clear();
  }
  void listen(TestId& id, const SocketAddress& on) {
    ASSERT_EQ(errno_of(id->bind_addr(on)), 0);
    ASSERT_EQ(errno_of(id->listen(16)), 0);
    ASSERT_EQ(id->state(), State::listen);
  }
};

inline ConnParam with_qp(std::uint32_t qpn, std::span<const std::byte> private_data = {}) {
  ConnParam param;
  param.qpn = Qpn(qpn);
  param.private_data = private_data;
  param.responder_resources = 3;
  param.initiator_depth = 5;
  param.retry_count = 7;
  param.rnr_retry_count = 7;
  return param;
}

}  // namespace hawser::cma
