#include "simulation.hpp"

#include <fmt/format.h>

#include "../explore/host.hpp"

namespace hawser::fuzz {
namespace {

using namespace std::chrono_literals;
using rt::explore::Execution;
using rt::explore::Options;

constexpr std::uint64_t steps_max = 400'000;  // of programs as long as they may be
constexpr std::uint32_t pct_length = 4000;

// Two interfaces: a device more than most programs expect.
std::vector<verbs::InterfaceSnapshot> interfaces_of(std::uint8_t number) {
  const auto v4 = [number](std::uint32_t network) { return IpAddress::v4(0x0A000000 + (network << 8) + number); };
  const IpAddress v6 = *IpAddress::parse(fmt::format("fd00::{}", number));
  return {{.index = number,
           .name = fmt::format("eth{}", number),
           .mac = {2, 0, 0, 0, 0, number},
           .mtu_bytes = 1500,
           .up = true,
           .loopback = false,
           .addresses = {v4(0), v6}},
          {.index = number + 10U,
           .name = fmt::format("eth{}", number + 10),
           .mac = {2, 0, 0, 0, 1, number},
           .mtu_bytes = 1500,
           .up = true,
           .loopback = false,
           .addresses = {v4(1)}}};
}

class SimulatedHost : public scenarios::Host {
 public:
  SimulatedHost(Execution& execution, fabric::SimNetwork& network, std::uint8_t number, fabric::FaultPlan plan)
      : Host(execution, network, number, interfaces_of(number), std::move(plan)),
        execution_(execution),
        number_(number),
        executor_(
            {.ucm = ucm,
             .world = execution.world(),
             .address = [this](Place place, std::uint16_t port) { return resolve(place, port); },
             .happen = [this](Happening happening) { happen(happening); },
             .pause = [&execution](rt::Duration time) { execution.sleep_until(execution.world().now() + time); }}) {
    for (const auto& device : devices.list()) first_devices_.push_back(device);
    if (execution.choose(2) == 0) serve_subnet();
  }

  ucm::Manager ucm{*manager, dispatcher};

  void start(const Program& program, Side side) {
    service.start();
    diaries_.reserve(threads_max);
    for (const Thread& thread : program.threads) {
      if (thread.side != side) continue;
      Diary& diary = diaries_.emplace_back();
      threads_.push_back(execution_.spawn(fmt::format("{}-{}", side == Side::near ? "near" : "far", threads_.size()),
                                          [this, &thread, &diary] { executor_.run(thread, diary); }));
    }
  }
  void join() {
    for (const rt::ThreadId thread : threads_) execution_.join(thread);
  }
  void close() { executor_.close_all(); }
  // After retries and timewait.
  void check_nothing_left() {
    execution_.check(manager->live_ids() == 0, "an id is left");
    execution_.check(ports.size() == 0, "a port was not given back");
    execution_.check(connections.usage() == cm::Usage{}, "cm keeps something");
    for (const auto& device : devices.list()) {
      for (const Place group : {Place::group, Place::group_too, Place::group6}) {
        execution_.check(groups.joins(device, resolve(group, 0).ip) == 0, "joined is not left");
      }
    }
    for (const auto& device : first_devices_) {
      const auto alive = device.lock();
      execution_.check(alive == nullptr || !alive->gone(), "somebody still holds a device that has gone");
    }
  }
  [[nodiscard]] const std::vector<Diary>& diaries() const { return diaries_; }

 private:
  [[nodiscard]] SocketAddress resolve(Place place, std::uint16_t port) const {
    const auto peer = static_cast<std::uint8_t>(3 - number_);
    const auto v4 = [port](const IpAddress& ip) { return SocketAddress{Family::inet, ip, port, 0, 0}; };
    const auto v6 = [port](const IpAddress& ip) { return SocketAddress{Family::inet6, ip, port, 0, 0}; };
    const auto text = [](const char* address_text) { return *IpAddress::parse(address_text); };
    switch (place) {
      case Place::unset: return {};
      case Place::here: return v4(address);
      case Place::here6: return v6(interfaces_of(number_)[0].addresses[1]);
      case Place::here_too: return v4(interfaces_of(number_)[1].addresses[0]);
      case Place::peer: return v4(interfaces_of(peer)[0].addresses[0]);
      case Place::peer6: return v6(interfaces_of(peer)[0].addresses[1]);
      case Place::peer_too: return v4(interfaces_of(peer)[1].addresses[0]);
      case Place::nobody: return v4(text("10.0.0.99"));
      case Place::any: return v4(IpAddress::any_v4());
      case Place::any6: return v6(IpAddress::any_v6());
      case Place::loopback: return v4(text("127.0.0.1"));
      case Place::loopback6: return v6(text("::1"));
      case Place::mapped: return v6(address);
      case Place::unscoped: return v6(text("fe80::1"));
      case Place::group: return v4(text("239.1.1.1"));
      case Place::group_too: return v4(text("239.1.1.2"));
      case Place::group6: return v6(text("ff0e::1"));
      case Place::infiniband: return {Family::ib, {}, port, 0, 0};
    }
    return {};
  }

