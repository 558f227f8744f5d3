// libFuzzer: finds something in every input, as a broken invariant of ours shows itself. For finding_test.py.
#include <cstddef>
#include <cstdint>

#include "base/assert.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t*, std::size_t) { HW_BUG("fuzz-finding-of-test"); }
