// The devices of this host and what its processes count, as people and as programs read it. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "agent/client.hpp"
#include "verbs/device.hpp"

namespace hawser::cli {

// One line per device under a line of headings.
[[nodiscard]] std::string devices_table(const std::vector<verbs::DevicePtr>& devices);
// Every counter of every process and of the agent, a line per group.
[[nodiscard]] std::string counters_text(const agent::HostReport& report);
// {"devices": [{"name": "hw_eth0", "gids": [{"index": 0, "gid": …}], …}], "agent": {"pid": …, "counters": {"doorman":
// {"received": …}}}, "processes": [{"pid": …, "program": …, "slot": …, "counters": …}]}; "agent" is null if none runs.
[[nodiscard]] std::string devices_json(const std::vector<verbs::DevicePtr>& devices, const agent::HostReport& report);

}  // namespace hawser::cli
