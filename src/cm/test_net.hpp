// Managers joined by a wire in virtual time, for tests: drops, delays and duplicates what it is told to.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cm/manager.hpp"
#include "cm/messages.hpp"
#include "verbs/device.hpp"

namespace hawser::cm {

using namespace std::chrono_literals;

class TestIds final : public CommIdSpace {
 public:
  explicit TestIds(std::uint32_t first) : next_(first) {}
  Result<CommId> allocate() override {
    if (in_use_.size() >= limit) return fail(ENOMEM);
    const CommId id(next_++);
    in_use_.insert(id);
    return id;
  }
  void release(CommId id) override {
    if (in_use_.erase(id) != 1) std::abort();
  }
  [[nodiscard]] std::size_t in_use() const { return in_use_.size(); }
  [[nodiscard]] bool is_in_use(CommId id) const { return in_use_.contains(id); }
  std::size_t limit = 1'000'000;

 private:
  std::uint32_t next_;
  std::set<CommId> in_use_;
};

struct Sent {
  rt::Time time;
  verbs::MadAddress to;
  verbs::Mad mad;
  Message message;
};

template <class M>
const M* as(const Message& message) {
  return std::get_if<M>(&message.body);
}
inline Attribute attribute_of(const Message& message) {
  return std::visit([]<class M>(const M&) { return M::attribute; }, message.body);
}

class TestNet;

class Host final : public MadSender {
 public:
  Host(TestNet& net, std::uint32_t number, const Limits& limits = {});
  void send(const verbs::MadAddress& to, const verbs::Mad& mad) override;
  void receive(const verbs::MadAddress& from, const verbs::Mad& mad) { manager.on_mad(device, from, mad); }

  TestNet& net;
  const Gid gid;
  const verbs::DevicePtr device;
  TestIds ids;
  Manager manager;
  std::vector<Sent> sent;
  bool broken = false;  // nothing leaves it
  std::function<void()> before_each_send;

  [[nodiscard]] Path path_to(const Gid& remote) const {
    Path path;
    path.device = device;
    path.local = gid;
    path.remote = remote;
    return path;
  }
  [[nodiscard]] std::vector<Attribute> sent_kinds() const {
    std::vector<Attribute> kinds;
    kinds.reserve(sent.size());
    for (const Sent& s : sent) kinds.push_back(attribute_of(s.message));
    return kinds;
  }
};

class TestNet {
 public:
  // What happens to the MAD with this number (from 0, both directions together): when each copy arrives; none: lost.
  using Fate = std::function<std::vector<rt::Duration>(std::size_t number, const Message&)>;

  TestNet() = default;
  [[nodiscard]] rt::Time now() const { return world->now(); }
  void join(Host& host) { hosts_[host.gid] = &host; }
  void leave(Host& host) { hosts_.erase(host.gid); }
  void at(rt::Time time, std::function<void()> action) { actions_.emplace(time, std::move(action)); }
  void transmit(const Host& from, const verbs::MadAddress& to, const verbs::Mad& mad, const Message& message);

  // Runs what is due until nothing is left, or until `end`.
  void run(rt::Duration at_most = std::chrono::hours(10));
  [[nodiscard]] bool is_quiet() const { return actions_.empty() && dispatcher.next_deadline() == rt::time_never; }

  const std::unique_ptr<rt::World> world = rt::World::simulated(7);
  rt::Dispatcher dispatcher{*world};
  Fate fate = [](std::size_t, const Message&) { return std::vector<rt::Duration>{1ms}; };
  std::size_t transmitted = 0;

