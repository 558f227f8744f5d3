#include "cli/fault_view.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/table.hpp"

namespace hawser::cli {
namespace {

std::string target_text(const agent::FaultTarget& target) {
  if (target.pid != 0 && !target.program.empty()) return fmt::format("{} ({})", target.program, target.pid);
  if (target.pid != 0) return fmt::format("process {}", target.pid);
  return target.program.empty() ? "every process" : target.program;
}

}  // namespace

std::string process_count(std::uint32_t processes) {
  return fmt::format("{} process{}", processes, processes == 1 ? "" : "es");
}

std::string faults_table(const std::vector<agent::FaultInfo>& faults) {
  Table table({"NUMBER", "FAULT", "FOR", "PROCESSES", "EFFECTS"});
  for (const agent::FaultInfo& info : faults) {
    table.add({std::to_string(info.number), info.fault, target_text(info.target), std::to_string(info.processes),
               std::to_string(info.effects)});
  }
  return table.text();
}

std::string faults_json(const std::vector<agent::FaultInfo>& faults) {
  nlohmann::json host{{"faults", nlohmann::json::array()}};
  for (const agent::FaultInfo& info : faults) {
    nlohmann::json fault{{"number", info.number}, {"fault", info.fault},         {"pid", nullptr},
                         {"program", nullptr},    {"processes", info.processes}, {"effects", info.effects}};
    if (info.target.pid != 0) fault["pid"] = info.target.pid;
    if (!info.target.program.empty()) fault["program"] = info.target.program;
    host["faults"].push_back(std::move(fault));
  }
  return host.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace hawser::cli
