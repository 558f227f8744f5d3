#include "cma/port_table.hpp"

#include <set>

#include "cma/test_world.hpp"

namespace hawser::cma {
namespace {

class PortTableTest : public testing::Test {
 protected:
  Result<PortBinding> bind(const SocketAddress& source, bool reuse = false, bool v6_only = false,
                           const SocketAddress& destination = {}) {
    return table_.bind({.space = PortSpace::tcp,
                        .source = source,
                        .destination = destination,
                        .reuse = reuse,
                        .v6_only = v6_only,
                        .may_bind_privileged = privileged_});
  }

  std::unique_ptr<rt::World> world_ = rt::World::simulated(7);
  std::pair<std::uint16_t, std::uint16_t> range_{40000, 40003};
  PortTable table_{*world_, [this] { return range_; }};
  bool privileged_ = false;
};

TEST_F(PortTableTest, SpecificAddressesConflictOnlyWhenEqual) {  // [spec 1.8.4]
  ASSERT_TRUE(bind(address("10.0.0.1", 7471)));
  EXPECT_EQ(errno_of(bind(address("10.0.0.1", 7471))), EADDRINUSE);
  EXPECT_TRUE(bind(address("10.0.0.2", 7471)));
  EXPECT_TRUE(bind(address("10.0.0.1", 7472)));
}

TEST_F(PortTableTest, WildcardAndLoopbackConflictWithEverything) {  // [spec 1.8.4]
  ASSERT_TRUE(bind(address("0.0.0.0", 7471)));
  EXPECT_EQ(errno_of(bind(address("10.0.0.1", 7471))), EADDRNOTAVAIL);
  EXPECT_EQ(errno_of(bind(address("0.0.0.0", 7471))), EADDRNOTAVAIL);
  ASSERT_TRUE(bind(address("127.0.0.1", 7472)));
  EXPECT_EQ(errno_of(bind(address("127.0.0.1", 7472))), EADDRNOTAVAIL);
  ASSERT_TRUE(bind(address("10.0.0.1", 7473)));
  EXPECT_EQ(errno_of(bind(address("0.0.0.0", 7473))), EADDRNOTAVAIL);
  EXPECT_EQ(errno_of(bind(address("127.0.0.1", 7473))), EADDRNOTAVAIL);
}

TEST_F(PortTableTest, FamiliesAreApartWhenBothAreExclusive) {  // [spec 1.8.4]
  ASSERT_TRUE(bind(address("0.0.0.0", 7471)));
  EXPECT_EQ(errno_of(bind(address("::", 7471))), EADDRNOTAVAIL) << "would take IPv4 too";
  EXPECT_TRUE(bind(address("::", 7471), false, true));
}

TEST_F(PortTableTest, AnOwnerCountsAsItsOptionsAreNow) {  // [spec 1.8.4]
  const auto six = bind(address("::", 7471));
  ASSERT_TRUE(six);
  EXPECT_EQ(errno_of(bind(address("0.0.0.0", 7471))), EADDRNOTAVAIL);
  ASSERT_TRUE(table_.set_option(six->handle, PortOption::v6_only, true));
  const auto four = bind(address("0.0.0.0", 7471));
  ASSERT_TRUE(four);
  table_.release(four->handle);
  ASSERT_TRUE(table_.set_option(six->handle, PortOption::v6_only, false));
  EXPECT_EQ(errno_of(bind(address("0.0.0.0", 7471))), EADDRNOTAVAIL);
  ASSERT_TRUE(table_.listen(six->handle));
  EXPECT_EQ(errno_of(table_.set_option(six->handle, PortOption::v6_only, true)), EINVAL);
}

TEST_F(PortTableTest, ReuseOnBothSidesShares) {  // [spec 1.8.4]
  ASSERT_TRUE(bind(address("10.0.0.1", 7471), true));
  EXPECT_TRUE(bind(address("10.0.0.1", 7471), true));
  EXPECT_EQ(errno_of(bind(address("10.0.0.1", 7471), false)), EADDRINUSE);
}

TEST_F(PortTableTest, ListenerIsAloneAndLosesReuse) {  // [spec 1.8.8, 3.3 I4]
  const auto a = bind(address("10.0.0.1", 7471), true);
  const auto b = bind(address("10.0.0.1", 7471), true);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(errno_of(table_.listen(a->handle)), EADDRINUSE);
  EXPECT_FALSE(table_.listens(a->handle));
  ASSERT_TRUE(bind(address("10.0.0.1", 7471), true)) << "a listen that failed refuses nobody [spec 3.3 A]";
  table_.release(b->handle);
  const auto c = bind(address("0.0.0.0", 7472), true);
  const auto d = bind(address("10.0.0.1", 7472), true);
  ASSERT_TRUE(c && d);
  EXPECT_EQ(errno_of(table_.listen(c->handle)), EADDRNOTAVAIL);
  table_.release(d->handle);
  EXPECT_TRUE(table_.listen(c->handle));
  EXPECT_TRUE(table_.listens(c->handle));
  EXPECT_EQ(errno_of(bind(address("10.0.0.1", 7472), true)), EADDRNOTAVAIL) << "LISTEN implies no reuse [spec 3.3 I4]";
  EXPECT_EQ(errno_of(table_.set_option(c->handle, PortOption::reuse, true)), EINVAL) << "[spec 3.3 B]";
  table_.unlisten(c->handle);
  EXPECT_FALSE(table_.listens(c->handle));
}

TEST_F(PortTableTest, LinkLocalAddressesCountWithTheirInterface) {  // [spec 1.8.5, 4 #35]
  ASSERT_TRUE(bind(address("fe80::1", 7471, 2), false, true));
  EXPECT_TRUE(bind(address("fe80::1", 7471, 3), false, true)) << "[spec 4 #35]";
  EXPECT_EQ(errno_of(bind(address("fe80::1", 7471, 2), false, true)), EADDRINUSE);
}

TEST_F(PortTableTest, PrivilegedPorts) {  // [spec 1.8.3]
  EXPECT_EQ(errno_of(bind(address("10.0.0.1", 1023))), EACCES);
  EXPECT_TRUE(bind(address("10.0.0.1", 1024)));
  privileged_ = true;
  EXPECT_TRUE(bind(address("10.0.0.1", 1023)));
}

TEST_F(PortTableTest, SpacesAreApart) {  // [spec 1.8.10]
  ASSERT_TRUE(bind(address("0.0.0.0", 7471)));
  for (const PortSpace space : {PortSpace::udp, PortSpace::ib, PortSpace::ipoib}) {
    EXPECT_TRUE(table_.bind({.space = space, .source = address("0.0.0.0", 7471), .destination = {}}));
  }
}

TEST_F(PortTableTest, EphemeralPortsAreAllUsedOnceAndThenNone) {  // [spec 1.8.6]
  std::set<std::uint16_t> ports;
  range_ = {40000, 40007};
  PortHandle one = 0;
  for (int i = 0; i < 8; ++i) {
    const auto binding = bind(address("0.0.0.0"));
    ASSERT_TRUE(binding) << i;
    EXPECT_TRUE(ports.insert(binding->port).second);
    one = binding->handle;
  }
  EXPECT_EQ(*ports.begin(), 40000);
  EXPECT_EQ(*ports.rbegin(), 40007);
  EXPECT_EQ(errno_of(bind(address("0.0.0.0"))), EADDRNOTAVAIL);
  table_.release(one);
  EXPECT_EQ(errno_of(bind(address("0.0.0.0"))), EADDRNOTAVAIL) << "the last port handed out is not handed out next";
}

TEST_F(PortTableTest, EphemeralPortIsSharedWhenTheConnectionsDiffer) {  // [spec 1.8.6, 4 #36]
  range_ = {40000, 40000};
  ASSERT_TRUE(bind(address("0.0.0.0"), false, false, address("10.0.0.9", 1000)));
  EXPECT_TRUE(bind(address("0.0.0.0"), false, false, address("10.0.0.9", 1001))) << "other destination port";
  EXPECT_TRUE(bind(address("0.0.0.0"), false, false, address("10.0.0.8", 1000))) << "other destination [spec 4 #36]";
  EXPECT_EQ(errno_of(bind(address("0.0.0.0"), false, false, address("10.0.0.9", 1000))), EADDRNOTAVAIL);
  EXPECT_EQ(errno_of(bind(address("0.0.0.0"))), EADDRNOTAVAIL) << "no destination: not known to differ";
}

TEST_F(PortTableTest, EphemeralStartIsRandomByTheWorldsSeed) {
  range_ = {1024, 65535};
  const auto first = [this](std::uint64_t seed) {
    const auto world = rt::World::simulated(seed);
    PortTable table(*world, [this] { return range_; });
    return table.bind({.space = PortSpace::tcp, .source = address("0.0.0.0"), .destination = {}})->port;
  };
  EXPECT_EQ(first(1), first(1));
  EXPECT_NE(first(1), first(2));
}

TEST_F(PortTableTest, EmptyRangeAndUnknownHandles) {
  range_ = {1, 0};
  EXPECT_EQ(errno_of(bind(address("0.0.0.0"))), EADDRNOTAVAIL);
  EXPECT_EQ(errno_of(table_.listen(99)), EINVAL);
  EXPECT_EQ(errno_of(table_.set_option(99, PortOption::reuse, true)), EINVAL);
  table_.unlisten(99);
  table_.release(99);
  EXPECT_EQ(table_.size(), 0U);
}

}  // namespace
}  // namespace hawser::cma
