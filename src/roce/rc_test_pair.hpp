// For tests: two RcQp that talk over the simulated network, each with a host that keeps memory, receives and
// completions in plain containers.
#pragma once

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "fabric/faults.hpp"
#include "fabric/sim_network.hpp"
#include "roce/packet.hpp"
#include "roce/rc_qp.hpp"
#include "runtime/world.hpp"

namespace hawser::roce::test {

inline constexpr std::uint32_t all_access =
    access::local_write | access::remote_write | access::remote_read | access::remote_atomic;

// A registered range of `bytes` whose address as the program knows it is `address`.
struct Region {
  std::uint64_t address{};
  std::uint32_t rights{all_access};
  std::vector<std::byte> bytes;
};

class TestHost final : public RcHost {
 public:
  TestHost(rt::World& world, fabric::Fabric& fabric, bool own_buffers) : world_(world), fabric_(fabric) {
    if (own_buffers) buffer_.resize(fabric::datagram_bytes_max);
  }

  // RcHost
  std::byte* local_memory(LKey key, std::uint64_t addr, std::uint32_t length, std::uint32_t flags) override {
    return find(key.value, addr, length, flags);
  }
  std::byte* remote_memory(RKey key, std::uint64_t addr, std::uint32_t length, std::uint32_t flags) override {
    return find(key.value, addr, length, flags);
  }
  bool invalidate(RKey key) override { return regions.erase(key.value) == 1; }
  std::optional<RecvWork> take_receive() override {
    if (receives.empty()) return std::nullopt;
    RecvWork work = std::move(receives.front());
    receives.pop_front();
    return work;
  }
  void complete_send(const Completion& completion) override { sent.push_back(completion); }
  void complete_receive(const Completion& completion) override { received.push_back(completion); }
  std::span<std::byte> datagram_buffer() override { return buffer_; }
  void transmit(const fabric::OutDatagram& datagram) override {
    packets.emplace_back(datagram.payload.begin(), datagram.payload.end());
    if (drop && drop()) return;
    fabric_.send(std::span(&datagram, 1));
  }
  void communication_established() override { ++established; }
  void entered_error(std::optional<ResponderError> untold) override {
    ++errors;
    event = untold;
    if (flush) flush();
  }
  void send_queue_drained() override { ++drained; }
  [[nodiscard]] rt::Time now() const override { return world_.now(); }
  [[nodiscard]] PeerActivity peer_activity() const override { return peer; }
  [[nodiscard]] std::uint16_t source_port() const override { return fabric_.source_port(); }

  // What was transmitted (and perhaps dropped), decoded.
  [[nodiscard]] Packet packet(std::size_t n) const {
    const auto decoded = decode_unverified(packets.at(n));
    EXPECT_TRUE(decoded) << "packet " << n;
    return decoded.value_or(Packet{});
  }
  [[nodiscard]] std::vector<std::uint64_t> sent_ids() const {
    std::vector<std::uint64_t> ids;
    for (const Completion& completion : sent) ids.push_back(completion.wr_id);
    return ids;
  }

  std::map<std::uint32_t, Region> regions;  // by key; lkey and rkey are the same
  std::deque<RecvWork> receives;
  std::vector<Completion> sent, received;
  std::vector<std::vector<std::byte>> packets;
  std::function<bool()> drop;   // whether to lose the packet that is being sent
  std::function<void()> flush;  // what the owner of the queue pair does on an error
  int established = 0, errors = 0, drained = 0;
  std::optional<ResponderError> event;
  PeerActivity peer = PeerActivity::running;

 private:
  std::byte* find(std::uint32_t key, std::uint64_t addr, std::uint32_t length, std::uint32_t flags) {
    const auto found = regions.find(key);
    if (found == regions.end() || (found->second.rights & flags) != flags) return nullptr;
    Region& region = found->second;
    if (addr < region.address || addr - region.address > region.bytes.size() ||
        length > region.bytes.size() - (addr - region.address)) {
      return nullptr;
    }
    return region.bytes.data() + (addr - region.address);
  }

  rt::World& world_;
  fabric::Fabric& fabric_;
  std::vector<std::byte> buffer_;
};

// One end: fabric, host and queue pair, with one region of memory (key 1) that tests use at will.
struct End {
  static constexpr std::uint32_t key = 1;
  static constexpr std::uint64_t base = 0x10000;

  End(rt::World& world, std::unique_ptr<fabric::Fabric> the_fabric, RcLimits limits, bool own_buffers)
      : fabric(std::move(the_fabric)), host(world, *fabric, own_buffers), qp(host, limits) {
    host.flush = [this] { qp.flush(); };
    host.regions[key] = Region{.address = base, .bytes = std::vector<std::byte>(1 << 20)};
  }

