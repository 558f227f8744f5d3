#include "base/assert.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace hawser {
namespace {

std::atomic<BugHook> bug_hook{nullptr};

}  // namespace

void bug(const char* name, const char* expression, const char* file, int line) noexcept {
  if (const BugHook hook = bug_hook.load()) hook(name, expression, file, line);
  std::fprintf(stderr, "hawser: bug: %s (%s) at %s:%d\n", name, expression, file, line);
  std::abort();
}

void set_bug_hook(BugHook hook) noexcept { bug_hook.store(hook); }

}  // namespace hawser
