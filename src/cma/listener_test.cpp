// Whom a listener answers, and whom it does not.
#include "cma/test_situations.hpp"

namespace hawser::cma::walk {
namespace {

std::uint16_t rejected_with(const Subject& s) {
  const auto* rej = s.sent.empty() ? nullptr : std::get_if<cm::Rej>(&s.sent.back());
  return rej != nullptr ? rej->reason : std::uint16_t{};
}

TEST(Listener, RefusesAHeaderThatItDoesNotKnow) {  // [spec 1.11.2]
  for (const auto& [offset, value] : {std::pair{0, 1}, {1, 0x50}}) {
    Subject s;
    s.listen("0.0.0.0");
    cm::Req req = s.req();
    req.private_data[static_cast<std::size_t>(offset)] = static_cast<std::byte>(value);
    s.hears(req);
    EXPECT_TRUE(s.program.seen.empty());
    EXPECT_EQ(rejected_with(s), 28);
  }
}

TEST(Listener, KeepsItsOptionsOnDevicesThatComeLater) {  // [spec 1.9.2, 4 #32]
  for (const bool only : {true, false}) {
    Subject s;
    s.must(s->set_af_only(only));
    const auto interfaces = s.host.network.interfaces();
    s.host.network.set_interfaces({loopback()});
    s.listen("::");
    s.host.network.set_interfaces(interfaces);
    s.world.run();
    s.eth0 = s.host.devices.find_by_address(s.ours.ip);
    s.hears(s.req());
    EXPECT_EQ(s.program.children.size(), only ? 0U : 1U) << "an IPv4 request for a listener on ::";
    EXPECT_EQ(rejected_with(s), only ? 28 : 0);
  }
}

// The end of the id gives back all of it (TestHost looks).
TEST(Listener, AListenThatFailsAfterItsAutomaticBindLeavesTheIdBound) {  // [spec 4 #14]
  Subject s;
  s.host.ports.refuse = EIO;
  EXPECT_EQ(errno_of(s->listen(1)), EIO);
  EXPECT_EQ(s->state(), State::addr_bound);
  EXPECT_NE(s->route().source.port, 0);
  EXPECT_EQ(s.host.ports.size(), 2U) << "the neighbour's and ours";
  EXPECT_EQ(s.host.connections.usage().listeners, 0U);
  s.host.ports.refuse = 0;
  EXPECT_EQ(errno_of(s->listen(1)), 0) << "on the port that it has";
}

}  // namespace
}  // namespace hawser::cma::walk
