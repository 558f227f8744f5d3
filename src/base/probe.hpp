// Coverage probes: HW_PROBE("cm-duplicate-rep") marks a rare path. The explorer counts it and fails a set of scenarios
// that lists it and never reached it; in production it is nothing.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>

namespace hawser {

#if defined(HAWSER_EXPLORE)
// Explored code runs on one thread. `name` has static storage duration.
void probe_hit(std::string_view name);
[[nodiscard]] const std::map<std::string_view, std::uint64_t>& probe_hits();
void reset_probes();
#define HW_PROBE(name) ::hawser::probe_hit(name)
#else
#define HW_PROBE(name) static_cast<void>(0)
#endif

}  // namespace hawser
