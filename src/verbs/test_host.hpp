// For tests: hosts with one device each on a simulated network, and RC queue pairs between them.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "fabric/sim_network.hpp"
#include "verbs/context.hpp"
#include "verbs/cq.hpp"
#include "verbs/data_path.hpp"
#include "verbs/qp.hpp"

namespace hawser::verbs {

class TestQpns final : public QpnSpace {
 public:
  Result<Qpn> allocate() override { return Qpn(next_++); }
  void release(Qpn) override {}
  [[nodiscard]] bool owns(Qpn qpn) const override { return qpn.value < 0x1000; }

 private:
  std::uint32_t next_ = 0x100;
};

struct TestHost {
  TestHost(rt::World& w, fabric::SimNetwork& network, const char* address)
      : world(w), fabric(network.attach({*IpAddress::parse(address)})), path(w, *fabric, devices, qpns, {}) {
    devices.apply({interface(address)});
    auto made = Context::create(w, devices, path, devices.list().front());
    context = std::move(*made);
    pd = std::make_shared<Pd>();
  }

  static InterfaceSnapshot interface(const char* address) {
    return {.index = 2,
            .name = "eth0",
            .mac = {2, 0, 0, 0, 0, 1},
            .mtu_bytes = 1500,
            .up = true,
            .loopback = false,
            .addresses = {*IpAddress::parse(address)}};
  }

  std::shared_ptr<Cq> make_cq(std::uint32_t capacity = 64, std::shared_ptr<CompChannel> channel = nullptr) {
    return std::make_shared<Cq>(context->events(), std::move(channel), capacity);
  }
  std::shared_ptr<Qp> make_qp(const std::shared_ptr<Cq>& cq, QpCapabilities capabilities = {16, 16, 4, 4, 64}) {
    return *Qp::create(*context, {.pd = pd, .send_cq = cq, .recv_cq = cq, .capabilities = capabilities});
  }
  MemoryRegion* register_bytes(std::span<std::byte> bytes, std::uint32_t rights) {
    return *context->memory().add(pd, bytes.data(), bytes.size(), reinterpret_cast<std::uintptr_t>(bytes.data()),
                                  rights);
  }

  rt::World& world;
  std::unique_ptr<fabric::SimFabric> fabric;
  DeviceTable devices{1};
  TestQpns qpns;
  DataPath path;
  std::unique_ptr<Context> context;
  std::shared_ptr<Pd> pd;
};

inline constexpr std::uint32_t init_mask = qp_attr::state | qp_attr::pkey_index | qp_attr::port | qp_attr::access_flags;
inline constexpr std::uint32_t rtr_mask = qp_attr::state | qp_attr::av | qp_attr::path_mtu | qp_attr::dest_qpn |
                                          qp_attr::rq_psn | qp_attr::max_dest_rd_atomic | qp_attr::min_rnr_timer;
inline constexpr std::uint32_t rts_mask = qp_attr::state | qp_attr::timeout | qp_attr::retry_cnt | qp_attr::rnr_retry |
                                          qp_attr::sq_psn | qp_attr::max_qp_rd_atomic;
inline constexpr std::uint32_t all_remote =
    roce::access::remote_write | roce::access::remote_read | roce::access::remote_atomic;

inline QpAttributes connected_to(const TestHost& peer, Qpn qpn) {
  QpAttributes a;
  a.port = 1;
  a.access_flags = roce::access::local_write | all_remote;
  a.address.is_global = true;
  a.address.destination = *peer.devices.list().front()->gid(0);
  a.address.hop_limit = 64;
  a.path_mtu = 3;
  a.destination_qpn = qpn;
  a.receive_psn = a.send_psn = Psn(0xFFFFF0);  // wraps soon
  a.max_dest_rd_atomic = a.max_rd_atomic = 4;
  a.min_rnr_timer = 1;
  a.timeout = 14;
  a.retry_count = 2;
  a.rnr_retry = 7;
  return a;
}

inline Status move_to(Qp& qp, QpState state, QpAttributes attributes, std::uint32_t mask) {
  attributes.state = state;
  return qp.modify(attributes, mask);
}

inline void bring_to_init(Qp& qp, const QpAttributes& a) { ASSERT_TRUE(move_to(qp, QpState::init, a, init_mask)); }
inline void bring_to_rtr(Qp& qp, const QpAttributes& a) {
  bring_to_init(qp, a);
  ASSERT_TRUE(move_to(qp, QpState::rtr, a, rtr_mask));
}
inline void bring_to_rts(Qp& qp, const QpAttributes& a) {
  bring_to_rtr(qp, a);
  ASSERT_TRUE(move_to(qp, QpState::rts, a, rts_mask));
}

template <class Work>
auto once(Work work) {
  return [work, given = false](Work& out) mutable {
    if (given) return false;
    out = work;
    return given = true;
  };
}

// Two hosts with a connected pair of queue pairs.
class Pair {
 public:
  explicit Pair(std::uint32_t cq_capacity = 64) : cq_capacity_(cq_capacity) {
    bring_to_rts(*qp_a, connected_to(b, qp_b->qpn()));
    bring_to_rts(*qp_b, connected_to(a, qp_a->qpn()));
  }
  ~Pair() {
    for (MemoryRegion* region : regions_a_) a.context->memory().remove(region);
    for (MemoryRegion* region : regions_b_) b.context->memory().remove(region);
    if (qp_a) qp_a->destroy();
    if (qp_b) qp_b->destroy();
  }

