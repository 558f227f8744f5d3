#include "agent/process_activity.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace hawser::agent {
namespace {

// Between two looks that can tell a process without a processor from one that just waits for its turn.
constexpr auto starving_min = std::chrono::milliseconds(50);
constexpr auto starving_max = std::chrono::seconds(10);

struct Threads {
  unsigned alive = 0, stopped = 0, runnable = 0;
  std::uint64_t run_time_ns = 0;
};

// The third field of /proc/…/stat; the second, the program's name, may contain anything.
char state_of(const std::filesystem::path& thread) {
  std::ifstream file(thread / "stat");
  std::string line;
  if (!std::getline(file, line)) return 'X';
  const std::size_t name_end = line.rfind(')');
  return name_end == std::string::npos || name_end + 2 >= line.size() ? 'X' : line[name_end + 2];
}

Threads look_at(pid_t pid) {
  Threads seen;
  std::error_code error;
  for (std::filesystem::directory_iterator thread("/proc/" + std::to_string(pid) + "/task", error), end;
       !error && thread != end; thread.increment(error)) {
    const char state = state_of(thread->path());
    if (state == 'X' || state == 'Z') continue;
    ++seen.alive;
    if (state == 'T' || state == 't') ++seen.stopped;
    if (state == 'R') ++seen.runnable;
    std::uint64_t run_time = 0;
    std::ifstream(thread->path() / "schedstat") >> run_time;
    seen.run_time_ns += run_time;
  }
  return seen;
}

bool has_line(const std::string& path, std::string_view wanted) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line == wanted) return true;
  }
  return false;
}

// Held by the freezer of its control group, of either version: its threads look asleep.
bool frozen(pid_t pid) {
  std::ifstream groups("/proc/" + std::to_string(pid) + "/cgroup");
  for (std::string line; std::getline(groups, line);) {  // 0::/path, and of version 1 6:freezer:/path
    const std::size_t path = line.find(":/");
    if (path == std::string::npos) continue;
    const std::string group = line.substr(path + 1);
    if (line.starts_with("0:") && (has_line("/sys/fs/cgroup" + group + "/cgroup.events", "frozen 1") ||
                                   has_line("/sys/fs/cgroup/unified" + group + "/cgroup.events", "frozen 1"))) {
      return true;
    }
    if (line.find(":freezer:") != std::string::npos &&
        has_line("/sys/fs/cgroup/freezer" + group + "/freezer.state", "FROZEN")) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool ProcessActivity::stopped(pid_t pid, rt::Time now) {
  if (pid <= 0) return false;  // of another pid namespace
  const Threads seen = look_at(pid);
  const rt::Duration since = now - looked_at_;
  const bool starved = wanted_to_run_ && seen.runnable > 0 && seen.run_time_ns == run_time_ns_ &&
                       since >= starving_min && since <= starving_max;
  looked_at_ = now;
  run_time_ns_ = seen.run_time_ns;
  wanted_to_run_ = seen.runnable > 0;
  return seen.alive > 0 && (seen.stopped == seen.alive || starved || (seen.runnable == 0 && frozen(pid)));
}

}  // namespace hawser::agent
