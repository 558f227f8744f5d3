#include "hawser/simulation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/test_hosts.hpp"

namespace hawser {
namespace {

using enum CmEventType;

// One handshake, one message, one disconnect; what both sides were told and when.
std::string trace_of(const SimulationOptions& options, const std::string& faults_a, const std::string& faults_b) {
  Simulation simulation(options);
  Stack a = *simulation.add_host({.addresses = {*IpAddress::parse("10.0.0.1")}, .faults = faults_a});
  Stack b = *simulation.add_host({.addresses = {*IpAddress::parse("10.0.0.2")}, .faults = faults_b});
  std::string trace;
  const auto note = [&](const char* side, CmEvent& event) {
    trace += std::string(side) + " " + std::to_string(simulation.now().count()) + " " + event.text() + "\n";
  };
  Server server(b);
  server.react = [&](IdRef, CmEvent& event) {
    note("b", event);
    return std::optional<int>();
  };
  Client client(a, socket_address("10.0.0.2", 7471));
  client.react = [&](IdRef, CmEvent& event) {
    note("a", event);
    return std::optional<int>();
  };
  const auto over = [&] {
    return !client.events.empty() && (client.events.back() == established || client.events.back() == rejected ||
                                      client.events.back() == unreachable);
  };
  EXPECT_TRUE(simulation.run(over)) << trace;
  simulation.run_for(1h);
  EXPECT_TRUE(client.id.disconnect());
  simulation.run_for(1h);
  return trace;
}

TEST(ApiSimulation, SameSeedSameRun) {
  const SimulationOptions options{.seed = 3, .delay_min = 10us, .delay_max = 900us};
  const std::string once = trace_of(options, "loss=20%,duplicate=20%,seed=5", "loss=20%,seed=6");
  EXPECT_EQ(trace_of(options, "loss=20%,duplicate=20%,seed=5", "loss=20%,seed=6"), once);
  EXPECT_NE(
      trace_of({.seed = 4, .delay_min = 10us, .delay_max = 900us}, "loss=20%,duplicate=20%,seed=5", "loss=20%,seed=6"),
      once);
}

// Whatever is lost of a handshake: both sides come to an end, and to the same one.
TEST(ApiSimulation, EveryLossOfAHandshakeIsSurvived) {
  for (unsigned pattern = 0; pattern < 64; ++pattern) {
    std::string lost_a = "bitmap=";
    std::string lost_b = "bitmap=";
    for (unsigned bit = 0; bit < 3; ++bit) {
      lost_a += (pattern >> bit & 1) != 0 ? '1' : '0';
      lost_b += (pattern >> (bit + 3) & 1) != 0 ? '1' : '0';
    }
    const std::string trace = trace_of({.seed = pattern}, lost_a, lost_b);
    EXPECT_THAT(trace, testing::HasSubstr("a ")) << lost_a << " " << lost_b;
    EXPECT_THAT(trace, testing::HasSubstr("RDMA_CM_EVENT_ESTABLISHED")) << lost_a << " " << lost_b << "\n" << trace;
    EXPECT_THAT(trace, testing::HasSubstr("RDMA_CM_EVENT_DISCONNECTED")) << lost_a << " " << lost_b << "\n" << trace;
  }
}

TEST(ApiSimulation, ANetworkThatLosesEverythingIsReported) {
  const std::string trace = trace_of({}, "loss=100%", "");
  EXPECT_THAT(trace, testing::HasSubstr("RDMA_CM_EVENT_UNREACHABLE: Connection timed out"));
}

TEST(ApiSimulation, HostsAreChecked) {
  Simulation simulation;
  const IpAddress one = *IpAddress::parse("10.0.0.1");
  EXPECT_EQ(errno_of(simulation.add_host({})), EINVAL);
  EXPECT_EQ(errno_of(simulation.add_host({.addresses = {*IpAddress::parse("127.0.0.1")}})), EINVAL);
  EXPECT_EQ(errno_of(simulation.add_host({.addresses = {one}, .faults = "rain=1"})), EINVAL);
  {
    const Stack first = *simulation.add_host({.addresses = {one}});
    EXPECT_EQ(errno_of(simulation.add_host({.addresses = {one}})), EADDRINUSE);
    EXPECT_EQ(errno_of(simulation.add_host({.addresses = {*IpAddress::parse("10.0.0.2"), one}})), EADDRINUSE);
  }
  EXPECT_TRUE(simulation.add_host({.addresses = {one}})) << "free again";
}

TEST(ApiSimulation, TimePassesOnlyWhenToldTo) {
  Simulation simulation;
  EXPECT_EQ(simulation.now(), 0ns);
  simulation.run_for(3h);
  EXPECT_EQ(simulation.now(), 3h);
  EXPECT_TRUE(simulation.run()) << "nothing to do";
  EXPECT_FALSE(simulation.run([] { return false; })) << "and it will never be";
  EXPECT_EQ(simulation.now(), 3h);
}

TEST(ApiSimulation, AHostConnectsToItself) {
  Simulation simulation;
  Stack host = *simulation.add_host({.addresses = {*IpAddress::parse("fd00::1"), *IpAddress::parse("10.0.0.1")}});
  Server server(host);
  EXPECT_EQ(host.devices().front().gids().size(), 2U);
  Client client(host, socket_address("10.0.0.1", 7471));
  ASSERT_TRUE(simulation.run());
  EXPECT_EQ(client.events.back(), established);
}

// A handler is no place to wait: nothing happens until it returns.
TEST(ApiSimulation, WaitingInAHandlerIsRefused) {
  Simulation simulation;
  Stack host = *simulation.add_host({.addresses = {*IpAddress::parse("10.0.0.1")}});
  EventChannel channel = *EventChannel::create(host);
  int error = 0;
  Client client(host, socket_address("10.0.0.1", 7471));
  client.react = [&](IdRef, CmEvent&) -> std::optional<int> {
    error = errno_of(channel.get_event());
    return -1;
  };
  simulation.run();
  EXPECT_EQ(error, EDEADLK);
}

}  // namespace
}  // namespace hawser
