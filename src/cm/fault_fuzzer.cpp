// libFuzzer: any text as a fault of `hawser fault`; what is understood reads the same when it is
// written again.
#include "base/assert.hpp"
#include "cm/fault.hpp"

using namespace hawser;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto fault = cm::parse_fault(text)) {
    const std::string written = cm::text_of(*fault);
    const auto again = cm::parse_fault(written);
    HW_ASSERT(again && *again == *fault, "fuzz-fault-changed");
  }
  return 0;
}
