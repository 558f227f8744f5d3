// hawser ids
#include <net/if.h>

#include <array>

#include <fmt/format.h>

#include "agent/client.hpp"
#include "base/log.hpp"
#include "cli/commands.hpp"
#include "cli/host_view.hpp"

namespace hawser::cli {
namespace {

std::string name_of_interface(std::uint32_t index) {
  std::array<char, IF_NAMESIZE> name{};
  return if_indextoname(index, name.data()) == nullptr ? "" : name.data();
}

}  // namespace

int show_ids(bool json) {
  auto report = agent::query_host();
  if (!report && report.error() == std::errc::no_such_file_or_directory)
    report = agent::HostReport{};  // no agent, no ids
  if (!report) {
    log::error("cannot ask the agent of this host: {}", report.error().message());
    return 1;
  }
  fmt::print("{}", json ? ids_json(*report, name_of_interface) : ids_table(*report, name_of_interface));
  return 0;
}

}  // namespace hawser::cli
