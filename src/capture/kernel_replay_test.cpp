// The requests that one kernel sent to another, given to our responder: it must answer what the kernel answered, packet
// by packet. Connections are taken from the CM messages in the capture.
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/wire.hpp"
#include "capture/reader.hpp"
#include "roce/packet.hpp"
#include "roce/rc_qp.hpp"

namespace hawser::capture {
namespace {

using Bytes = std::vector<std::byte>;

// Grants everything: all memory is one scratch area, and there is always a receive.
class WillingHost final : public roce::RcHost {
 public:
  std::byte* local_memory(LKey, std::uint64_t, std::uint32_t length, std::uint32_t) override { return scratch(length); }
  std::byte* remote_memory(RKey, std::uint64_t, std::uint32_t length, std::uint32_t) override {
    return scratch(length);
  }
  bool invalidate(RKey) override { return true; }
  std::optional<roce::RecvWork> take_receive() override {
    roce::RecvWork work;
    work.sges.push_back({.addr = 0, .length = 1 << 20, .lkey = LKey(1)});
    return work;
  }
  void complete_send(const roce::Completion&) override {}
  void complete_receive(const roce::Completion& completion) override { received.push_back(completion); }
  void transmit(const fabric::OutDatagram& datagram) override {
    sent.emplace_back(datagram.payload.begin(), datagram.payload.end());
  }
  void communication_established() override { ++established; }
  void entered_error(std::optional<roce::ResponderError>) override { ++errors; }
  void send_queue_drained() override {}
  [[nodiscard]] rt::Time now() const override { return {}; }
  [[nodiscard]] std::uint16_t source_port() const override { return roce_v2_port; }

  std::vector<Bytes> sent;
  std::vector<roce::Completion> received;
  int errors = 0, established = 0;

 private:
  std::byte* scratch(std::uint32_t length) {
    if (memory_.size() < length) memory_.resize(length);
    return memory_.data();
  }
  Bytes memory_;
};

// One end of a connection: our responder in the kernel's place, and what the kernel said there.
struct Place {
  explicit Place(const roce::RcAttributes& attributes) : qp(host, {}) { qp.ready_to_receive(attributes); }
  WillingHost host;
  roce::RcQp qp;
  std::vector<Bytes> kernel;
};

using Endpoint = std::pair<IpAddress, Qpn>;

class Replay {
 public:
  void on_datagram(const UdpDatagram& udp) {
    const auto packet = roce::decode(udp.datagram);
    ASSERT_TRUE(packet);
    if (packet->bth.destination == qpn_gsi) return on_mad(udp, packet->payload);
    if (packet->bth.opcode.transport != roce::Transport::rc) return;
    const auto operation = packet->bth.opcode.operation;
    const bool response =
        operation >= roce::Operation::read_response_first && operation <= roce::Operation::atomic_acknowledge;
    if (response) {
      const auto from = peers_.find({udp.datagram.destination, packet->bth.destination});
      ASSERT_NE(from, peers_.end());
      places_.at(from->second)->kernel.emplace_back(udp.datagram.payload.begin(), udp.datagram.payload.end());
    } else {
      const auto place = places_.find({udp.datagram.destination, packet->bth.destination});
      ASSERT_NE(place, places_.end());
      place->second->qp.on_packet(*packet, udp.datagram.source);
      place->second->qp.flush_acks();
    }
  }
  [[nodiscard]] const std::map<Endpoint, std::unique_ptr<Place>>& places() const { return places_; }

 private:
  static constexpr std::size_t attribute_id_byte = 16, body_byte = 24;
  static constexpr std::uint64_t cm_req = 0x10, cm_rep = 0x13;
  struct Request {
    Qpn qpn;
    Psn psn;
    Mtu mtu{};
  };

