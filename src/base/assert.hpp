// Assertions that stay on in production, each with a unique name so that a report can be found again.
#pragma once

namespace hawser {

// Prints "hawser: bug: NAME (EXPRESSION) at FILE:LINE" on stderr and aborts.
[[noreturn]] void bug(const char* name, const char* expression, const char* file, int line) noexcept;

// Asked first by bug(). The explorer's does not return: it records the finding and leaves the run. One per process.
using BugHook = void (*)(const char* name, const char* expression, const char* file, int line);
void set_bug_hook(BugHook hook) noexcept;

}  // namespace hawser

// "Cannot happen." NAME is unique in the code base ("cm-rep-without-req").
#define HW_BUG(name) ::hawser::bug(name, "unreachable", __FILE__, __LINE__)
// Must hold; NAME as above.
#define HW_ASSERT(condition, name) \
  (static_cast<bool>(condition) ? static_cast<void>(0) : ::hawser::bug(name, #condition, __FILE__, __LINE__))
