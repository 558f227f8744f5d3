#include "addr/resolver.hpp"

#include <functional>
#include <memory>
#include <utility>

#include <gtest/gtest.h>

#include "addr/sim_network_view.hpp"

namespace hawser::addr {
namespace {

using namespace std::chrono_literals;

const IpAddress own = *IpAddress::parse("10.0.0.1");
const IpAddress peer = *IpAddress::parse("10.0.0.2");
const Mac peer_mac{2, 0, 0, 0, 0, 2};

// Calls back in the middle of an attempt.
class InterruptedView final : public NetworkView {
 public:
  explicit InterruptedView(NetworkView& below) : below_(below) {}
  std::vector<verbs::InterfaceSnapshot> interfaces() override { return below_.interfaces(); }
  Result<Route> route(const IpAddress& to, const std::optional<IpAddress>& from, std::uint32_t interface) override {
    return below_.route(to, from, interface);
  }
  Result<Mac> neighbour(std::uint32_t interface, const IpAddress& address) override {
    if (interrupt) std::exchange(interrupt, nullptr)();
    return below_.neighbour(interface, address);
  }
  std::pair<std::uint16_t, std::uint16_t> local_port_range() override { return below_.local_port_range(); }
  bool may_bind_privileged() override { return below_.may_bind_privileged(); }
  bool bind_v6_only() override { return below_.bind_v6_only(); }
  void set_observer(Observer observer) override { below_.set_observer(std::move(observer)); }
  int poll_fd() const override { return below_.poll_fd(); }
  void poll() override { below_.poll(); }

  std::function<void()> interrupt;

 private:
  NetworkView& below_;
};

class ResolverTest : public testing::Test {
 protected:
  ResolverTest() {
    verbs::InterfaceSnapshot eth0;
    eth0.index = 2;
    eth0.name = "eth0";
    eth0.mtu_bytes = 1500;
    eth0.up = true;
    eth0.addresses = {own};
    network_.set_interfaces({eth0});
    network_.answer_for_unknown_neighbours(false);
    network_.set_observer({.interfaces_changed = nullptr,
                           .neighbour_changed = [this](const NeighbourChange& c) { resolver_.on_neighbour(c); }});
  }
  Status resolve(Request& request, const IpAddress& to, rt::Duration timeout = 2s) {
    return resolver_.resolve(request, std::nullopt, to, 0, timeout, [this](const Result<Resolved>& result) {
      errors_.push_back(errno_of(result));
      if (result) last_ = *result;
    });
  }
  void run() { EXPECT_TRUE(dispatcher_.run()); }