  // A subnet administrator, which RoCE has not: how services and failing routes are reached.
  void serve_subnet() {
    subnet.on_services = [this](const addr::ServiceQuery&) -> std::optional<Result<std::vector<addr::ServiceRecord>>> {
      switch (execution_.choose(3)) {
        case 0: return std::nullopt;
        case 1: return fail(EHOSTUNREACH);
        default: return std::vector<addr::ServiceRecord>{{.id = ServiceId(7), .gid = address, .name = "service"}};
      }
    };
    subnet.on_path = [this](const Gid&) -> std::optional<Result<addr::PathRecord>> {
      if (execution_.choose(16) == 15) return fail(EHOSTUNREACH);
      return addr::PathRecord{};
    };
  }

  void happen(Happening happening) {
    const auto all = interfaces_of(number_);
    const SocketAddress peer = resolve(Place::peer, 0);
    switch (happening) {
      case Happening::device_goes: return view.set_interfaces({all[1]});
      case Happening::both_devices_go: return view.set_interfaces({});
      case Happening::devices_return: return view.set_interfaces(all);
      case Happening::device_flaps: view.set_interfaces({all[1]}); return view.set_interfaces(all);
      case Happening::neighbour_moves: return view.set_neighbour(number_, peer.ip, addr::Mac{2, 0, 0, 0, 0, 99});
      case Happening::neighbour_silent: return view.set_neighbour(number_, peer.ip, std::nullopt);
      case Happening::bond_fails_over: return manager->on_address_change(number_);
    }
  }

  Execution& execution_;
  const std::uint8_t number_;
  Executor executor_;
  std::vector<rt::ThreadId> threads_;
  std::vector<Diary> diaries_;  // reserved: threads keep references
  std::vector<std::weak_ptr<const verbs::Device>> first_devices_;
};

void run(Execution& execution, const Program& program, std::uint64_t seed, Tally& tally) {
  const auto plan = [&](std::uint64_t side) {
    fabric::FaultPlan faults;
    if (program.lossy) {
      faults.loss = 0.15;
      faults.duplication = 0.15;
      faults.seed = seed * 2 + side;
    }
    return faults;
  };
  fabric::SimNetwork network(execution.world(), {.delay_min = 10us, .delay_max = program.lossy ? 10ms : 10us});
  SimulatedHost near(execution, network, 1, plan(0));
  SimulatedHost far(execution, network, 2, plan(1));
  network.set_notify([&] {
    near.service.wake();
    far.service.wake();
  });
  near.start(program, Side::near);
  far.start(program, Side::far);
  for (SimulatedHost* host : {&near, &far}) host->join();
  for (SimulatedHost* host : {&near, &far}) host->close();
  execution.set_calm(true);
  execution.sleep_until(execution.world().now() + 400s);  // retries, timewait
  for (SimulatedHost* host : {&near, &far}) {
    host->check_nothing_left();
    host->service.stop();
    const std::string wrong = verify(host->diaries());
    execution.check(wrong.empty(), wrong);
  }
  std::vector<Diary> all = near.diaries();
  all.insert(all.end(), far.diaries().begin(), far.diaries().end());
  sum_up(all, tally);
}

Options options_of(std::uint64_t seed) {
  Options options;
  options.seed = seed;
  options.runs_max = 1;
  options.steps_max = steps_max;
  options.strategy = seed % 2 == 0 ? rt::explore::StrategyKind::random : rt::explore::StrategyKind::pct;
  options.pct_depth = seed % 4 == 1 ? 3 : 8;
  options.pct_length = pct_length;
  if (seed % 8 >= 6) options.clock = rt::explore::Clock::eager;
  return options;
}

}  // namespace

std::optional<rt::explore::Finding> run_simulated(const Program& program, std::uint64_t seed, Tally& tally) {
  const rt::explore::Scenario scenario{
      .name = "program", .about = "a program of the fuzzer", .probes = {}, .body = [&](Execution& execution) {
        run(execution, program, seed, tally);
      }};
  return rt::explore::run(scenario, options_of(seed)).finding;
}

}  // namespace hawser::fuzz
