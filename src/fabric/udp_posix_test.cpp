// Sockets of the machine, in a network namespace of our own. Skipped (loudly) where none can be made.
#include "fabric/udp_posix.hpp"

#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

#include <gtest/gtest.h>

namespace hawser::fabric {
namespace {

const IpAddress localhost = *IpAddress::parse("127.0.0.1");
const IpAddress another_v4 = *IpAddress::parse("127.0.0.9");
const IpAddress localhost_v6 = *IpAddress::parse("::1");

bool bring_lo_up() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  bool up = ioctl(socket, SIOCGIFFLAGS, &request) == 0;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  up = up && ioctl(socket, SIOCSIFFLAGS, &request) == 0;
  close(socket);
  return up;
}

// A namespace belongs to a thread: `body` runs in one whose UDP port 4791 is its own.
class UdpFabricTest : public testing::Test {
 protected:
  void in_own_namespace(const std::function<void()>& body) {
    bool made = false;
    std::thread thread([&] {
      made = unshare(CLONE_NEWNET) == 0 && bring_lo_up();
      if (made) body();
    });
    thread.join();
    if (!made) GTEST_SKIP() << "no network namespace can be made here (needs root)";
  }
};

// A socket with its fabric; closed at the end.
class Port {
 public:
  explicit Port(const UdpSocketOptions& options = {}) : Port(open_udp_socket(options)) {}
  explicit Port(Result<int> socket) : socket_(socket.value_or(-1)) {
    EXPECT_TRUE(socket) << socket.error().message();
    if (socket) fabric_ = std::make_unique<UdpFabric>(socket_);
  }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port() { close(socket_); }

  UdpFabric* operator->() { return fabric_.get(); }
  [[nodiscard]] int socket() const { return socket_; }
  std::size_t send(const OutDatagram& datagram) { return fabric_->send({&datagram, 1}); }
  // The next datagram that arrives and is whole; an empty one if none does.
  InDatagram next() {
    pollfd entry{socket_, POLLIN, 0};
    std::array<InDatagram, 1> in;
    while (poll(&entry, 1, 5000) == 1) {
      if (fabric_->receive(in) == 1) return in[0];
    }
    ADD_FAILURE() << "nothing has arrived";
    return {};
  }