  // Lets time pass from one arrival or timer to the next until nothing more happens or `limit` has passed.
  void run(rt::Duration limit = std::chrono::seconds(5)) {
    const rt::Time end = world->now() + limit;
    for (;;) {
      while (a.path.receive(64) + b.path.receive(64) > 0) {
      }
      const rt::Time next = std::min({network.next_arrival(), a.path.next_deadline(), b.path.next_deadline()});
      if (next > end) return;
      world->advance_to(std::max(next, world->now()));
      a.path.on_time(world->now());
      b.path.on_time(world->now());
    }
  }
  roce::Sge sge_a(std::span<std::byte> bytes) {
    regions_a_.push_back(a.register_bytes(bytes, roce::access::local_write | all_remote));
    return sge_of(*regions_a_.back());
  }
  roce::Sge sge_b(std::span<std::byte> bytes) {
    regions_b_.push_back(b.register_bytes(bytes, roce::access::local_write | all_remote));
    return sge_of(*regions_b_.back());
  }
  static roce::Sge sge_of(const MemoryRegion& region) {
    return {.addr = region.iova, .length = static_cast<std::uint32_t>(region.length), .lkey = region.lkey};
  }
  [[nodiscard]] const MemoryRegion& last_b() const { return *regions_b_.back(); }

  static std::vector<CqEntry> drain(Cq& cq) {
    std::vector<CqEntry> entries;
    cq.poll(1000, [&](const CqEntry& entry) { entries.push_back(entry); });
    return entries;
  }

  const std::uint32_t cq_capacity_;
  std::unique_ptr<rt::World> world = rt::World::simulated(1);
  fabric::SimNetwork network{*world};
  TestHost a{*world, network, "10.0.0.1"};
  TestHost b{*world, network, "10.0.0.2"};
  std::shared_ptr<Cq> cq_a = a.make_cq(cq_capacity_);
  std::shared_ptr<Cq> cq_b = b.make_cq(cq_capacity_);
  std::shared_ptr<Qp> qp_a = a.make_qp(cq_a);
  std::shared_ptr<Qp> qp_b = b.make_qp(cq_b);

 private:
  std::vector<MemoryRegion*> regions_a_, regions_b_;
};

inline std::vector<std::byte> pattern(std::size_t bytes, unsigned seed = 1) {
  std::vector<std::byte> out(bytes);
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>(i * 7 + seed);
  return out;
}

}  // namespace hawser::verbs