  std::unique_ptr<rt::World> world_ = rt::World::simulated(1);
  rt::Dispatcher dispatcher_{*world_};
  SimNetworkView network_;
  Resolver resolver_{dispatcher_, network_};
  std::vector<int> errors_;
  Resolved last_;
};

TEST_F(ResolverTest, KnownNeighbourIsAnsweredFromTheDispatcher) {  // [spec 1.5.5]
  network_.set_neighbour(2, peer, peer_mac);
  Request request;
  ASSERT_TRUE(resolve(request, peer));
  EXPECT_TRUE(errors_.empty()) << "never from within the call";
  run();
  EXPECT_EQ(errors_, std::vector<int>{0});
  EXPECT_EQ(last_.source, own);
  EXPECT_EQ(last_.interface, 2U);
  EXPECT_EQ(last_.destination_mac, peer_mac);
  EXPECT_FALSE(last_.via_gateway);
}

// Found by the explorer [spec 4 #12]: the neighbour becomes known while the request's timer runs, which arms the timer
// again; the answer ends the life of the request.
TEST_F(ResolverTest, ANeighbourThatComesWhileTheRequestRunsArmsNothingAnymore) {
  InterruptedView view(network_);
  Resolver resolver(dispatcher_, view);
  auto request = std::make_unique<Request>();
  ASSERT_TRUE(resolver.resolve(*request, std::nullopt, peer, 0, 2s, [&](const Result<Resolved>& result) {
    errors_.push_back(errno_of(result));
    request.reset();
  }));
  view.interrupt = [&] {
    network_.set_neighbour(2, peer, peer_mac);
    resolver.on_neighbour({.interface = 2, .address = peer, .mac = peer_mac});
  };
  resolver.on_neighbour({.interface = 2, .address = peer, .mac = peer_mac});
  run();
  EXPECT_EQ(errors_, std::vector<int>{0});
  EXPECT_EQ(dispatcher_.next_deadline(), rt::time_never);
}

TEST_F(ResolverTest, OwnAddressNeedsNoNeighbour) {  // [spec 1.6.5]
  Request request;
  ASSERT_TRUE(resolve(request, own));
  run();
  EXPECT_EQ(errors_, std::vector<int>{0});
  EXPECT_FALSE(last_.destination_mac);
}

TEST_F(ResolverTest, AsksForTheGatewaysNeighbour) {  // [spec 1.6.8]
  const IpAddress gateway = *IpAddress::parse("10.0.0.254");
  Route route;
  route.source = own;
  route.gateway = gateway;
  route.interface = 2;
  route.hop_limit = 9;
  network_.set_route(*IpAddress::parse("192.0.2.1"), route);
  network_.set_neighbour(2, gateway, peer_mac);
  Request request;
  ASSERT_TRUE(resolve(request, *IpAddress::parse("192.0.2.1")));
  run();
  EXPECT_EQ(errors_, std::vector<int>{0});
  EXPECT_TRUE(last_.via_gateway);
  EXPECT_EQ(last_.hop_limit, 9);
  EXPECT_EQ(last_.destination_mac, peer_mac);
}

TEST_F(ResolverTest, ErrorsOfTheFirstAttemptAreReturnedAndNeverCalledBack) {  // [spec 1.6.1]
  network_.set_route(peer, fail(EHOSTUNREACH));
  Request request;
  EXPECT_EQ(errno_of(resolve(request, peer)), EHOSTUNREACH);
  EXPECT_EQ(errno_of(resolver_.resolve(request, IpAddress::parse("192.0.2.7"), peer, 0, 2s, nullptr)), EADDRNOTAVAIL);
  EXPECT_EQ(errno_of(resolve(request, *IpAddress::parse("2001:db8::1"))), ENETUNREACH);
  EXPECT_EQ(dispatcher_.next_deadline(), rt::time_never);
}

TEST_F(ResolverTest, SilentNeighbourTimesOutOnceAtTheDeadline) {  // [spec 1.6.2, 1.6.4]
  Request request;
  ASSERT_TRUE(resolve(request, peer));
  const rt::Time start = world_->now();
  EXPECT_EQ(dispatcher_.next_deadline(), start + 2s) << "event driven, not polled [spec 1.6]";
  world_->advance_to(start + 2s - 1ns);
  run();
  EXPECT_TRUE(errors_.empty());
  world_->advance_to(start + 2s);
  run();
  run();
  EXPECT_EQ(errors_, std::vector<int>{ETIMEDOUT});
}

TEST_F(ResolverTest, AnyNeighbourThatAppearsKicksAllPendingRequests) {  // [spec 1.6.3]
  Request first, second;
  const IpAddress other = *IpAddress::parse("10.0.0.3");
  ASSERT_TRUE(resolve(first, peer));
  ASSERT_TRUE(resolve(second, other));
  network_.set_neighbour(2, peer, peer_mac);
  run();
  EXPECT_EQ(errors_, std::vector<int>{0}) << "the other goes on waiting";
  network_.set_neighbour(2, other, peer_mac);
  run();
  EXPECT_EQ(errors_, (std::vector<int>{0, 0}));
}

TEST_F(ResolverTest, RouteThatVanishesMeanwhileIsTheError) {
  Request request;
  ASSERT_TRUE(resolve(request, peer));
  network_.set_route(peer, fail(EHOSTUNREACH));
  network_.set_neighbour(2, *IpAddress::parse("10.0.0.9"), peer_mac);
  run();
  EXPECT_EQ(errors_, std::vector<int>{EHOSTUNREACH});
}

TEST_F(ResolverTest, AtTheDeadlineEveryErrorIsATimeout) {  // [spec 1.6.2]
  Request request;
  ASSERT_TRUE(resolve(request, peer));
  network_.set_route(peer, fail(EHOSTUNREACH));
  world_->advance_to(world_->now() + 3s);
  run();
  EXPECT_EQ(errors_, std::vector<int>{ETIMEDOUT});
}

TEST_F(ResolverTest, CancelledRequestsAreNotCalledBackAndMayBeUsedAgain) {  // [spec 1.6.4]
  Request request;
  ASSERT_TRUE(resolve(request, peer));
  EXPECT_TRUE(resolver_.cancel(request));
  EXPECT_FALSE(resolver_.cancel(request)) << "it was ours to cancel once";
  network_.set_neighbour(2, peer, peer_mac);
  world_->advance_to(world_->now() + 10s);
  run();
  EXPECT_TRUE(errors_.empty());
  ASSERT_TRUE(resolve(request, peer));
  run();
  EXPECT_EQ(errors_, std::vector<int>{0});
}

TEST_F(ResolverTest, AnswerThatIsDueAndCancelledIsNotDelivered) {
  network_.set_neighbour(2, peer, peer_mac);
  Request request;
  ASSERT_TRUE(resolve(request, peer));
  EXPECT_TRUE(resolver_.cancel(request));
  run();
  EXPECT_TRUE(errors_.empty());
}

TEST_F(ResolverTest, CallbackMayEndTheRequest) {
  network_.set_neighbour(2, peer, peer_mac);
  auto request = std::make_unique<Request>();
  bool called = false;
  ASSERT_TRUE(resolver_.resolve(*request, std::nullopt, peer, 0, 2s, [&](const Result<Resolved>&) {
    EXPECT_FALSE(resolver_.cancel(*request)) << "from its own callback: does not wait for itself";
    request.reset();
    called = true;
  }));
  run();
  EXPECT_TRUE(called);
}

TEST_F(ResolverTest, NeighbourEventsDoNotRearmAFinishedRequest) {  // [spec 4 #12]
  // [spec 4 #12]: a request that is on its way out is kicked again.
  network_.set_neighbour(2, peer, peer_mac);
  Request request;
  int calls = 0;
  ASSERT_TRUE(resolver_.resolve(request, std::nullopt, peer, 0, 2s, [&](const Result<Resolved>&) {
    ++calls;
    network_.set_neighbour(2, peer, Mac{9});
  }));
  run();
  world_->advance_to(world_->now() + 10s);
  run();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(dispatcher_.next_deadline(), rt::time_never);
}

TEST_F(ResolverTest, NeighbourThatAnswersDuringTheAttemptIsNotMissed) {
  // The probe's answer arrives before the request waits for it.
  class AnswersAtOnce final : public NetworkView {
   public:
    explicit AnswersAtOnce(SimNetworkView& view) : view_(view) {}
    std::vector<verbs::InterfaceSnapshot> interfaces() override { return view_.interfaces(); }
    Result<Route> route(const IpAddress& d, const std::optional<IpAddress>& s, std::uint32_t i) override {
      return view_.route(d, s, i);
    }
    Result<Mac> neighbour(std::uint32_t interface, const IpAddress& address) override {
      const auto mac = view_.neighbour(interface, address);
      if (!mac) view_.set_neighbour(interface, address, peer_mac);  // observers run here
      return mac;
    }
    std::pair<std::uint16_t, std::uint16_t> local_port_range() override { return view_.local_port_range(); }
    bool may_bind_privileged() override { return view_.may_bind_privileged(); }
    bool bind_v6_only() override { return view_.bind_v6_only(); }
    void set_observer(Observer) override {}
    int poll_fd() const override { return -1; }
    void poll() override {}

   private:
    SimNetworkView& view_;
  };
  AnswersAtOnce view(network_);
  Resolver resolver(dispatcher_, view);
  network_.set_observer({.interfaces_changed = nullptr,
                         .neighbour_changed = [&](const NeighbourChange& c) { resolver.on_neighbour(c); }});
  Request request;
  int error = -1;
  ASSERT_TRUE(resolver.resolve(request, std::nullopt, peer, 0, 2s, [&](const auto& r) { error = errno_of(r); }));
  run();
  EXPECT_EQ(error, 0) << "without the clock moving";
}

}  // namespace
}  // namespace hawser::addr
