// libFuzzer: any file as a packet capture (`hawser check-capture`).
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "base/assert.hpp"
#include "capture/check.hpp"

using namespace hawser;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int file = memfd_create("capture", MFD_CLOEXEC);
  HW_ASSERT(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == static_cast<ssize_t>(size),
            "fuzz-capture-memory");
  const auto report = capture::check("/proc/self/fd/" + std::to_string(file));
  if (!report) return 0;
  HW_ASSERT(report->icrc_ok + report->icrc_bad + report->unverifiable <= report->roce_packets, "fuzz-capture-counts");
  HW_ASSERT(report->bad.size() == report->icrc_bad + report->malformed + report->unverifiable, "fuzz-capture-bad");
  return 0;
}