 private:
  int socket_;
  std::unique_ptr<UdpFabric> fabric_;
};

std::vector<std::byte> bytes(std::size_t size) {
  std::vector<std::byte> data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::byte>(i * 7);
  return data;
}

OutDatagram datagram(const IpAddress& from, const IpAddress& to, std::span<const std::byte> payload) {
  return {.source = from, .destination = to, .traffic_class = 0x68, .hop_limit = 17, .payload = payload};
}

void expect_arrives(Port& port, const OutDatagram& sent) {
  ASSERT_EQ(port.send(sent), 1U);
  const InDatagram got = port.next();
  EXPECT_EQ(got.source.text(), sent.source.text());
  EXPECT_EQ(got.destination.text(), sent.destination.text());
  EXPECT_EQ(got.source_port, roce_v2_port);
  EXPECT_EQ(got.interface, if_nametoindex("lo"));
  EXPECT_EQ(got.traffic_class, sent.traffic_class);
  EXPECT_EQ(got.hop_limit, sent.hop_limit);
  EXPECT_TRUE(std::ranges::equal(got.payload, sent.payload));
}

TEST_F(UdpFabricTest, CarriesBothFamilies) {
  in_own_namespace([] {
    Port port;
    EXPECT_EQ(port->source_port(), roce_v2_port);
    EXPECT_EQ(port->poll_fd(), port.socket());
    expect_arrives(port, datagram(localhost, localhost, bytes(100)));
    expect_arrives(port, datagram(localhost_v6, localhost_v6, bytes(100)));
    expect_arrives(port, datagram(localhost, localhost, bytes(datagram_bytes_max)));
    expect_arrives(port, datagram(localhost_v6, localhost_v6, bytes(datagram_bytes_max)));
    std::array<InDatagram, 1> none;
    EXPECT_EQ(port->receive(none), 0U);
  });
}

TEST_F(UdpFabricTest, SendsFromTheAddressThatItIsTold) {
  in_own_namespace([] {
    Port port;
    expect_arrives(port, datagram(another_v4, localhost, bytes(10)));
    expect_arrives(port, datagram(localhost, another_v4, bytes(10)));
  });
}

// Two processes on one port: each joined one gets one copy, whoever sent it; the others get none.
TEST_F(UdpFabricTest, AGroupIsHeardByTheSocketsThatJoined) {
  in_own_namespace([] {
    const std::uint32_t lo = if_nametoindex("lo");
    const auto hears = [](Port& port) {
      std::array<InDatagram, 4> in;
      return port->receive(in);
    };
    const IpAddress group = *IpAddress::parse("239.1.1.1");
    Port one({.reuse_port = true});
    Port other({.reuse_port = true});
    Port third({.reuse_port = true});
    EXPECT_EQ(errno_of(one->join_group(localhost, lo)), EINVAL);
    EXPECT_EQ(errno_of(one->join_group(group, 4711)), ENODEV);
    ASSERT_TRUE(one->join_group(group, lo));
    ASSERT_TRUE(other->join_group(group, lo));
    EXPECT_EQ(errno_of(one->join_group(group, lo)), EADDRINUSE);
    const auto payload = bytes(20);
    OutDatagram out = datagram(localhost, group, payload);
    out.interface = lo;
    ASSERT_EQ(one.send(out), 1U);
    for (Port* port : {&one, &other}) {
      const InDatagram got = port->next();
      EXPECT_EQ(got.destination.text(), group.text());
      EXPECT_EQ(got.source.text(), localhost.text());
      EXPECT_EQ(got.interface, lo);
      EXPECT_EQ(got.hop_limit, out.hop_limit);
      EXPECT_EQ(hears(*port), 0U);
    }
    EXPECT_EQ(hears(third), 0U);
    ASSERT_TRUE(other->leave_group(group, lo));
    EXPECT_EQ(errno_of(other->leave_group(group, lo)), EADDRNOTAVAIL);
    ASSERT_EQ(one.send(out), 1U);
    EXPECT_EQ(one.next().payload.size(), 20U);
    EXPECT_EQ(hears(other), 0U);
  });
}

// IPv6 has no route for groups on lo; what is sent to them on other interfaces is tested end to end.
TEST_F(UdpFabricTest, Ipv6GroupsAreJoinedAndLeft) {
  in_own_namespace([] {
    const std::uint32_t lo = if_nametoindex("lo");
    const IpAddress group = *IpAddress::parse("ff02::4791");
    Port port;
    EXPECT_EQ(errno_of(port->join_group(localhost_v6, lo)), EINVAL);
    ASSERT_TRUE(port->join_group(group, lo));
    EXPECT_EQ(errno_of(port->join_group(group, lo)), EADDRINUSE);
    ASSERT_TRUE(port->leave_group(group, lo));
    EXPECT_EQ(errno_of(port->leave_group(group, lo)), EADDRNOTAVAIL);
  });
}

// What a machine with ipv6.disable=1 gets from open_udp_socket().
Result<int> v4_only_socket() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(roce_v2_port);
  const bool good = setsockopt(socket, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) == 0 &&
                    setsockopt(socket, IPPROTO_IP, IP_RECVTOS, &on, sizeof on) == 0 &&
                    setsockopt(socket, IPPROTO_IP, IP_RECVTTL, &on, sizeof on) == 0 &&
                    bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  if (good) return socket;
  close(socket);
  return fail(EINVAL);
}

TEST_F(UdpFabricTest, WorksWithoutIpv6) {
  in_own_namespace([] {
    Port port(v4_only_socket());
    expect_arrives(port, datagram(another_v4, localhost, bytes(100)));
    // The rest of a batch is not lost with what cannot be sent.
    const auto payload = bytes(10);
    const std::array batch{datagram(localhost, localhost, payload), datagram(localhost_v6, localhost_v6, payload),
                           datagram(localhost, localhost, payload)};
    EXPECT_EQ(port->send(batch), 2U);
    EXPECT_EQ(port->counters().send_failed, 1U);
    EXPECT_EQ(port.next().payload.size(), 10U);
    EXPECT_EQ(port.next().payload.size(), 10U);
  });
}

TEST_F(UdpFabricTest, DropsAndCountsWhatIsLongerThanAnyPacket) {
  in_own_namespace([] {
    Port port;
    const auto payload = bytes(datagram_bytes_max + 1);
    const std::array batch{datagram(localhost, localhost, payload),
                           datagram(localhost, localhost, std::span(payload).first(5))};
    ASSERT_EQ(port->send(batch), 2U);
    EXPECT_EQ(port.next().payload.size(), 5U);
    EXPECT_EQ(port->counters().received, 2U);
    EXPECT_EQ(port->counters().truncated, 1U);
    // An empty datagram is one too: whoever decodes it says that it is none of RoCE.
    ASSERT_EQ(port.send(datagram(localhost, localhost, {})), 1U);
    EXPECT_TRUE(port.next().payload.empty());
    EXPECT_EQ(port->counters().received, 3U);
  });
}

