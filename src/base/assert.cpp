#include "base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace hawser {

void bug(const char* name, const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "hawser: bug: %s (%s) at %s:%d\n", name, expression, file, line);
  std::abort();
}

}  // namespace hawser
