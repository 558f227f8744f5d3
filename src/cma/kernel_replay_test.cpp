// What udaddy said through a kernel's connection manager [spec 5.4], and what ours says in the place of either side.
#include "capture/reader.hpp"
#include "cm/messages.hpp"
#include "cma/private_header.hpp"
#include "cma/test_world.hpp"
#include "roce/packet.hpp"

namespace hawser::cma {
namespace {

using namespace std::chrono_literals;
using enum EventType;

constexpr std::uint16_t udaddy_port = 7174;
constexpr std::size_t at_tid = 8, at_request_id = 24;  // in the MAD [spec 5.2, 5.4]

class UdaddyReplay : public testing::Test {
 protected:
  void SetUp() override {
    auto reader = capture::Reader::open(HAWSER_WIRE_DIR "/rxe-udaddy.pcap");
    ASSERT_TRUE(reader) << reader.error();
    while (const auto frame = reader->next()) {
      if (!frame->udp || frame->udp->destination_port != roce_v2_port) continue;
      const auto packet = roce::decode_unverified(frame->udp->datagram.payload);
      if (!packet || packet->bth.destination != qpn_gsi) continue;
      std::ranges::copy(packet->payload, mads_.emplace_back().begin());
    }
    ASSERT_EQ(mads_.size(), 2U) << "SIDR_REQ and SIDR_REP";
    question_ = std::get<cm::SidrReq>(cm::decode(mads_[0])->body);
    answer_ = std::get<cm::SidrRep>(cm::decode(mads_[1])->body);
    // Nobody is at the other end: what we send is looked at.
    world_.lose = [this](const SentMad& sent) { return sent_.push_back(sent.mad), true; };
  }
  static void arrives(TestHost& at, const char* from, const verbs::Mad& mad) {
    const verbs::DevicePtr device = at.devices.find("hw_eth0");
    verbs::MadAddress address;
    address.local = *device->gid(0);
    address.remote = *IpAddress::parse(from);
    at.connections.on_mad(device, address, mad);
    at.all.run();
  }

  TestWorld world_;
  TestHost server_{world_, 1, {ethernet(2, "eth0", {"10.77.0.2"})}};
  TestHost client_{world_, 2, {ethernet(2, "eth0", {"10.77.0.3"})}};
  std::vector<verbs::Mad> mads_, sent_;
  cm::SidrReq question_;
  cm::SidrRep answer_;
};

TEST_F(UdaddyReplay, TheAnswerIsTheKernels) {
  TestId listener(server_, PortSpace::udp, QpType::ud);
  ASSERT_TRUE(listener->bind_addr(address("0.0.0.0", udaddy_port)));
  ASSERT_TRUE(listener->listen(1));
  listener.react = [this](Id& id, const Event&) {
    ConnParam param;
    param.qpn = answer_.qpn;
    EXPECT_TRUE(id.accept(&param));
    return 0;
  };
  arrives(server_, "10.77.0.3", mads_[0]);
  ASSERT_EQ(listener.children.size(), 1U);
  EXPECT_EQ(listener.children[0]->route().destination.ip, *IpAddress::parse("10.77.0.3"));
  ASSERT_EQ(sent_.size(), 1U);
  EXPECT_EQ(sent_[0], mads_[1]) << "byte for byte";
}

TEST_F(UdaddyReplay, TheQuestionIsTheKernels) {
  const auto header = PrivateHeader::parse(question_.private_data);
  ASSERT_TRUE(header);
  TestId asks(client_, PortSpace::udp, QpType::ud);
  const SocketAddress self = address("10.77.0.3", header->source_port);
  ASSERT_TRUE(asks->resolve_addr(&self, address("10.77.0.2", udaddy_port), 2s));
  world_.run();
  ASSERT_TRUE(asks->resolve_route(2s));
  world_.run();
  ASSERT_TRUE(asks->connect({}));
  world_.run();
  ASSERT_EQ(sent_.size(), 1U);
  verbs::Mad ours = sent_[0];
  const auto take = [&](std::size_t at, std::size_t bytes) {
    std::copy_n(mads_[0].begin() + static_cast<std::ptrdiff_t>(at), bytes,
                ours.begin() + static_cast<std::ptrdiff_t>(at));
  };
  take(at_tid, 8);  // the numbers by which each side finds its own again
  take(at_request_id, 4);
  EXPECT_EQ(ours, mads_[0]) << "byte for byte";

  verbs::Mad reply = mads_[1];
  std::copy_n(sent_[0].begin() + at_request_id, 4, reply.begin() + at_request_id);
  arrives(client_, "10.77.0.2", reply);
  ASSERT_EQ(asks.types().back(), established);
  EXPECT_EQ(asks.seen.back().ud.qpn, answer_.qpn);
  EXPECT_EQ(asks.seen.back().ud.qkey, qkey_default);
}

}  // namespace
}  // namespace hawser::cma
