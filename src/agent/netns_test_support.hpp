// Tests with real sockets run in a network namespace of their own, in a child process: nothing of the host is touched.
#pragma once

#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

#include "base/ip.hpp"
#include "cma/port_arbiter.hpp"

namespace hawser::agent::test {

[[nodiscard]] inline bool bring_lo_up() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  bool up = ioctl(socket, SIOCGIFFLAGS, &request) == 0;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  up = up && ioctl(socket, SIOCSIFFLAGS, &request) == 0;
  close(socket);
  return up;
}

// The calling process, which has no second thread yet, moves into a new network namespace. Empty, or "skip: …".
[[nodiscard]] inline std::string enter_own_netns() {
  if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return "skip: neither root nor user namespaces: no network namespace can be made";
  }
  if (!bring_lo_up()) return "skip: lo cannot be brought up in a new network namespace";
  // A new user namespace takes from its creator the right to be looked at through /proc.
  prctl(PR_SET_DUMPABLE, 1);
  return {};
}

// Of a program that ctest knows to be skipped by its exit status.
inline void enter_own_netns_or_skip() {
  if (const std::string skip = enter_own_netns(); !skip.empty()) {
    std::puts(skip.c_str());
    std::exit(77);
  }
}

// Runs `body` in a forked child inside a new network namespace whose `lo` is up. `body` returns an empty string or what
// went wrong. nullopt-like: "skip: …" when the machine allows no namespaces.
[[nodiscard]] std::string in_own_netns(const std::function<std::string()>& body);

inline const IpAddress localhost = *IpAddress::parse("127.0.0.1");

[[nodiscard]] inline bool readable(int fd, int timeout_ms = 5000) {
  pollfd entry{fd, POLLIN, 0};
  return poll(&entry, 1, timeout_ms) == 1;
}

// Liveness bounds, not timings: what is awaited must come, and ends the wait when it does.
template <class Condition>
[[nodiscard]] bool eventually(Condition&& condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    poll(nullptr, 0, 10);
  }
  return false;
}

inline cma::PortRequest tcp_port(std::uint16_t port) {
  cma::PortRequest request;
  request.source = {Family::inet, IpAddress::any_v4(), port, 0, 0};
  return request;
}

}  // namespace hawser::agent::test

// Inside a GoogleTest: skips where no namespace can be had, fails with the child's explanation.
#define HW_RUN_IN_NETNS(...)                                                      \
  do {                                                                            \
    const std::string outcome = ::hawser::agent::test::in_own_netns(__VA_ARGS__); \
    if (outcome.starts_with("skip: ")) GTEST_SKIP() << outcome;                   \
    EXPECT_EQ(outcome, "");                                                       \
  } while (false)

// Inside such a body: ends it with an explanation.
#define HW_EXPECT(condition)                                                                             \
  do {                                                                                                   \
    if (!(condition)) return std::string(__FILE__ ":") + std::to_string(__LINE__) + ": not " #condition; \
  } while (false)
