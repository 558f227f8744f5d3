// For tests: a host of a UdQp that keeps memory, receives and completions in plain containers.
#pragma once

#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "roce/packet.hpp"
#include "roce/ud_qp.hpp"

namespace hawser::roce::test {

struct SentDatagram {
  fabric::OutDatagram envelope;  // its payload points nowhere
  std::vector<std::byte> bytes;
  // As it arrives at its destination.
  [[nodiscard]] fabric::InDatagram arriving() {
    return {.source = envelope.source,
            .destination = envelope.destination,
            .interface = envelope.interface,
            .source_port = roce_v2_port,
            .traffic_class = envelope.traffic_class,
            .hop_limit = envelope.hop_limit,
            .payload = bytes};
  }
};

class UdTestHost final : public UdHost {
 public:
  std::byte* local_memory(LKey key, std::uint64_t addr, std::uint32_t length, std::uint32_t) override {
    const auto found = memory.find(key.value);
    if (found == memory.end() || addr > found->second.size() || length > found->second.size() - addr) return nullptr;
    return found->second.data() + addr;
  }
  std::optional<RecvWork> take_receive() override {
    if (receives.empty()) return std::nullopt;
    RecvWork work = std::move(receives.front());
    receives.pop_front();
    return work;
  }
  bool put_back(RecvWork&& receive) override {
    if (shared) return false;
    receives.push_front(std::move(receive));
    return true;
  }
  void complete_send(const Completion& completion) override { sent.push_back(completion); }
  void complete_receive(const Completion& completion) override { received.push_back(completion); }
  void transmit(const fabric::OutDatagram& datagram) override {
    datagrams.push_back({datagram, {datagram.payload.begin(), datagram.payload.end()}});
  }
  void send_queue_drained() override { ++drained; }
  void send_too_long(std::uint64_t) override { ++too_long; }
  void send_failed() override { ++send_failures; }
  void receive_failed() override { ++receive_failures; }
  [[nodiscard]] std::uint16_t source_port() const override { return roce_v2_port; }

  void add_receive(std::uint64_t wr_id, std::uint32_t key, std::uint32_t length) {
    receives.push_back({.wr_id = wr_id, .sges = {{.addr = 0, .length = length, .lkey = LKey(key)}}});
  }

  std::map<std::uint32_t, std::vector<std::byte>> memory;  // by key
  std::deque<RecvWork> receives;
  bool shared = false;  // receives come from an SRQ
  std::vector<Completion> sent, received;
  std::vector<SentDatagram> datagrams;
  int drained = 0, too_long = 0, send_failures = 0, receive_failures = 0;
};

}  // namespace hawser::roce::test
