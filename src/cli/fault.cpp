// hawser fault
#include "cm/fault.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "addr/netlink_posix.hpp"
#include "agent/client.hpp"
#include "base/log.hpp"
#include "cli/commands.hpp"
#include "cli/fault_view.hpp"

namespace hawser::cli {
namespace {

int no_agent() {
  log::error("nothing runs over Hawser here: start a program first, or give it its faults in HAWSER_FAULT");
  return 1;
}

// A fault of a device or an address that this host does not have would never do anything.
bool is_on_this_host(const cm::Fault& fault) {
  const auto* network = std::get_if<addr::NetworkFault>(&fault);
  if (network == nullptr || network->kind == addr::NetworkFaultKind::move_neighbour ||
      network->kind == addr::NetworkFaultKind::silence_neighbour) {
    return true;
  }
  const auto kernel = addr::NetlinkView::create();
  if (!kernel) return true;  // whoever sets it will see
  const auto interfaces = (*kernel)->interfaces();
  const bool by_address = network->kind == addr::NetworkFaultKind::remove_address;
  const bool found = std::ranges::any_of(interfaces, [&](const verbs::InterfaceSnapshot& interface) {
    return by_address ? std::ranges::find(interface.addresses, network->address) != interface.addresses.end()
                      : interface.name == network->interface;
  });
  if (!found && by_address) log::error("no interface of this host has the address {}", network->address.text());
  if (!found && !by_address) log::error("there is no device hw_{} (see `hawser devices`)", network->interface);
  return found;
}

}  // namespace

int set_fault(const std::string& text, const agent::FaultTarget& target) {
  const auto fault = cm::parse_fault(text);
  if (!fault) {
    log::error("{}", fault.error());
    return 2;
  }
  if (!is_on_this_host(*fault)) return 1;
  const auto set = agent::set_fault(target, cm::text_of(*fault));
  if (!set && errno_of(set) == ENOENT) return no_agent();
  if (!set) {
    log::error("the agent did not take the fault: {}", set.error().message());
    return 1;
  }
  fmt::print("fault {}: {}, in {}\n", set->number, cm::text_of(*fault), process_count(set->processes));
  return 0;
}

int list_faults(bool json) {
  auto faults = agent::query_faults();
  if (!faults && errno_of(faults) == ENOENT) faults = std::vector<agent::FaultInfo>();
  if (!faults) {
    log::error("cannot ask the agent of this host: {}", faults.error().message());
    return 1;
  }
  fmt::print("{}", json ? faults_json(*faults) : faults_table(*faults));
  return 0;
}

int clear_faults(std::uint32_t number) {
  const auto cleared = agent::clear_faults(number);
  if (!cleared && errno_of(cleared) == ENOENT) return no_agent();
  if (!cleared) {
    log::error("cannot ask the agent of this host: {}", cleared.error().message());
    return 1;
  }
  if (number != 0 && *cleared == 0) {
    log::error("there is no fault {} (see `hawser fault list`)", number);
    return 1;
  }
  fmt::print("cleared {}\n", *cleared);
  return 0;
}

}  // namespace hawser::cli
