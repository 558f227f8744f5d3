#include "shrink.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace hawser::fuzz {
namespace {

template <class List>
auto at(List& list, std::size_t index) {
  return list.begin() + static_cast<std::ptrdiff_t>(index);
}

class Shrinker {
 public:
  Shrinker(Program program, const std::function<bool(const Program&)>& fails)
      : program_(std::move(program)), fails_(fails) {}

  Program run() {
    for (bool progress = true; progress;) {
      progress = without_threads();
      progress |= without_calls();
      progress |= with_usual_arguments();
    }
    return program_;
  }

 private:
  bool accept(Program candidate) {
    if (!fails_(candidate)) return false;
    program_ = std::move(candidate);
    return true;
  }
  bool without_threads() {
    bool progress = false;
    for (std::size_t i = program_.threads.size(); i-- > 0;) {
      Program candidate = program_;
      candidate.threads.erase(at(candidate.threads, i));
      progress |= accept(std::move(candidate));
    }
    return progress;
  }
  // First in large pieces.
  bool without_calls() {
    bool progress = false;
    for (std::size_t t = 0; t < program_.threads.size(); ++t) {
      for (std::size_t piece = calls_max / 2; piece > 0; piece /= 2) {
        for (std::size_t i = 0; i + piece <= program_.threads[t].calls.size();) {
          Program candidate = program_;
          auto& calls = candidate.threads[t].calls;
          calls.erase(at(calls, i), at(calls, i + piece));
          if (accept(std::move(candidate))) {
            progress = true;
          } else {
            i += piece;
          }
        }
      }
    }
    return progress;
  }
  bool with_usual_arguments() {
    bool progress = false;
    for (std::size_t t = 0; t < program_.threads.size(); ++t) {
      for (std::size_t i = 0; i < program_.threads[t].calls.size(); ++i) {
        for (std::size_t argument = 0; argument < arguments_max; ++argument) {
          if (program_.threads[t].calls[i].arguments[argument] == 0) continue;
          Program candidate = program_;
          candidate.threads[t].calls[i].arguments[argument] = 0;
          progress |= accept(std::move(candidate));
        }
      }
    }
    return progress;
  }

  Program program_;
  const std::function<bool(const Program&)>& fails_;
};

}  // namespace

Program shrink(Program program, const std::function<bool(const Program&)>& fails) {
  return Shrinker(std::move(program), fails).run();
}

bool fails_in_child(const std::function<bool()>& run) {
  const pid_t child = fork();
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)dup2(nowhere, STDOUT_FILENO);
    (void)dup2(nowhere, STDERR_FILENO);
    _exit(run() ? 1 : 0);
  }
  int status = 0;
  (void)waitpid(child, &status, 0);
  return status != 0;
}

}  // namespace hawser::fuzz
