// A program on the explored runtime: two hosts, every interleaving the scheduler's, everything from one seed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "execute.hpp"
#include "runtime/explore.hpp"

namespace hawser::fuzz {

// Runs it once; the seed decides the schedule, the strategy and what the network does.
[[nodiscard]] std::optional<rt::explore::Finding> run_simulated(const Program& program, std::uint64_t seed,
                                                                Tally& tally);

}  // namespace hawser::fuzz
