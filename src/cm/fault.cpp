#include "cm/fault.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "base/log.hpp"

namespace hawser::cm {
namespace {

using Error = std::unexpected<std::string>;
constexpr std::array kinds{Attribute::req,  Attribute::rep,  Attribute::rtu,      Attribute::rej,     Attribute::mra,
                           Attribute::dreq, Attribute::drep, Attribute::sidr_req, Attribute::sidr_rep};

template <class T>
struct Named {
  std::string_view name;
  T value;
};
constexpr std::array actions{Named<MadFault::Action>{"drop", MadFault::Action::drop},
                             Named<MadFault::Action>{"delay", MadFault::Action::delay},
                             Named<MadFault::Action>{"duplicate", MadFault::Action::duplicate}};
using addr::NetworkFaultKind;
constexpr std::array network_kinds{Named<NetworkFaultKind>{"remove", NetworkFaultKind::remove_interface},
                                   Named<NetworkFaultKind>{"remove-address", NetworkFaultKind::remove_address},
                                   Named<NetworkFaultKind>{"link-down", NetworkFaultKind::link_down},
                                   Named<NetworkFaultKind>{"change-mac", NetworkFaultKind::change_mac},
                                   Named<NetworkFaultKind>{"move-neighbour", NetworkFaultKind::move_neighbour},
                                   Named<NetworkFaultKind>{"silence-neighbour", NetworkFaultKind::silence_neighbour}};
using addr::SubnetFaultKind;
constexpr std::array subnet_kinds{Named<SubnetFaultKind>{"silence-route", SubnetFaultKind::silence_route},
                                  Named<SubnetFaultKind>{"silence-service", SubnetFaultKind::silence_service}};
constexpr std::string_view end_timewait = "end-timewait";

template <class List, class T>
std::string_view name_of(const List& list, T value) {
  return std::ranges::find(list, value, &List::value_type::value)->name;
}

bool concerns_interface(NetworkFaultKind kind) {
  return kind == NetworkFaultKind::remove_interface || kind == NetworkFaultKind::link_down ||
         kind == NetworkFaultKind::change_mac;
}

// Cuts the text up to `separator` off its front.
std::string_view take(std::string_view& text, char separator) {
  const std::size_t at = text.find(separator);
  const std::string_view head = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  return head;
}

template <class T>
bool parse_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// "3", "2-4", "2-".
bool parse_range(std::string_view text, MadFault& fault) {
  const bool open = text.find('-') == std::string_view::npos;
  if (!parse_number(take(text, '-'), fault.first) || fault.first == 0) return false;
  if (open) {
    fault.last = fault.first;
    return true;
  }
  return text.empty() || (parse_number(text, fault.last) && fault.last >= fault.first);
}

// "500ms", "2s".
bool parse_duration(std::string_view text, rt::Duration& duration) {
  std::uint32_t number = 0;
  const bool milliseconds = text.ends_with("ms");
  if (!text.ends_with('s')) return false;
  text.remove_suffix(milliseconds ? 2 : 1);
  if (!parse_number(text, number)) return false;
  duration = milliseconds ? rt::Duration(std::chrono::milliseconds(number)) : std::chrono::seconds(number);
  return duration > rt::Duration::zero() && duration <= std::chrono::hours(1);
}

bool parse_chance(std::string_view text, double& chance) {
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  if (!parse_number(text, chance)) return false;
  if (percent) chance /= 100;
  return chance >= 0 && chance <= 1;  // false for NaN too
}

// What would be right in place of "key=value", or nullptr.
const char* parse_qualifier(std::string_view key, std::string_view value, MadFault& fault) {
  if (key == "nth") return parse_range(value, fault) ? nullptr : "which ones, counted from 1: nth=2, nth=2-4 or nth=2-";
  if (key == "chance") return parse_chance(value, fault.chance.emplace()) ? nullptr : "a probability: chance=5%";
  if (key == "seed") return parse_number(value, fault.seed) ? nullptr : "a number: seed=42";
  if (key == "port") {
    return parse_number(value, fault.port.emplace()) ? nullptr : "a port: port=7471";
  }
  if (key == "id") return parse_number(value, fault.id.emplace()) ? nullptr : "the id's number in `hawser ids`: id=3";
  if (key == "by") return parse_duration(value, fault.by) ? nullptr : "how long, at most an hour: by=500ms or by=2s";
  return "one of nth, chance, seed, port, id, by";
}

std::expected<Fault, std::string> parse_mad_fault(MadFault::Action action, std::string_view what) {
  MadFault fault{.action = action};
  const std::string_view kind = take(what, ':');
  const auto found = std::ranges::find(kinds, kind, [](Attribute a) { return std::string_view(name(a)); });
  if (found == kinds.end()) {
    return Error(
        fmt::format("\"{}\" is no message: one of REQ, REP, RTU, REJ, MRA, DREQ, DREP, SIDR_REQ, SIDR_REP", kind));
  }
  fault.kind = *found;
  std::vector<std::string_view> seen;
  while (!what.empty()) {
    std::string_view value = take(what, ':');
    const std::string_view qualifier = value;
    const std::string_view key = take(value, '=');
    const char* expected = parse_qualifier(key, value, fault);
    if (expected == nullptr && std::ranges::find(seen, key) != seen.end()) expected = "given once";
    if (expected != nullptr) return Error(fmt::format("\"{}\" is wrong: expected {}", qualifier, expected));
    seen.push_back(key);
  }
  const bool delays = action == MadFault::Action::delay;
  if (delays && fault.by == rt::Duration::zero()) return Error("a delay needs to know how long: by=500ms");
  if (!delays && fault.by != rt::Duration::zero()) return Error("\"by\" belongs to delay");
  return fault;
}

std::expected<IpAddress, std::string> parse_address(std::string_view text) {
  const auto address = IpAddress::parse(text);
  if (!address) return Error(fmt::format("\"{}\" is no IP address", text));
  return *address;
}

std::expected<Fault, std::string> parse_network_fault(NetworkFaultKind kind, std::string_view what) {
  addr::NetworkFault fault{.kind = kind, .interface = {}, .address = {}};
  if (concerns_interface(kind)) {
    if (!what.starts_with(device_prefix) || what.size() == device_prefix.size()) {
      return Error(
          fmt::format("\"{}\" is no device: its name begins with {} (see `hawser devices`)", what, device_prefix));
    }
    fault.interface = what.substr(device_prefix.size());
    return fault;
  }
  const auto address = parse_address(what);
  if (!address) return Error(address.error());
  fault.address = *address;
  return fault;
}

std::expected<Fault, std::string> parse_subnet_fault(SubnetFaultKind kind, std::string_view what) {
  addr::SubnetFault fault{.kind = kind, .address = {}, .service = {}};
  if (kind == SubnetFaultKind::silence_service) {
    if (what.empty()) return Error("a service has a name: silence-service=storage");
    fault.service = what;
    return fault;
  }
  const auto address = parse_address(what);
  if (!address) return Error(address.error());
  fault.address = *address;
  return fault;
}

std::string text_of_mads(const MadFault& fault) {
  std::string text = fmt::format("{}={}", name_of(actions, fault.action), name(fault.kind));
  const bool open = fault.last == MadFault().last;
  if (open && fault.first > 1) text += fmt::format(":nth={}-", fault.first);
  if (!open && fault.first == fault.last) text += fmt::format(":nth={}", fault.first);
  if (!open && fault.first != fault.last) text += fmt::format(":nth={}-{}", fault.first, fault.last);
  if (fault.chance) text += fmt::format(":chance={}", *fault.chance);
  if (fault.seed != 0) text += fmt::format(":seed={}", fault.seed);
  if (fault.port) text += fmt::format(":port={}", *fault.port);
  if (fault.id) text += fmt::format(":id={}", *fault.id);
  if (fault.by != rt::Duration::zero()) {
    text += fmt::format(":by={}ms", std::chrono::duration_cast<std::chrono::milliseconds>(fault.by).count());
  }
  return text;
}

// The environment's plan names datagrams' faults beside ours; "duplicate" is one of them with a probability.
bool concerns_datagrams(std::string_view part) {
  const std::string_view key = take(part, '=');
  if (key == "loss" || key == "nth" || key == "bitmap" || key == "seed") return true;
  return key == "duplicate" && !part.empty() && (part[0] == '.' || (part[0] >= '0' && part[0] <= '9'));
}

}  // namespace

std::expected<Fault, std::string> parse_fault(std::string_view text) {
  std::string_view what = text;
  const std::string_view key = take(what, '=');
  if (text == end_timewait) return EndTimewait();
  if (const auto action = std::ranges::find(actions, key, &Named<MadFault::Action>::name); action != actions.end()) {
    return parse_mad_fault(action->value, what);
  }
  const auto kind = std::ranges::find(network_kinds, key, &Named<NetworkFaultKind>::name);
  if (kind != network_kinds.end()) return parse_network_fault(kind->value, what);
  const auto subnet = std::ranges::find(subnet_kinds, key, &Named<SubnetFaultKind>::name);
  if (subnet != subnet_kinds.end()) return parse_subnet_fault(subnet->value, what);
  return Error(
      fmt::format("\"{}\" is no fault: one of drop, delay, duplicate, remove, remove-address, link-down, change-mac, "
                  "move-neighbour, silence-neighbour, silence-route, silence-service, end-timewait",
                  key));
}

std::string text_of(const Fault& fault) {
  if (const auto* mads = std::get_if<MadFault>(&fault)) return text_of_mads(*mads);
  if (const auto* network = std::get_if<addr::NetworkFault>(&fault)) {
    const std::string_view kind = name_of(network_kinds, network->kind);
    if (concerns_interface(network->kind)) return fmt::format("{}={}{}", kind, device_prefix, network->interface);
    return fmt::format("{}={}", kind, network->address.text());
  }
  if (const auto* subnet = std::get_if<addr::SubnetFault>(&fault)) {
    const bool route = subnet->kind == SubnetFaultKind::silence_route;
    return fmt::format("{}={}", name_of(subnet_kinds, subnet->kind), route ? subnet->address.text() : subnet->service);
  }
  if (const auto* datagrams = std::get_if<fabric::FaultPlan>(&fault)) return datagrams->text();
  return std::string(end_timewait);
}

Result<FaultPlans> parse_plans(std::string_view text) {
  FaultPlans plans;
  std::string datagrams;
  const bool hanging = text.ends_with(',');
  while (!text.empty()) {
    const std::string_view part = take(text, ',');
    if (concerns_datagrams(part)) {
      datagrams += (datagrams.empty() ? "" : ",") + std::string(part);
      continue;
    }
    auto fault = parse_fault(part);
    if (!fault) {
      log::error("HAWSER_FAULT: {}; or a fault of datagrams: loss, duplicate, nth, bitmap, seed", fault.error());
      return fail(EINVAL);
    }
    plans.faults.push_back(std::move(*fault));
  }
  if (hanging) {
    log::error("HAWSER_FAULT: a comma is followed by another fault");
    return fail(EINVAL);
  }
  if (datagrams.empty()) return plans;
  auto parsed = fabric::FaultPlan::parse(datagrams);
  if (!parsed) return fail(parsed.error());
  plans.datagrams = std::move(*parsed);
  return plans;
}

Result<FaultPlans> plans_of_environment() {
  const char* const text = std::getenv("HAWSER_FAULT");
  return parse_plans(text == nullptr ? "" : text);
}

}  // namespace hawser::cm
