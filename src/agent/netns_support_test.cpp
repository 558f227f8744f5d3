#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "agent/netns_test_support.hpp"

namespace hawser::agent::test {
namespace {

[[nodiscard]] std::string child(const std::function<std::string()>& body) {
  if (std::string skip = enter_own_netns(); !skip.empty()) return skip;
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
