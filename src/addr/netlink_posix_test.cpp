// Against the kernel of the machine, in a network namespace of our own. Skipped (loudly) where none can be made.
#include "addr/netlink_posix.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <thread>

#include <gtest/gtest.h>
#include <libmnl/libmnl.h>

#include "addr/netlink_message_posix.hpp"

namespace hawser::addr {
namespace {

// Orders to the kernel of the calling thread's namespace.
class Kernel {
 public:
  Kernel() : socket_(mnl_socket_open(NETLINK_ROUTE)) { EXPECT_GE(mnl_socket_bind(socket_, 0, MNL_SOCKET_AUTOPID), 0); }
  ~Kernel() { mnl_socket_close(socket_); }

  int up(std::uint32_t interface) {
    nlmsghdr* message = start(RTM_NEWLINK, 0);
    auto* header = extra<ifinfomsg>(message);
    header->ifi_index = static_cast<int>(interface);
    header->ifi_flags = header->ifi_change = 1;  // IFF_UP
    return finish(message);
  }
  int add_veth(const char* name, const char* peer) {
    nlmsghdr* message = start(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    extra<ifinfomsg>(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    nlattr* info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
    nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    nlattr* other = mnl_attr_nest_start(message, VETH_INFO_PEER);
    extra<ifinfomsg>(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, peer);
    mnl_attr_nest_end(message, other);
    mnl_attr_nest_end(message, data);
    mnl_attr_nest_end(message, info);
    return finish(message);
  }
  int remove(const char* name) {
    nlmsghdr* message = start(RTM_DELLINK, 0);
    extra<ifinfomsg>(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    return finish(message);
  }
  int address(std::uint16_t type, std::uint32_t interface, const IpAddress& ip, unsigned char prefix) {
    nlmsghdr* message = start(type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0);
    auto* header = extra<ifaddrmsg>(message);
    header->ifa_family = ip.is_v4() ? AF_INET : AF_INET6;
    header->ifa_prefixlen = prefix;
    header->ifa_index = interface;
    if (!ip.is_v4()) mnl_attr_put_u32(message, IFA_FLAGS, IFA_F_NODAD);
    put(message, IFA_LOCAL, ip);
    put(message, IFA_ADDRESS, ip);
    return finish(message);
  }
  int neighbour(std::uint32_t interface, const IpAddress& ip, const Mac& mac) {
    nlmsghdr* message = start(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
    auto* header = extra<ndmsg>(message);
    header->ndm_family = ip.is_v4() ? AF_INET : AF_INET6;
    header->ndm_ifindex = static_cast<int>(interface);
    header->ndm_state = NUD_PERMANENT;
    put(message, NDA_DST, ip);
    mnl_attr_put(message, NDA_LLADDR, mac.size(), mac.data());
    return finish(message);
  }

 private:
  template <class Header>
  Header* extra(nlmsghdr* message) {
    return static_cast<Header*>(mnl_nlmsg_put_extra_header(message, sizeof(Header)));
  }
  static void put(nlmsghdr* message, std::uint16_t type, const IpAddress& ip) {
    if (ip.is_v4()) {
      mnl_attr_put_u32(message, type, htonl(ip.v4_host_order()));
    } else {
      mnl_attr_put(message, type, 16, ip.bytes.data());
    }
  }
  nlmsghdr* start(std::uint16_t type, int flags) {
    buffer_ = {};
    nlmsghdr* message = mnl_nlmsg_put_header(buffer_.data());
    message->nlmsg_type = type;
    message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    return message;
  }
  int finish(nlmsghdr* message) {
    if (mnl_socket_sendto(socket_, message, message->nlmsg_len) < 0) return errno;
    const ssize_t size = mnl_socket_recvfrom(socket_, buffer_.data(), buffer_.size());
    if (size < 0) return errno;
    return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reinterpret_cast<nlmsghdr*>(buffer_.data())))->error;
  }

  mnl_socket* socket_;
  alignas(nlmsghdr) std::array<char, 8192> buffer_{};
};

bool write_file(const char* path, const std::string& text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return written;
}

// The calling thread alone moves into a new namespace: as root directly, else in a user namespace of our own (which
// needs a process that has one thread).
bool enter_new_namespace() {
  if (unshare(CLONE_NEWNET) == 0) return true;
  const uid_t uid = getuid();
  const gid_t gid = getgid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
  return write_file("/proc/self/setgroups", "deny") &&
         write_file("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1") &&
         write_file("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
}

// What the kernel does to a dump of many interfaces while others come and go: it skips one, and says so.
class TornDumps final : public NetlinkQuery {
 public:
  explicit TornDumps(std::unique_ptr<NetlinkQuery> kernel) : kernel_(std::move(kernel)) {}

  std::string skipped;
  int left = 0;

  Status ask(nlmsghdr* question, const Handle& handle) override {
    if (question->nlmsg_type != RTM_GETLINK || left == 0) return kernel_->ask(question, handle);
    --left;
    const Status asked = kernel_->ask(question, [&](const nlmsghdr* message) {
      if (const auto link = parse_link(message); link && link->snapshot.name != skipped) handle(message);
    });
    return asked ? Status(fail(EINTR)) : asked;
  }

 private:
  std::unique_ptr<NetlinkQuery> kernel_;
};

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

class NetlinkTest : public testing::Test {
 protected:
  void SetUp() override {
    home_ = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (!enter_new_namespace()) GTEST_SKIP() << "no network namespace may be made here";
    kernel_.emplace();
    ASSERT_EQ(kernel_->up(1), 0);
    if (const int error = kernel_->add_veth("v0", "v1"); error != 0) GTEST_SKIP() << "no veth: " << strerror(error);
    auto query = open_netlink_query();
    ASSERT_TRUE(query);
    auto torn = std::make_unique<TornDumps>(std::move(*query));
    torn_ = torn.get();
    auto view = NetlinkView::create(std::move(torn));
    ASSERT_TRUE(view);
    view_ = std::move(*view);
    v0_ = index_of("v0");
    ASSERT_NE(v0_, 0U);
    ASSERT_EQ(kernel_->up(v0_), 0);
    ASSERT_EQ(kernel_->up(index_of("v1")), 0);
    ASSERT_EQ(kernel_->address(RTM_NEWADDR, v0_, ip("10.9.0.1"), 24), 0);
    ASSERT_EQ(kernel_->address(RTM_NEWADDR, v0_, ip("fd00:9::1"), 64), 0);
    view_->poll();
  }
  void TearDown() override {
    view_.reset();
    kernel_.reset();
    // Back home for the next test; from inside a user namespace there is no way back, and none is needed.
    static_cast<void>(setns(home_, CLONE_NEWNET));
    close(home_);
  }
  std::optional<verbs::InterfaceSnapshot> find(const std::string& name) {
    for (auto& interface : view_->interfaces()) {
      if (interface.name == name) return interface;
    }
    return std::nullopt;
  }
  std::uint32_t index_of(const std::string& name) {
    const auto interface = find(name);
    return interface ? interface->index : 0;
  }
  // What the kernel tells arrives before the order to it is acknowledged, so there is nothing to wait for; poll(2) with
  // no timeout proves that the descriptor says so.
  bool readable() {
    pollfd fd{view_->poll_fd(), POLLIN, 0};
    return ::poll(&fd, 1, 0) == 1;
  }

  int home_ = -1;
  std::optional<Kernel> kernel_;
  std::unique_ptr<NetlinkView> view_;
  TornDumps* torn_ = nullptr;
  std::uint32_t v0_ = 0;
};

TEST_F(NetlinkTest, ListsInterfacesWithTheirAddresses) {
  const auto lo = find("lo");
  ASSERT_TRUE(lo);
  EXPECT_TRUE(lo->loopback);
  EXPECT_TRUE(lo->up);
  EXPECT_EQ(lo->addresses.at(0), ip("127.0.0.1"));
  const auto v0 = find("v0");
  ASSERT_TRUE(v0);
  EXPECT_FALSE(v0->loopback);
  EXPECT_EQ(v0->mtu_bytes, 1500U);
  EXPECT_NE(v0->mac, Mac{});
  EXPECT_NE(std::ranges::find(v0->addresses, ip("10.9.0.1")), v0->addresses.end());
  EXPECT_NE(std::ranges::find(v0->addresses, ip("fd00:9::1")), v0->addresses.end());
}

TEST_F(NetlinkTest, RoutesToTheLinkToOurselvesAndNowhere) {
  const auto on_link = view_->route(ip("10.9.0.7"), std::nullopt, 0);
  ASSERT_TRUE(on_link) << on_link.error().message();
  EXPECT_EQ(on_link->interface, v0_);
  EXPECT_EQ(on_link->source, ip("10.9.0.1"));
  EXPECT_FALSE(on_link->local);
  EXPECT_FALSE(on_link->gateway);

  const auto own = view_->route(ip("10.9.0.1"), std::nullopt, 0);
  ASSERT_TRUE(own);
  EXPECT_TRUE(own->local);
  EXPECT_EQ(own->interface, v0_) << "the owner, not lo";
  EXPECT_EQ(own->source, ip("10.9.0.1"));

  const auto own6 = view_->route(ip("fd00:9::1"), std::nullopt, 0);
  ASSERT_TRUE(own6);
  EXPECT_TRUE(own6->local);
  EXPECT_EQ(own6->interface, v0_);
  EXPECT_EQ(own6->source, ip("fd00:9::1"));

  for (const char* loopback : {"127.0.0.1", "127.0.0.9", "::1"}) {
    const auto route = view_->route(ip(loopback), std::nullopt, 0);
    ASSERT_TRUE(route) << loopback;
    EXPECT_TRUE(route->local);
    EXPECT_EQ(route->interface, 1U);
    EXPECT_TRUE(route->source.is_loopback());
  }
  EXPECT_EQ(errno_of(view_->route(ip("192.0.2.1"), std::nullopt, 0)), ENETUNREACH);
  EXPECT_EQ(errno_of(view_->route(ip("10.9.0.7"), ip("192.0.2.1"), 0)), EADDRNOTAVAIL);
  EXPECT_EQ(errno_of(view_->route(ip("fd00:9::7"), ip("2001:db8::1"), 0)), EADDRNOTAVAIL);
  EXPECT_FALSE(view_->route(ip("10.9.0.255"), std::nullopt, 0)) << "broadcast";
}

TEST_F(NetlinkTest, ALinkLocalAddressIsItsInterfaces) {
  const std::uint32_t v1 = index_of("v1");
  for (const std::uint32_t interface : {v0_, v1}) {
    ASSERT_EQ(kernel_->address(RTM_NEWADDR, interface, ip("fe80::5"), 64), 0);
  }
  ASSERT_EQ(kernel_->address(RTM_NEWADDR, v0_, ip("fe80::6"), 64), 0);
  ASSERT_TRUE(find("v0"));  // a look sees them before the kernel tells of them, and before their routes are there
  for (const std::uint32_t interface : {v0_, v1}) {
    const auto own = view_->route(ip("fe80::5"), std::nullopt, interface);
    ASSERT_TRUE(own);
    EXPECT_TRUE(own->local);
    EXPECT_EQ(own->interface, interface);
  }
  const auto of_the_other_end = view_->route(ip("fe80::6"), std::nullopt, v1);
  ASSERT_TRUE(of_the_other_end);
  EXPECT_FALSE(of_the_other_end->local) << "ours, but not on this link";
  EXPECT_EQ(of_the_other_end->interface, v1);
  EXPECT_EQ(errno_of(view_->route(ip("fe80::7"), ip("fe80::6"), v1)), EADDRNOTAVAIL);
  EXPECT_TRUE(view_->route(ip("fe80::7"), ip("fe80::6"), v0_));
}

TEST_F(NetlinkTest, NeighboursAreFoundAndToldOf) {
  std::vector<NeighbourChange> told;
  view_->set_observer({.interfaces_changed = nullptr, .neighbour_changed = [&](const auto& c) { told.push_back(c); }});
  EXPECT_EQ(errno_of(view_->neighbour(v0_, ip("10.9.0.7"))), ENODATA);
  EXPECT_EQ(errno_of(view_->neighbour(v0_, ip("fd00:9::7"))), ENODATA);
  const Mac mac{2, 3, 4, 5, 6, 7};
  ASSERT_EQ(kernel_->neighbour(v0_, ip("10.9.0.7"), mac), 0);
  EXPECT_TRUE(readable());
  view_->poll();
  const auto change = std::ranges::find_if(told, [&](const NeighbourChange& c) { return c.mac == mac; });
  ASSERT_NE(change, told.end());
  EXPECT_EQ(change->interface, v0_);
  EXPECT_EQ(change->address, ip("10.9.0.7"));
  const auto found = view_->neighbour(v0_, ip("10.9.0.7"));
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, mac);
  EXPECT_TRUE(view_->neighbour(1, ip("127.0.0.1"))) << "nothing to resolve on lo";
}

TEST_F(NetlinkTest, AddressesThatComeAndGoAreToldOf) {
  int told = 0;
  view_->set_observer({.interfaces_changed = [&] { ++told; }, .neighbour_changed = nullptr});
  view_->poll();
  told = 0;
  ASSERT_EQ(kernel_->address(RTM_NEWADDR, v0_, ip("10.9.0.2"), 24), 0);
  EXPECT_TRUE(readable());
  view_->poll();
  EXPECT_EQ(told, 1) << "once for all that was read";
  EXPECT_EQ(find("v0")->addresses.size() >= 3, true);
  ASSERT_EQ(kernel_->address(RTM_DELADDR, v0_, ip("10.9.0.2"), 24), 0);
  view_->poll();
  EXPECT_EQ(told, 2);
  EXPECT_EQ(errno_of(view_->route(ip("10.9.0.7"), ip("10.9.0.2"), 0)), EADDRNOTAVAIL) << "nothing stale is believed";
}

TEST_F(NetlinkTest, ADumpThatWasDisturbedSaysSo) {
  for (int i = 0; i < 100; ++i) {  // more than the kernel sends before anybody has read
    const std::string number = std::to_string(i);
    ASSERT_EQ(kernel_->add_veth(("a" + number).c_str(), ("b" + number).c_str()), 0);
  }
  const auto query = open_netlink_query();
  ASSERT_TRUE(query);
  alignas(nlmsghdr) std::array<char, 256> question{};
  int links = 0;
  EXPECT_TRUE((*query)->ask(ask_dump(question.data(), RTM_GETLINK), [&](const nlmsghdr*) { ++links; }));
  EXPECT_GE(links, 200);
  links = 0;
  const Status disturbed = (*query)->ask(ask_dump(question.data(), RTM_GETLINK), [&](const nlmsghdr*) {
    if (links++ == 0) {
      EXPECT_EQ(kernel_->remove("a0"), 0);
    }
  });
  EXPECT_EQ(errno_of(disturbed), EINTR);
  EXPECT_GE(links, 190) << "read to its end: the next answer is the next question's";
  EXPECT_TRUE((*query)->ask(ask_dump(question.data(), RTM_GETLINK), [](const nlmsghdr*) {}));
}

TEST_F(NetlinkTest, ADisturbedDumpIsRepeated) {
  torn_->skipped = "v0";
  torn_->left = 2;
  EXPECT_TRUE(find("v0"));
  EXPECT_EQ(torn_->left, 0);
  EXPECT_TRUE(find("v0"));
}

TEST_F(NetlinkTest, AnInterfaceThatDisturbedDumpsSkipStaysUntilOneIsWhole) {
  ASSERT_TRUE(find("v0"));
  view_->poll();
  ASSERT_FALSE(readable());
  torn_->skipped = "v0";
  torn_->left = 1000;
  const auto kept = find("v0");
  ASSERT_TRUE(kept);
  EXPECT_NE(std::ranges::find(kept->addresses, ip("10.9.0.1")), kept->addresses.end());
  EXPECT_GT(torn_->left, 900) << "not for ever";
  EXPECT_TRUE(readable()) << "somebody looks again";
  int told = 0;
  view_->set_observer({.interfaces_changed = [&] { ++told; }, .neighbour_changed = nullptr});
  view_->poll();
  EXPECT_EQ(told, 1);
  ASSERT_EQ(kernel_->remove("v0"), 0);
  EXPECT_TRUE(find("v0")) << "nobody can know";
  torn_->left = 0;
  EXPECT_FALSE(find("v0"));
}

TEST_F(NetlinkTest, KnowsTheNamespacesSettings) {
  const auto [low, high] = view_->local_port_range();
  EXPECT_LT(low, high);
  EXPECT_FALSE(view_->bind_v6_only());
}

}  // namespace
}  // namespace hawser::addr
