// Whether a process of this host runs, from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "runtime/time.hpp"

namespace hawser::agent {

// What is remembered of one process from look to look. Single-threaded.
class ProcessActivity {
 public:
  // True if `pid` is alive but does not run: all its threads are stopped (SIGSTOP, a debugger), its control group is
  // frozen, or some want to run and none has since the last look.
  [[nodiscard]] bool stopped(pid_t pid, rt::Time now);

 private:
  rt::Time looked_at_{};
  std::uint64_t run_time_ns_ = 0;
  bool wanted_to_run_ = false;
};

}  // namespace hawser::agent
