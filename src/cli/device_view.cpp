#include "cli/device_view.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/table.hpp"

namespace hawser::cli {
namespace {

std::string state_name(verbs::PortState state) { return state == verbs::PortState::active ? "ACTIVE" : "DOWN"; }

// As other RDMA tools write it: 0248:5711:2233:4455.
std::string guid_text(Guid guid) {
  const std::uint64_t value = guid.value;
  return fmt::format("{:04x}:{:04x}:{:04x}:{:04x}", value >> 48, value >> 32 & 0xFFFF, value >> 16 & 0xFFFF,
                     value & 0xFFFF);
}

std::string gid_text(const Gid& gid) { return (gid.is_v4() ? "::ffff:" : "") + gid.text(); }

nlohmann::json counters_json(const std::vector<agent::NamedCount>& counters) {
  auto json = nlohmann::json::object();
  for (const agent::NamedCount& count : counters) json[count.group][count.name] = count.value;
  return json;
}

void append_counters(std::string& text, const std::vector<agent::NamedCount>& counters) {
  std::string group;
  for (const agent::NamedCount& count : counters) {
    if (count.group != group) {
      if (!group.empty()) text += "\n";
      text += fmt::format("  {:<10}  ", count.group);
    } else {
      text += ", ";
    }
    group = count.group;
    text += fmt::format("{} {}", count.name, count.value);
  }
  if (!counters.empty()) text += "\n";
}

}  // namespace

std::string devices_table(const std::vector<verbs::DevicePtr>& devices) {
  Table table({"DEVICE", "INTERFACE", "STATE", "MTU", "ROCE MTU", "NODE GUID", "GIDS"});
  for (const verbs::DevicePtr& device : devices) {
    std::string gids;
    for (const verbs::GidEntry& entry : device->gids()) {
      gids += fmt::format("{}[{}] {}", gids.empty() ? "" : "  ", entry.index, gid_text(entry.gid));
    }
    table.add({device->name(), device->interface_name(), state_name(device->port_state()),
               std::to_string(device->interface_mtu()), std::to_string(mtu_bytes(device->active_mtu())),
               guid_text(device->guid()), gids.empty() ? "-" : gids});
  }
  return table.text();
}

std::string counters_text(const agent::HostReport& report) {
  if (report.agent_pid == 0) return "no process of this host and user runs over Hawser\n";
  std::string text = fmt::format("hawserd, process {}\n", report.agent_pid);
  append_counters(text, report.agent_counters);
  for (const agent::ProcessInfo& process : report.processes) {
    text += fmt::format("\n{}, process {}, slot {}\n", process.program, process.pid, process.slot);
    append_counters(text, process.counters);
  }
  return text;
}

std::string devices_json(const std::vector<verbs::DevicePtr>& devices, const agent::HostReport& report) {
  nlohmann::json host{{"devices", nlohmann::json::array()}, {"agent", nullptr}, {"processes", nlohmann::json::array()}};
  for (const verbs::DevicePtr& device : devices) {
    auto gids = nlohmann::json::array();
    for (const verbs::GidEntry& entry : device->gids()) {
      gids.push_back({{"index", entry.index}, {"gid", gid_text(entry.gid)}});
    }
    host["devices"].push_back({{"name", device->name()},
                               {"interface", device->interface_name()},
                               {"state", state_name(device->port_state())},
                               {"mtu", device->interface_mtu()},
                               {"roce_mtu", mtu_bytes(device->active_mtu())},
                               {"node_guid", guid_text(device->guid())},
                               {"gids", gids}});
  }
  if (report.agent_pid != 0) {
    host["agent"] = {{"pid", report.agent_pid}, {"counters", counters_json(report.agent_counters)}};
  }
  for (const agent::ProcessInfo& process : report.processes) {
    host["processes"].push_back({{"pid", process.pid},
                                 {"program", process.program},
                                 {"slot", process.slot},
                                 {"counters", counters_json(process.counters)}});
  }
  // A program may call itself anything, also what is not UTF-8.
  return host.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace hawser::cli
