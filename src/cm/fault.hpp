// What can be made to go wrong on purpose, as text and as values: the one vocabulary of `hawser fault`, HAWSER_FAULT
// and the C++ API. A fault is written as KIND=WHAT:
//
//   drop=REQ:nth=2:port=7471            delay=REP:by=500ms             duplicate=DREQ:chance=5%:seed=3
//   remove=hw_eth0                      remove-address=10.0.0.1        link-down=hw_eth0
//   change-mac=hw_eth0                  move-neighbour=10.0.0.2        silence-neighbour=10.0.0.2
//   silence-route=10.0.0.2              silence-service=storage        end-timewait
#pragma once

#include <cstdint>
#include <expected>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "addr/faulty_network.hpp"
#include "addr/faulty_subnet.hpp"
#include "base/result.hpp"
#include "cm/messages.hpp"
#include "fabric/faults.hpp"
#include "runtime/time.hpp"

namespace hawser::cm {

// Messages of the connection manager that a process sends. They are counted from 1, from when the fault is set: those
// of the kind, of the port and of the id that it names.
struct MadFault {
  enum class Action : std::uint8_t { drop, delay, duplicate };
  Action action{};
  Attribute kind{};
  std::uint64_t first{1}, last{std::numeric_limits<std::uint64_t>::max()};  // which ones, both included
  std::optional<double> chance{};  // 0…1: of those, so many by chance; which ones, the seed alone decides
  std::uint64_t seed{};
  rt::Duration by{};                    // delay
  std::optional<std::uint16_t> port{};  // the id's source or destination port
  std::optional<std::uint32_t> id{};    // LedgerRecord::number
  bool operator==(const MadFault&) const = default;
};

// Connections in timewait end it at once. Done when it is set.
struct EndTimewait {
  bool operator==(const EndTimewait&) const = default;
};

inline constexpr std::string_view device_prefix = "hw_";  // of a device's name, before its interface's

// Datagrams have a notation of their own (fabric), which parse_plans() knows.
using Fault = std::variant<MadFault, addr::NetworkFault, addr::SubnetFault, EndTimewait, fabric::FaultPlan>;

// The error says what is wrong and what would be right.
[[nodiscard]] std::expected<Fault, std::string> parse_fault(std::string_view text);
[[nodiscard]] std::string text_of(const Fault& fault);  // what parse_fault() makes the same fault of

// What the environment asks for (HAWSER_FAULT): faults, and those of datagrams (fabric), separated by commas. An error
// has been explained on stderr.
struct FaultPlans {
  std::optional<fabric::FaultPlan> datagrams;
  std::vector<Fault> faults;
};
[[nodiscard]] Result<FaultPlans> parse_plans(std::string_view text);
[[nodiscard]] Result<FaultPlans> plans_of_environment();

}  // namespace hawser::cm
