// The scenarios of hawser-explore. To add one: docs/verification.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/explore.hpp"

namespace hawser::scenarios {

// How a scenario is explored when the command line does not say.
struct Plan {
  std::string strategy;        // parse_strategy(); one that is exhaustive must come to its end within `runs_max`
  std::uint64_t runs_max = 0;  // 0: no limit
};

struct Planned {
  rt::explore::Scenario scenario;
  std::vector<Plan> plans;
  std::string group{};  // of many small scenarios that are reported together
};

[[nodiscard]] std::vector<Planned> dispatcher_scenarios();
[[nodiscard]] std::vector<Planned> cma_scenarios();
[[nodiscard]] std::vector<Planned> multicast_scenarios();
[[nodiscard]] std::vector<Planned> peer_scenarios();
[[nodiscard]] std::vector<Planned> ucm_scenarios();
[[nodiscard]] std::vector<Planned> ucm_pair_scenarios();
[[nodiscard]] std::vector<Planned> pair_scenarios();

[[nodiscard]] std::vector<Planned> all();

}  // namespace hawser::scenarios
