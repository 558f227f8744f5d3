// libFuzzer: a queue pair with work outstanding is given any sequence of packets whose addresses and ICRC are right.
// Input: records of {length (1 byte, in words), payload without ICRC}; every record is one packet.
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/assert.hpp"
#include "roce/rc_qp.hpp"

using namespace hawser;

namespace {

class Host final : public roce::RcHost {
 public:
  std::byte* local_memory(LKey key, std::uint64_t addr, std::uint32_t length, std::uint32_t) override {
    return find(key.value, addr, length);
  }
  std::byte* remote_memory(RKey key, std::uint64_t addr, std::uint32_t length, std::uint32_t) override {
    return find(key.value, addr, length);
  }
  bool invalidate(RKey key) override { return key.value == 3; }
  std::optional<roce::RecvWork> take_receive() override {
    if (receives == 0) return std::nullopt;
    --receives;
    roce::RecvWork work{.wr_id = receives, .sges = {}};
    work.sges.push_back({.addr = 0, .length = 600, .lkey = LKey(1)});
    return work;
  }
  void complete_send(const roce::Completion&) override {
    HW_ASSERT(sends > 0, "fuzz-rc-completed-twice");
    --sends;
  }
  void complete_receive(const roce::Completion&) override {}
  void transmit(const fabric::OutDatagram&) override {}
  void communication_established() override {}
  void entered_error(std::optional<roce::ResponderError>) override { qp->flush(); }
  void send_queue_drained() override {}
  [[nodiscard]] rt::Time now() const override { return rt::Time(std::chrono::seconds(1)); }
  [[nodiscard]] std::uint16_t source_port() const override { return roce_v2_port; }

  roce::RcQp* qp = nullptr;
  int sends = 0;
  std::uint64_t receives = 4;

 private:
  std::byte* find(std::uint32_t key, std::uint64_t addr, std::uint32_t length) {
    if (key != 1 || addr > memory_.size() || length > memory_.size() - addr) return nullptr;
    return memory_.data() + addr;
  }
  alignas(8) std::array<std::byte, 4096> memory_{};
};

void post(Host& host, roce::RcQp& qp, roce::WorkOp op, std::uint32_t length) {
  roce::SendWork work;
  work.op = op;
  work.signaled = true;
  work.rkey = RKey(1);
  work.sges.push_back({.addr = 0, .length = length, .lkey = LKey(1)});
  ++host.sends;
  qp.post_send(std::move(work));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Host host;
  roce::RcQp qp(host, {});
  host.qp = &qp;
  roce::RcAttributes attributes;
  attributes.local = IpAddress::v4(1);
  attributes.remote = IpAddress::v4(2);
  attributes.path_mtu = Mtu::mtu_256;
  attributes.max_dest_rd_atomic = attributes.max_rd_atomic = 2;
  attributes.timeout = 1;
  attributes.retry_count = attributes.rnr_retry = 3;
  attributes.remote_access = roce::access::remote_write | roce::access::remote_read | roce::access::remote_atomic;
  qp.ready_to_receive(attributes);
  qp.ready_to_send(attributes);
  post(host, qp, roce::WorkOp::send, 300);
  post(host, qp, roce::WorkOp::rdma_read, 700);
  post(host, qp, roce::WorkOp::atomic_fetch_and_add, 8);
  post(host, qp, roce::WorkOp::rdma_write, 10);
  while (size > 0) {
    const std::size_t length = std::min<std::size_t>(std::size_t{data[0]} * 4, size - 1) / 4 * 4;
    const auto* begin = reinterpret_cast<const std::byte*>(data + 1);
    std::vector<std::byte> bytes(begin, begin + length);
    bytes.resize(length + roce::icrc_bytes);
    const auto packet = roce::decode_unverified(bytes);
    if (packet) qp.on_packet(*packet, attributes.remote);
    data += 1 + length;
    size -= 1 + length;
    if (length == 0 && qp.next_deadline() != rt::time_never) qp.on_time(qp.next_deadline());
    qp.flush_acks();
  }
  qp.flush();
  HW_ASSERT(host.sends == 0, "fuzz-rc-lost-completion");
  return 0;
}
