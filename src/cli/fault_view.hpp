// The faults in force on this host, as people and as programs read them. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/client.hpp"

namespace hawser::cli {

[[nodiscard]] std::string process_count(std::uint32_t processes);  // "1 process", "3 processes"
// One line a fault under a line of headings.
[[nodiscard]] std::string faults_table(const std::vector<agent::FaultInfo>& faults);
// {"faults": [{"number": 1, "fault": "drop=REQ:nth=1", "pid": null, "program": null, "processes": 2, "effects": 1}, …]}
[[nodiscard]] std::string faults_json(const std::vector<agent::FaultInfo>& faults);

}  // namespace hawser::cli
