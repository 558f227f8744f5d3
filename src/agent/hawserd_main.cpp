// hawserd: the agent of one network namespace and user. Started by the first program that needs it; leaves with the
// last.
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "agent/daemon.hpp"
#include "agent/launcher.hpp"

namespace {

// The starter blocked all signals and may have ignored some; both pass through exec.
void reset_signals() {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

void tell_starter(int fd, int error, std::string_view explanation) {
  if (fd < 0) {
    if (!explanation.empty())
      std::fprintf(stderr, "hawserd: %.*s\n", static_cast<int>(explanation.size()), explanation.data());
    return;
  }
  explanation = explanation.substr(0, hawser::agent::ready_bytes_max - sizeof error);
  std::vector<char> message(sizeof error + explanation.size());
  std::memcpy(message.data(), &error, sizeof error);
  std::memcpy(message.data() + sizeof error, explanation.data(), explanation.size());
  (void)!write(fd, message.data(), message.size());
  close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  int ready_fd = -1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (argument == "--ready-fd" && i + 1 < argc) {
      const std::string_view value(argv[++i]);
      std::from_chars(value.data(), value.data() + value.size(), ready_fd);
    } else {
      const bool help = argument == "--help";
      std::fprintf(help ? stdout : stderr,
                   "usage: hawserd [--ready-fd N]\n"
                   "The agent of Hawser. Programs start it when they need it and it leaves with the last of them;\n"
                   "started by hand it waits a moment for the first. N gets an errno and a sentence when it serves.\n");
      return help ? EXIT_SUCCESS : EXIT_FAILURE;
    }
  }
  reset_signals();
  return hawser::agent::Daemon::run(
      [ready_fd](int error, std::string_view explanation) { tell_starter(ready_fd, error, explanation); });
}
