// hawser check-capture FILE
#include <fmt/format.h>

#include "base/log.hpp"
#include "capture/check.hpp"
#include "cli/commands.hpp"

namespace hawser::cli {

int check_capture(const std::string& path) {
  const auto report = capture::check(path);
  if (!report) {
    // libpcap names the file in some of its messages only.
    const bool named = report.error().find(path) != std::string::npos;
    log::error("cannot read {}{}", named ? "" : path + ": ", report.error());
    return 2;
  }
  for (const capture::BadPacket& packet : report->bad) fmt::print("frame {}: {}\n", packet.frame, packet.why);
  fmt::print("{}: {} packets, {} of them RoCEv2: {} ICRCs right, {} wrong, {} packets malformed, {} not verifiable\n",
             path, report->packets, report->roce_packets, report->icrc_ok, report->icrc_bad, report->malformed,
             report->unverifiable);
  return report->ok() ? 0 : 1;
}

}  // namespace hawser::cli
