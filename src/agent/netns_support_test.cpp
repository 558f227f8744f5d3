#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "agent/netns_test_support.hpp"

namespace hawser::agent::test {
namespace {

[[nodiscard]] bool bring_lo_up() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  bool up = ioctl(socket, SIOCGIFFLAGS, &request) == 0;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  up = up && ioctl(socket, SIOCSIFFLAGS, &request) == 0;
  close(socket);
  return up;
}

[[nodiscard]] std::string child(const std::function<std::string()>& body) {
  if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return "skip: neither root nor user namespaces: no network namespace can be made";
  }
  if (!bring_lo_up()) return "skip: lo cannot be brought up in a new network namespace";
  // A new user namespace takes from its creator the right to be looked at through /proc.
  prctl(PR_SET_DUMPABLE, 1);
  setenv("HAWSER_AGENT", HAWSER_TEST_AGENT, 1);
  return body();
}

}  // namespace

std::string in_own_netns(const std::function<std::string()>& body) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return "no pipe";
  const pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    const std::string outcome = child(body);
    (void)!write(ends[1], outcome.data(), outcome.size());
    _exit(0);
  }
  close(ends[1]);
  std::string outcome;
  std::array<char, 512> buffer{};
  ssize_t n = 0;
  while ((n = read(ends[0], buffer.data(), buffer.size())) > 0)
    outcome.append(buffer.data(), static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) outcome += " (the child was killed or failed)";
  return outcome;
}

}  // namespace hawser::agent::test