 private:
  std::map<Gid, Host*> hosts_;
  std::multimap<rt::Time, std::function<void()>> actions_;
};

inline Host::Host(TestNet& n, std::uint32_t number, const Limits& limits)
    : net(n),
      gid(Gid::v4(0x0A000000 + number)),
      device([&] {
        verbs::InterfaceSnapshot interface;
        interface.index = number;
        interface.name = "eth" + std::to_string(number);
        interface.mtu_bytes = 1500;
        interface.up = true;
        interface.addresses = {gid};
        return std::make_shared<verbs::Device>("hw_" + interface.name, Guid(0x0248570000000000 + number), interface);
      }()),
      ids(number << 24 | 1),
      manager(n.dispatcher, *this, ids, limits) {
  n.join(*this);
}

inline void Host::send(const verbs::MadAddress& to, const verbs::Mad& mad) {
  if (before_each_send) before_each_send();
  if (broken) return;
  const auto message = decode(mad);
  if (!message) std::abort();  // ours never are
  sent.push_back({net.now(), to, mad, *message});
  net.transmit(*this, to, mad, *message);
}

inline void TestNet::transmit(const Host& from, const verbs::MadAddress& to, const verbs::Mad& mad,
                              const Message& message) {
  const auto target = hosts_.find(to.remote);
  if (target == hosts_.end()) return;
  Host* const host = target->second;
  verbs::MadAddress back;
  back.local = host->gid;
  back.remote = from.gid;
  for (const rt::Duration delay : fate(transmitted++, message)) {
    at(now() + delay, [host, back, mad] { host->receive(back, mad); });
  }
}

inline void TestNet::run(rt::Duration at_most) {
  const rt::Time end = now() + at_most;
  for (;;) {
    static_cast<void>(dispatcher.run());
    rt::Time next = dispatcher.next_deadline();
    if (!actions_.empty()) next = std::min(next, actions_.begin()->first);
    if (next == rt::time_never) return;
    if (next > end) {
      world->advance_to(end);
      return;
    }
    if (next > now()) world->advance_to(next);
    while (!actions_.empty() && actions_.begin()->first <= now()) {
      const auto action = std::move(actions_.begin()->second);
      actions_.erase(actions_.begin());
      action();
    }
  }
}

// A program on one host that connects or accepts and notes what it is told.
inline constexpr ServiceId test_service{0x0000000001061C46};

struct Program {
  explicit Program(Host& h) : host(h) {}

  Host& host;
  Connection* connection = nullptr;
  std::vector<EventKind> events;
  std::uint16_t reject_reason = 0;
  std::function<int(const Event&)> on_event;  // instead of the usual reaction

  Handler handler() {
    return [this](Connection& c, const Event& event) { return handle(c, event); };
  }
  int handle(Connection& c, const Event& event) {
    connection = &c;
    events.push_back(event.kind);
    if (event.kind == EventKind::rej_received) reject_reason = event.rej.reason;
    const int result = on_event ? on_event(event) : react(event);
    if (result != 0) connection = nullptr;
    return result;
  }
  // As cma and its program together would: accept, confirm, and let go.
  int react(const Event& event) {
    switch (event.kind) {
      case EventKind::req_received: {
        connection->set_handler(handler());
        RepParam param;
        param.qpn = Qpn(0x20);
        param.starting_psn = Psn(0x222222);
        return -errno_of(connection->send_rep(param));
      }
      case EventKind::rep_received: return -errno_of(connection->send_rtu({}));
      case EventKind::dreq_received: return -errno_of(connection->send_drep({}));
      default: return 0;
    }
  }
  ReqParam req_param(const Gid& remote, Qpn qpn = Qpn(0x10)) const {
    ReqParam param;
    param.path = host.path_to(remote);
    param.service_id = test_service;
    param.qpn = qpn;
    param.starting_psn = Psn(0x111111);
    return param;
  }
  Status connect(const Gid& remote, Qpn qpn = Qpn(0x10)) {
    if (connection == nullptr) connection = *host.manager.create(handler());
    return connection->send_req(req_param(remote, qpn));
  }
  void destroy() {
    if (connection != nullptr) host.manager.destroy(std::exchange(connection, nullptr));
  }
};

}  // namespace hawser::cm
