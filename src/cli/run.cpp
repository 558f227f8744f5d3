// hawser run -- PROGRAM ARGS…: becomes PROGRAM, with Hawser's libraries in front of the distribution's.
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/log.hpp"
#include "cli/commands.hpp"
#include "cli/installation.hpp"

namespace hawser::cli {
namespace {

constexpr int status_failed = 125;   // as env(1), nohup(1): the launcher itself failed,
constexpr int status_no_exec = 126;  // the program cannot be executed,
constexpr int status_no_file = 127;  // the program was not found

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread
  return value == nullptr ? "" : value;
}

// Returns only if the program could not be started.
int become(std::vector<std::string> command) {
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  const int error = errno;
  log::error("cannot start '{}': {}", command.front(), std::strerror(error));  // NOLINT(concurrency-mt-unsafe)
  return error == ENOENT ? status_no_file : status_no_exec;
}

}  // namespace

int run(std::vector<std::string> command) {
  if (command.empty()) {
    log::error("no program given: hawser run -- PROGRAM ARGS…");
    return status_failed;
  }
  std::error_code error;
  const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) {
    log::error("cannot find out where this program lies (/proc/self/exe: {}); is /proc mounted?", error.message());
    return status_failed;
  }
  const auto installation = find_installation(executable);
  if (!installation) {
    const auto places = library_places(executable.parent_path());
    log::error(
        "found no librdmacm.so.1 and libibverbs.so.1, neither in {} nor in {}: build them (make) or install (make "
        "install)",
        places[0].string(), places[1].string());
    return status_failed;
  }
  const std::string path = library_path(installation->libraries, environment("LD_LIBRARY_PATH"));
  // An agent that the user named stays.
  if (setenv("LD_LIBRARY_PATH", path.c_str(), 1) != 0 || setenv("HAWSER_AGENT", installation->agent.c_str(), 0) != 0) {
    log::error("cannot set the environment of '{}': {}", command.front(), std::strerror(errno));
    return status_failed;
  }
  return become(std::move(command));
}

}  // namespace hawser::cli