TEST_F(UdpFabricTest, NeverFragments) {
  in_own_namespace([] {
    Port port;
    const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_mtu = 1500;
    EXPECT_EQ(ioctl(socket, SIOCSIFMTU, &request), 0);
    close(socket);
    testing::internal::CaptureStderr();
    const auto payload = bytes(4096);
    EXPECT_EQ(port.send(datagram(localhost, localhost, payload)), 0U);
    EXPECT_EQ(port.send(datagram(localhost_v6, localhost_v6, payload)), 0U);
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("use a smaller path MTU"), std::string::npos) << said;
    EXPECT_EQ(said.find("use a smaller path MTU"), said.rfind("use a smaller path MTU")) << said;  // once
    EXPECT_EQ(port->counters().send_failed, 2U);
    EXPECT_EQ(port->counters().sent, 0U);
  });
}

TEST_F(UdpFabricTest, LosesWhatHasNoSourceHereAndGoesOn) {
  in_own_namespace([] {
    Port port;
    testing::internal::CaptureStderr();
    EXPECT_EQ(port.send(datagram(*IpAddress::parse("10.9.9.9"), localhost, bytes(10))), 0U);
    EXPECT_FALSE(testing::internal::GetCapturedStderr().empty());
    EXPECT_EQ(port->counters().send_failed, 1U);
    expect_arrives(port, datagram(localhost, localhost, bytes(10)));
  });
}

// A host without RDMA answers with ICMP port unreachable; a kernel's CM ignores that and so do we.
TEST_F(UdpFabricTest, IcmpErrorsDoNotSurface) {
  in_own_namespace([] {
    Port port({.port = 5555});  // nobody has 4791
    for (const IpAddress& address : {localhost, localhost_v6}) {
      for (int i = 0; i < 5; ++i) EXPECT_EQ(port.send(datagram(address, address, bytes(10))), 1U);
    }
    EXPECT_EQ(port->source_port(), 5555);
    std::array<InDatagram, 1> in;
    EXPECT_EQ(port->receive(in), 0U);
    pollfd entry{port.socket(), POLLIN, 0};
    EXPECT_EQ(poll(&entry, 1, 0), 0);  // neither readable nor in error
    EXPECT_EQ(port->counters().send_failed, 0U);
    EXPECT_EQ(port->counters().sent, 10U);
  });
}

TEST_F(UdpFabricTest, BelongsToOneUnlessShared) {
  in_own_namespace([] {
    {
      const Port port;
      EXPECT_EQ(errno_of(open_udp_socket({})), EADDRINUSE);
      EXPECT_EQ(errno_of(open_udp_socket({.reuse_port = true})), EADDRINUSE);
    }
    const Port first({.reuse_port = true});
    const Port second({.reuse_port = true});
    EXPECT_NE(first.socket(), second.socket());
  });
}

int receive_buffer(int socket) {
  int size = 0;
  socklen_t length = sizeof size;
  EXPECT_EQ(getsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, &length), 0);
  return size;
}

TEST_F(UdpFabricTest, ReceiveBufferIsWhatTheEnvironmentSays) {
  const Port stock({.port = 0});
  setenv("HAWSER_RCVBUF", "32768", 1);  // NOLINT(concurrency-mt-unsafe): the only thread
  const Port small({.port = 0});
  EXPECT_EQ(receive_buffer(small.socket()), 32768);
  for (const char* nonsense : {"", "much", "-1", "12k"}) {
    testing::internal::CaptureStderr();
    setenv("HAWSER_RCVBUF", nonsense, 1);  // NOLINT(concurrency-mt-unsafe)
    const Port port({.port = 0});
    EXPECT_EQ(receive_buffer(port.socket()), receive_buffer(stock.socket())) << nonsense;
    EXPECT_EQ(testing::internal::GetCapturedStderr().empty(), *nonsense == '\0');
  }
  unsetenv("HAWSER_RCVBUF");  // NOLINT(concurrency-mt-unsafe)
}

TEST_F(UdpFabricTest, MayOwnThePortOfOneAddress) {
  const IpAddress one = *IpAddress::parse("127.0.0.1");
  const IpAddress other = *IpAddress::parse("127.0.0.2");
  Port first({.port = 0, .address = one});
  const std::uint16_t port = first->source_port();
  Port second({.port = port, .address = other});
  EXPECT_EQ(errno_of(open_udp_socket({.port = port, .address = one})), EADDRINUSE);
  EXPECT_EQ(errno_of(open_udp_socket({.port = port})), EADDRINUSE) << "the wildcard has all of them";
  EXPECT_EQ(errno_of(open_udp_socket({.port = 0, .address = *IpAddress::parse("192.0.2.1")})), EADDRNOTAVAIL);
}

}  // namespace
}  // namespace hawser::fabric
