#include "agent/process_activity.hpp"

#include <poll.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace hawser::agent {
namespace {

// A process that sleeps until it is killed.
struct Sleeper {
  Sleeper() : pid(fork()) {
    if (pid == 0) {
      for (;;) pause();
    }
  }
  ~Sleeper() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  [[nodiscard]] bool is_stopped() { return activity.stopped(pid, rt::Time()); }
  [[nodiscard]] bool waits_for_state_change(int options) const {
    int status = 0;
    return waitpid(pid, &status, options) == pid;
  }
  const pid_t pid;
  ProcessActivity activity;
};

TEST(ProcessActivity, OfASleepingProcess) {
  Sleeper sleeper;
  EXPECT_FALSE(sleeper.is_stopped());
  EXPECT_FALSE(sleeper.activity.stopped(0, rt::Time())) << "of another pid namespace";
}

TEST(ProcessActivity, OfASignalledProcess) {
  Sleeper sleeper;
  kill(sleeper.pid, SIGSTOP);
  ASSERT_TRUE(sleeper.waits_for_state_change(WUNTRACED));
  EXPECT_TRUE(sleeper.is_stopped());
  kill(sleeper.pid, SIGCONT);
  ASSERT_TRUE(sleeper.waits_for_state_change(WCONTINUED));
  EXPECT_FALSE(sleeper.is_stopped());
}

TEST(ProcessActivity, OfADebuggedProcess) {
  Sleeper sleeper;
  if (ptrace(PTRACE_SEIZE, sleeper.pid, nullptr, nullptr) != 0) GTEST_SKIP() << "this user may not debug";
  ASSERT_EQ(ptrace(PTRACE_INTERRUPT, sleeper.pid, nullptr, nullptr), 0);
  ASSERT_TRUE(sleeper.waits_for_state_change(__WALL));
  EXPECT_TRUE(sleeper.is_stopped());
  ASSERT_EQ(ptrace(PTRACE_CONT, sleeper.pid, nullptr, nullptr), 0);
  EXPECT_FALSE(sleeper.is_stopped());
}

// A control group of version 2 with one process in it.
class FrozenGroup {
 public:
  explicit FrozenGroup(pid_t pid) : pid_(pid) {
    for (const char* root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
      if (access((std::string(root) + "/cgroup.controllers").c_str(), F_OK) != 0) continue;
      root_ = root;
      path_ = root_ + "/hawser-test-" + std::to_string(pid);
      usable_ = mkdir(path_.c_str(), 0755) == 0 && write(path_ + "/cgroup.procs", std::to_string(pid));
      return;
    }
  }
  ~FrozenGroup() {
    if (path_.empty()) return;
    freeze(false);
    write(root_ + "/cgroup.procs", std::to_string(pid_));
    rmdir(path_.c_str());
  }
  FrozenGroup(const FrozenGroup&) = delete;
  FrozenGroup& operator=(const FrozenGroup&) = delete;
  [[nodiscard]] bool usable() const { return usable_; }
  bool freeze(bool on) { return write(path_ + "/cgroup.freeze", on ? "1" : "0"); }

 private:
  static bool write(const std::string& path, const std::string& text) {
    std::ofstream file(path);
    return static_cast<bool>(file << text << std::flush);
  }
  const pid_t pid_;
  std::string root_, path_;
  bool usable_ = false;
};

TEST(ProcessActivity, OfAFrozenProcess) {
  Sleeper sleeper;
  FrozenGroup group(sleeper.pid);
  if (!group.usable()) GTEST_SKIP() << "this user may make no control groups here";
  ASSERT_TRUE(group.freeze(true));
  for (int i = 0; i < 1000 && !sleeper.is_stopped(); ++i) poll(nullptr, 0, 10);  // it freezes when it next runs
  EXPECT_TRUE(sleeper.is_stopped());
  ASSERT_TRUE(group.freeze(false));
  for (int i = 0; i < 1000 && sleeper.is_stopped(); ++i) poll(nullptr, 0, 10);
  EXPECT_FALSE(sleeper.is_stopped());
}

}  // namespace
}  // namespace hawser::agent
