#include "cli/host_view.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/table.hpp"
#include "cm/types.hpp"
#include "cma/types.hpp"

namespace hawser::cli {
namespace {

struct Row {
  std::string state, connection, port_space, source, destination, interface, program;
  std::uint32_t number, qpn, remote_qpn;
};

std::string port_space_name(std::uint16_t number) {
  switch (static_cast<cma::PortSpace>(number)) {
    case cma::PortSpace::ipoib: return "IPOIB";
    case cma::PortSpace::tcp: return "TCP";
    case cma::PortSpace::udp: return "UDP";
    case cma::PortSpace::ib: return "IB";
  }
  return fmt::format("{:#06x}", number);
}

std::string address_text(std::uint8_t family, const std::uint8_t (&bytes)[16], std::uint16_t port) {
  SocketAddress address;
  address.family = static_cast<Family>(family);
  std::ranges::copy(bytes, address.ip.bytes.begin());
  address.port = port;
  return address.text();
}

bool waits_for_acknowledgement(const cm::LedgerRecord& record) { return record.unacknowledged != 0; }

std::string state_text(const cm::LedgerRecord& record) {
  std::string state = cma::name(static_cast<cma::State>(record.cma_state));
  if (!waits_for_acknowledgement(record)) return state;
  return fmt::format("{}, {} not acknowledged", state,
                     cma::name(static_cast<cma::EventType>(record.unacknowledged - 1)));
}

// What CONNECT leaves open: request sent, established, or over. "": no connection.
std::string connection_text(const cm::LedgerRecord& record) {
  const auto state = static_cast<cm::State>(record.cm_state);
  return state == cm::State::idle ? "" : cm::name(state);
}

Row row_of(const agent::IdInfo& id, const InterfaceName& interface_name) {
  const cm::LedgerRecord& record = id.record;
  return {.state = state_text(record),
          .connection = connection_text(record),
          .port_space = port_space_name(record.port_space),
          .source = address_text(record.source_family, record.source, record.source_port),
          .destination = address_text(record.destination_family, record.destination, record.destination_port),
          .interface = record.device_interface == 0 ? "" : interface_name(record.device_interface),
          .program = id.program,
          .number = record.number,
          .qpn = record.local_qpn,
          .remote_qpn = record.remote_qpn};
}

// By pid, and in the agent's order within a process.
std::multimap<int, Row> rows_of(const agent::HostReport& report, const InterfaceName& interface_name) {
  std::multimap<int, Row> rows;
  for (const agent::IdInfo& id : report.ids) {
    // Its program has destroyed it; the record only waits for the peer to have heard of the end.
    const bool destroying = static_cast<cma::State>(id.record.cma_state) == cma::State::destroying;
    if (destroying && !waits_for_acknowledgement(id.record)) continue;
    rows.emplace(id.pid, row_of(id, interface_name));
  }
  return rows;
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

}  // namespace

std::string ids_table(const agent::HostReport& report, const InterfaceName& interface_name) {
  Table table({"STATE", "CONNECTION", "SPACE", "SOURCE", "DESTINATION", "INTERFACE", "QPN", "PID", "ID", "PROGRAM"});
  for (const auto& [pid, row] : rows_of(report, interface_name)) {
    table.add({row.state, or_dash(row.connection), row.port_space, row.source, row.destination, or_dash(row.interface),
               row.qpn == 0 ? "-" : fmt::format("{:#08x}", row.qpn), std::to_string(pid), std::to_string(row.number),
               row.program});
  }
  return table.text();
}

std::string ids_json(const agent::HostReport& report, const InterfaceName& interface_name) {
  auto ids = nlohmann::json::array();
  for (const auto& [pid, row] : rows_of(report, interface_name)) {
    ids.push_back({{"state", row.state},
                   {"connection", row.connection},
                   {"port_space", row.port_space},
                   {"source", row.source},
                   {"destination", row.destination},
                   {"interface", row.interface},
                   {"qpn", row.qpn},
                   {"remote_qpn", row.remote_qpn},
                   {"pid", pid},
                   {"number", row.number},
                   {"program", row.program}});
  }
  // A program may call itself anything, also what is not UTF-8.
  const nlohmann::json host{{"agent_pid", report.agent_pid}, {"ids", ids}};
  return host.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace hawser::cli