  [[nodiscard]] std::span<std::byte> memory(std::size_t offset, std::size_t length) {
    return std::span(host.regions.at(key).bytes).subspan(offset, length);
  }
  void fill(std::size_t offset, std::size_t length, std::uint64_t seed) {
    for (std::byte& byte : memory(offset, length)) {
      seed = seed * 6364136223846793005 + 1442695040888963407;
      byte = static_cast<std::byte>(seed >> 56);
    }
  }
  [[nodiscard]] static Sge sge(std::size_t offset, std::size_t length) {
    return {.addr = base + offset, .length = static_cast<std::uint32_t>(length), .lkey = LKey(key)};
  }
  // A signaled work request on local memory [offset, offset + length) and remote memory at `remote_offset`.
  [[nodiscard]] static SendWork work(WorkOp op, std::uint64_t id, std::size_t offset, std::size_t length,
                                     std::size_t remote_offset = 0) {
    SendWork work;
    work.wr_id = id;
    work.op = op;
    work.signaled = true;
    work.imm_data = 0x01020304;
    work.remote_addr = base + remote_offset;
    work.rkey = RKey(key);
    if (length > 0) work.sges.push_back(sge(offset, length));
    return work;
  }
  void post_receive(std::uint64_t id, std::size_t offset, std::size_t length) {
    RecvWork work;
    work.wr_id = id;
    if (length > 0) work.sges.push_back(sge(offset, length));
    host.receives.push_back(std::move(work));
  }
  // Takes what has arrived as one batch. True if there was something.
  bool receive() {
    std::array<fabric::InDatagram, 32> batch;
    const std::size_t got = fabric->receive(batch);
    for (const fabric::InDatagram& datagram : std::span(batch).first(got)) {
      const auto packet = decode(datagram);
      EXPECT_TRUE(packet) << static_cast<int>(packet.error());
      if (packet) qp.on_packet(*packet, datagram.source);
      if (after_packet) after_packet();
    }
    qp.flush_acks();
    return got > 0;
  }

  std::unique_ptr<fabric::Fabric> fabric;
  TestHost host;
  RcQp qp;
  std::function<void()> after_packet;  // what a program does before the batch is over
};

// Two ends in RTS. What a test wants otherwise it changes in `attributes` before connect().
class Pair {
 public:
  struct Options {
    std::uint64_t seed{1};
    fabric::LinkModel link{};
    fabric::FaultPlan faults{};  // for both directions
    RcLimits limits{};
    bool ipv6{};
  };

  Pair() : Pair(Options{}) {}
  explicit Pair(const Options& options)
      : world(rt::World::simulated(options.seed)),
        network(*world, options.link),
        addresses{*IpAddress::parse(options.ipv6 ? "fd00::1" : "10.0.0.1"),
                  *IpAddress::parse(options.ipv6 ? "fd00::2" : "10.0.0.2")},
        a(*world, make_fabric(options, 0), options.limits, true),
        b(*world, make_fabric(options, 1), options.limits, false) {
    RcAttributes common;
    common.path_mtu = Mtu::mtu_256;
    common.max_dest_rd_atomic = common.max_rd_atomic = 4;
    common.min_rnr_timer = 1;
    common.timeout = 1;  // the floor of RcLimits counts
    common.retry_count = common.rnr_retry = 7;
    common.remote_access = all_access;
    attributes = {common, common};
    for (std::size_t i = 0; i < 2; ++i) {
      attributes[i].local = addresses[i];
      attributes[i].remote = addresses[1 - i];
      attributes[i].local_qpn = Qpn(static_cast<std::uint32_t>(0x11 + i));
      attributes[i].remote_qpn = Qpn(static_cast<std::uint32_t>(0x12 - i));
      attributes[i].send_psn = Psn(static_cast<std::uint32_t>(0x1000 * (i + 1)));
      attributes[i].receive_psn = Psn(static_cast<std::uint32_t>(0x1000 * (2 - i)));
    }
  }

  void connect() {
    a.qp.ready_to_receive(attributes[0]);
    b.qp.ready_to_receive(attributes[1]);
    a.qp.ready_to_send(attributes[0]);
    b.qp.ready_to_send(attributes[1]);
  }

  // Lets time pass until nothing is in flight and no timer runs, or `steps_max` steps were made (then false).
  bool run(std::size_t steps_max = 1'000'000) { return run_until(rt::time_never, steps_max); }
  // The same, but not beyond `end`.
  bool run_until(rt::Time end, std::size_t steps_max = 1'000'000) {
    for (std::size_t step = 0; step < steps_max; ++step) {
      while (network.has_arrivals()) {
        a.receive();
        b.receive();
      }
      const rt::Time next = std::min({network.next_arrival(), a.qp.next_deadline(), b.qp.next_deadline()});
      if (next == rt::time_never || next > end) {
        if (end != rt::time_never) world->advance_to(std::max(end, world->now()));
        return true;
      }
      world->advance_to(std::max(next, world->now()));
      for (End* each : {&a, &b}) {
        if (each->qp.next_deadline() <= world->now()) each->qp.on_time(world->now());
      }
    }
    return false;
  }
  bool run_for(rt::Duration duration) { return run_until(world->now() + duration); }

  std::unique_ptr<rt::World> world;
  fabric::SimNetwork network;
  std::array<IpAddress, 2> addresses;
  std::array<RcAttributes, 2> attributes;
  End a, b;

 private:
  std::unique_ptr<fabric::Fabric> make_fabric(const Options& options, std::size_t n) {
    fabric::FaultPlan plan = options.faults;
    plan.seed = options.seed * 2 + n;
    return std::make_unique<fabric::FaultyFabric>(network.attach({addresses[n]}), plan);
  }
};

}  // namespace hawser::roce::test
