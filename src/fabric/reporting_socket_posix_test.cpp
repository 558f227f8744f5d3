#include "fabric/reporting_socket_posix.hpp"

#include <poll.h>
#include <unistd.h>

#include <array>

#include <gtest/gtest.h>

namespace hawser::fabric {
namespace {

class ReportingSocketTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ReportingSocketTest, TellsThatNobodyReceives) {
  const auto probe = open_udp_socket({});
  if (!probe) GTEST_SKIP() << "somebody receives at port 4791 of this machine";
  const auto opened = ReportingSocket::open();
  ASSERT_TRUE(opened);
  ReportingSocket& socket = **opened;
  const std::array payload{std::byte{1}, std::byte{2}, std::byte{3}};
  const IpAddress self = *IpAddress::parse(GetParam());
  const OutDatagram datagram{.source = self, .destination = self, .payload = payload};

  ASSERT_EQ(socket.fabric().send({&datagram, 1}), 1U);
  EXPECT_FALSE(socket.next()) << "somebody did";
  close(*probe);
  // Twice: what one report left behind must not fail the next send.
  for (int round = 0; round < 2; ++round) {
    ASSERT_EQ(socket.fabric().send({&datagram, 1}), 1U);
    pollfd poll{socket.poll_fd(), 0, 0};
    ASSERT_EQ(::poll(&poll, 1, 60'000), 1);
    const auto report = socket.next();
    ASSERT_TRUE(report);
    EXPECT_EQ(report->destination, self);
    EXPECT_EQ(report->payload, std::vector(payload.begin(), payload.end()));
    EXPECT_FALSE(socket.next());
  }
}

INSTANTIATE_TEST_SUITE_P(BothFamilies, ReportingSocketTest, ::testing::Values("127.0.0.1", "::1"));

}  // namespace
}  // namespace hawser::fabric
