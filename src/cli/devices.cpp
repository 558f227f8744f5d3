// hawser devices
#include <fmt/format.h>

#include "addr/netlink_posix.hpp"
#include "agent/client.hpp"
#include "agent/daemon.hpp"
#include "base/log.hpp"
#include "cli/commands.hpp"
#include "cli/device_view.hpp"
#include "verbs/device.hpp"

namespace hawser::cli {

int show_devices(bool verbose, bool json) {
  const auto network = addr::NetlinkView::create();
  if (!network) {
    log::error("cannot ask the kernel for its network interfaces (netlink): {}", network.error().message());
    return 1;
  }
  verbs::DeviceTable devices(agent::host_identity());
  devices.apply((*network)->interfaces());
  agent::HostReport report;
  if (verbose) {
    auto asked = agent::query_host();
    if (!asked && asked.error() != std::errc::no_such_file_or_directory) {
      log::error("cannot ask the agent of this host: {}", asked.error().message());
      return 1;
    }
    if (asked) report = std::move(*asked);
  }
  if (json) {
    fmt::print("{}", devices_json(devices.list(), report));
    return 0;
  }
  fmt::print("{}", devices_table(devices.list()));
  if (verbose) fmt::print("\n{}", counters_text(report));
  return 0;
}

}  // namespace hawser::cli
