#include "agent/launcher.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "agent/descriptor.hpp"
#include "base/log.hpp"

namespace hawser::agent {
namespace {

constexpr std::size_t stack_bytes = std::size_t{64} * 1024;
constexpr int ready_fd = 3;

// What the processes between this one and hawserd need; they share our memory and change none of it but `error`.
struct Launch {
  const char* path;
  char* const* arguments;
  char* const* environment;
  int ready;
  std::byte* second_stack_top;
  int error;
};

// The functions below run in processes that share memory with a threaded program: only system calls, and on a
// stack that AddressSanitizer does not know.

[[noreturn, gnu::no_sanitize_address]] void become_daemon(Launch& launch) {
  setsid();
  (void)!chdir("/");
  const int ready = fcntl(launch.ready, F_DUPFD, ready_fd + 1);  // out of the way of the standard descriptors
  const int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
  dup2(ready, ready_fd);
  syscall(SYS_close_range, ready_fd + 1, ~0U, 0);
  execve(launch.path, launch.arguments, launch.environment);
  launch.error = errno;
  _exit(127);
}

[[gnu::no_sanitize_address]] int second_process(void* argument) { become_daemon(*static_cast<Launch*>(argument)); }

// Exits as soon as hawserd runs, so that hawserd is nobody's child. exec would give the first process SIGCHLD as its
// exit signal, therefore a second one.
[[gnu::no_sanitize_address]] int first_process(void* argument) {
  auto& launch = *static_cast<Launch*>(argument);
  if (clone(second_process, launch.second_stack_top, CLONE_VM | CLONE_VFORK, argument) < 0) launch.error = errno;
  _exit(0);
}

[[nodiscard]] Status spawn(Launch& launch) {
  void* stacks = mmap(nullptr, 2 * stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stacks == MAP_FAILED) return fail(errno);
  auto* const base = static_cast<std::byte*>(stacks);
  launch.second_stack_top = base + 2 * stack_bytes;
  // A handler of the program must not run in a process that shares its memory. hawserd clears its own mask.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // No exit signal: the program's SIGCHLD handler and wait() never hear of it.
  const pid_t pid = clone(first_process, base + stack_bytes, CLONE_VM | CLONE_VFORK, &launch);
  const int error = errno;
  if (pid > 0) {
    while (waitpid(pid, nullptr, static_cast<int>(__WCLONE)) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  munmap(stacks, 2 * stack_bytes);
  if (pid < 0) return fail(error);
  if (launch.error != 0) return fail(launch.error);
  return {};
}

// The environment of the program without what would load a library into hawserd.
[[nodiscard]] std::vector<char*> daemon_environment() {
  std::vector<char*> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, "LD_PRELOAD=", 11) != 0 && std::strncmp(*entry, "HAWSER_FAULT=", 13) != 0) {
      environment.push_back(*entry);
    }
  }
  environment.push_back(nullptr);
  return environment;
}

[[nodiscard]] bool is_executable(const std::filesystem::path& path) { return access(path.c_str(), X_OK) == 0; }

}  // namespace

Result<std::string> find_daemon(const std::string& wanted) {
  namespace fs = std::filesystem;
  if (!wanted.empty()) return wanted;
  if (const char* named = std::getenv("HAWSER_AGENT"); named != nullptr && *named != '\0') return named;
  std::vector<fs::path> candidates;
  Dl_info here{};
  if (dladdr(reinterpret_cast<const void*>(&launch_daemon), &here) != 0 && here.dli_fname != nullptr) {
    std::error_code error;
    const fs::path directory = fs::weakly_canonical(here.dli_fname, error).parent_path();
    // lib/librdmacm.so.1 of a build tree, lib/hawser/librdmacm.so.1 of an installed one, a program beside hawserd.
    for (const char* relative : {"../bin/hawserd", "../../bin/hawserd", "hawserd"})
      candidates.push_back(directory / relative);
  }
  const char* path = std::getenv("PATH");
  std::string rest = path != nullptr ? path : "";
  while (!rest.empty()) {
    const std::size_t end = rest.find(':');
    candidates.push_back(fs::path(rest.substr(0, end)) / "hawserd");
    rest = end == std::string::npos ? "" : rest.substr(end + 1);
  }
  for (const fs::path& candidate : candidates) {
    if (is_executable(candidate)) return candidate.lexically_normal().string();
  }
  log::error("hawserd was not found beside Hawser's libraries nor in PATH: set HAWSER_AGENT to its path");
  return fail(ENOENT);
}

Status launch_daemon(const std::string& path) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail(errno);
  Descriptor reader(ends[0]);
  Descriptor writer(ends[1]);
  std::string name = "hawserd", option = "--ready-fd", value = std::to_string(ready_fd);
  std::array<char*, 4> arguments{name.data(), option.data(), value.data(), nullptr};
  const std::vector<char*> environment = daemon_environment();
  Launch launch{path.c_str(), arguments.data(), environment.data(), writer.get(), nullptr, 0};
  if (auto spawned = spawn(launch); !spawned) {
    log::error("cannot start {}: {}", path, spawned.error().message());
    return spawned;
  }
  writer.reset();
  std::array<char, ready_bytes_max> buffer{};
  std::size_t size = 0;
  while (size < buffer.size()) {
    const ssize_t n = read(reader.get(), buffer.data() + size, buffer.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    size += static_cast<std::size_t>(n);
  }
  int error = EPROTO;
  if (size < sizeof error) {
    log::error("{} ended before it served", path);
    return fail(error);
  }
  std::memcpy(&error, buffer.data(), sizeof error);
  if (error == 0) return {};
  if (size > sizeof error) {
    log::error("{}", std::string_view(buffer.data() + sizeof error, size - sizeof error));
  }
  return fail(error);
}

}  // namespace hawser::agent
