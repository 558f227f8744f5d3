// What an agent reports about its host, as people and as programs read it. Pure functions.
#pragma once

#include <functional>
#include <string>

#include "agent/client.hpp"

namespace hawser::cli {

// The name of an interface; "" if there is none (any more).
using InterfaceName = std::function<std::string(std::uint32_t index)>;

// One line per connection id under a line of headings.
[[nodiscard]] std::string ids_table(const agent::HostReport& report, const InterfaceName& interface_name);
// {"agent_pid": …, "ids": [{"state": "LISTEN", "source": "10.0.0.1:7471", "pid": …, "program": …, …}, …]}
[[nodiscard]] std::string ids_json(const agent::HostReport& report, const InterfaceName& interface_name);

}  // namespace hawser::cli