  // [spec 5.3, 5.4]
  void on_mad(const UdpDatagram& udp, std::span<const std::byte> mad) {
    const auto attribute = read_bits(mad, attribute_id_byte, 0, 16);
    WireReader body(mad.subspan(body_byte));
    CommId local, remote;
    body.field(0, 0, 32, local);
    if (attribute == cm_req) {
      Request& request = requests_[{udp.datagram.source, local}];
      body.field(32, 0, 24, request.qpn);
      body.field(44, 0, 24, request.psn);
      body.field(50, 0, 4, request.mtu);
    } else if (attribute == cm_rep) {
      body.field(4, 0, 32, remote);
      const auto request = requests_.find({udp.datagram.destination, remote});
      ASSERT_NE(request, requests_.end());
      Request reply{.qpn = {}, .psn = {}, .mtu = request->second.mtu};
      body.field(12, 0, 24, reply.qpn);
      body.field(20, 0, 24, reply.psn);
      add(udp.datagram.source, reply, udp.datagram.destination, request->second);
      add(udp.datagram.destination, request->second, udp.datagram.source, reply);
    }
  }
  void add(const IpAddress& ip, const Request& self, const IpAddress& peer_ip, const Request& peer) {
    roce::RcAttributes attributes;
    attributes.local = ip;
    attributes.remote = peer_ip;
    attributes.local_qpn = self.qpn;
    attributes.remote_qpn = peer.qpn;
    attributes.receive_psn = self.psn;  // "starting PSN" is what the other one shall begin with
    attributes.path_mtu = self.mtu;
    attributes.max_dest_rd_atomic = 16;
    attributes.remote_access = roce::access::remote_write | roce::access::remote_read | roce::access::remote_atomic;
    places_.try_emplace({ip, self.qpn}, std::make_unique<Place>(attributes));
    peers_[{peer_ip, peer.qpn}] = {ip, self.qpn};
  }

  std::map<std::pair<IpAddress, CommId>, Request> requests_;
  std::map<Endpoint, std::unique_ptr<Place>> places_;
  std::map<Endpoint, Endpoint> peers_;
};

struct ReplayedFile {
  const char* name;
  std::size_t responses;  // of the kernels, in both directions
};
class KernelReplay : public testing::TestWithParam<ReplayedFile> {};
INSTANTIATE_TEST_SUITE_P(, KernelReplay,
                         testing::Values(ReplayedFile{"rxe-rping", 18}, ReplayedFile{"rxe-write", 37},
                                         ReplayedFile{"rxe-cmatose", 12}, ReplayedFile{"rxe-rstream", 11}),
                         [](const auto& tested) { return std::string(tested.param.name).substr(4); });

TEST_P(KernelReplay, ResponderAnswersAsTheKernelDid) {
  auto reader = Reader::open(fmt::format("{}/{}.pcap", HAWSER_WIRE_DIR, GetParam().name));
  ASSERT_TRUE(reader) << reader.error();
  Replay replay;
  while (const auto frame = reader->next()) {
    if (frame->udp && frame->udp->destination_port == roce_v2_port) replay.on_datagram(*frame->udp);
  }
  std::size_t compared = 0;
  for (const auto& [endpoint, place] : replay.places()) {
    SCOPED_TRACE(fmt::format("{} QP {:#x}", endpoint.first.text(), endpoint.second.value));
    EXPECT_EQ(place->host.errors, 0);
    ASSERT_EQ(place->host.sent.size(), place->kernel.size());
    for (std::size_t i = 0; i < place->kernel.size(); ++i) {
      const Bytes &ours = place->host.sent[i], &kernel = place->kernel[i];
      const auto packet = roce::decode_unverified(kernel);
      ASSERT_TRUE(packet);
      // All headers alike; what a READ finds in our scratch memory is not what it found in the kernel's, and the ICRC
      // covers another identification.
      const std::size_t headers = *roce::header_bytes(packet->bth.opcode);
      ASSERT_EQ(ours.size(), kernel.size());
      EXPECT_TRUE(std::equal(ours.begin(), ours.begin() + static_cast<std::ptrdiff_t>(headers), kernel.begin()))
          << "response " << i;
      ++compared;
    }
  }
  EXPECT_EQ(compared, GetParam().responses);
}

}  // namespace
}  // namespace hawser::capture
