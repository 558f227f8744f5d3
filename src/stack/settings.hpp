// What a user sets for a whole process through its environment. HACKING.md lists the variables.
#pragma once

#include <functional>

#include "base/result.hpp"
#include "cma/types.hpp"

namespace hawser::stack {

// Value of a variable; null if it is not set.
using Environment = std::function<const char*(const char* name)>;
[[nodiscard]] Environment process_environment();

// HAWSER_CM_RESPONSE_TIMEOUT, HAWSER_CM_RETRIES, HAWSER_CM_REPORT_UNREACHABLE. EINVAL has been explained on stderr.
[[nodiscard]] Result<cma::RequestTiming> request_timing(const Environment& environment);

}  // namespace hawser::stack
