// What processes and the agent count, by name: published in a process's ledger, reported to `hawser devices -v`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cm/faulty_sender.hpp"
#include "cm/manager.hpp"
#include "fabric/fabric.hpp"
#include "verbs/data_path.hpp"

namespace hawser::agent {

struct ProcessCounters {
  fabric::Counters fabric;
  verbs::DataPathCounters packets;
  cm::Counters cm;
  cm::FaultCounters faults{};
};

struct NamedCount {
  std::string group, name;
  std::uint64_t value{};
  bool operator==(const NamedCount&) const = default;
};

// A ledger has room for so many; which is which says process_counts(), in this version of the ledger's layout.
inline constexpr std::size_t ledger_counters_max = 64;
using CounterBlock = std::array<std::uint64_t, ledger_counters_max>;

[[nodiscard]] CounterBlock to_block(const ProcessCounters& counters);
[[nodiscard]] std::vector<NamedCount> process_counts(const CounterBlock& block);

}  // namespace hawser::agent
