#include "scenarios.hpp"

#include <iterator>

namespace hawser::scenarios {

std::vector<Planned> all() {
  std::vector<Planned> scenarios;
  for (auto* room : {&dispatcher_scenarios, &cma_scenarios, &multicast_scenarios, &peer_scenarios, &ucm_scenarios,
                     &pair_scenarios, &ucm_pair_scenarios}) {
    auto more = room();
    std::move(more.begin(), more.end(), std::back_inserter(scenarios));
  }
  return scenarios;
}

}  // namespace hawser::scenarios
