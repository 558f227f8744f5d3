#include "agent/memberships.hpp"

#include <net/if.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/descriptor.hpp"
#include "agent/netns_test_support.hpp"
#include "fabric/udp_posix.hpp"

namespace hawser::agent {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const IpAddress group_v4 = *IpAddress::parse("239.1.1.1"), group_v6 = *IpAddress::parse("ff02::4791");

TEST(Memberships, AreReadFromTheKernelsLists) {
  EXPECT_THAT(parse_igmp("Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"
                         "1\tlo        :     2      V3\n"
                         "\t\t\t\t010101EF     1 0:00000000\t\t0\n"
                         "\t\t\t\t010000E0     1 0:00000000\t\t0\n"
                         "4\teth0      :     1      V3\n"
                         "\t\t\t\t010000E0     1 0:00000000\t\t0\n"),
              ElementsAre(Membership{group_v4, 1}, Membership{*IpAddress::parse("224.0.0.1"), 1},
                          Membership{*IpAddress::parse("224.0.0.1"), 4}));
  EXPECT_THAT(parse_igmp6("1    lo              ff020000000000000000000000004791     1 0000000C 0\n"
                          "12   eth0            ff02000000000000000000000000479     1 0000000C 0\n"),
              ElementsAre(Membership{group_v6, 1}));
  EXPECT_THAT(parse_igmp(""), IsEmpty());
  EXPECT_THAT(parse_igmp("\t\t010101EF\nnonsense\n\t\t010101EF\n"), IsEmpty());
  EXPECT_THAT(parse_igmp6("nonsense\n\n7"), IsEmpty());
}

TEST(Memberships, OfASocketEnd) {
  HW_RUN_IN_NETNS([]() -> std::string {
    const std::uint32_t lo = if_nametoindex("lo");
    const auto socket = fabric::open_udp_socket({});
    HW_EXPECT(socket);
    const Descriptor closes(*socket);
    fabric::UdpFabric joined(*socket);
    HW_EXPECT(joined.join_group(group_v4, lo) && joined.join_group(group_v6, lo));
    leave_all_groups(joined);
    HW_EXPECT(errno_of(joined.leave_group(group_v4, lo)) == EADDRNOTAVAIL);
    HW_EXPECT(errno_of(joined.leave_group(group_v6, lo)) == EADDRNOTAVAIL);
    return "";
  });
}

}  // namespace
}  // namespace hawser::agent
