// A smaller program that still fails.
#pragma once

#include <functional>

#include "program.hpp"

namespace hawser::fuzz {

// Takes threads and calls out of `program`, and puts arguments back to usual ones, as long as `fails` says so of the
// rest.
[[nodiscard]] Program shrink(Program program, const std::function<bool(const Program&)>& fails);

// Whether `run` returns true or kills its process: it runs in a child, whose output goes nowhere.
[[nodiscard]] bool fails_in_child(const std::function<bool()>& run);

}  // namespace hawser::fuzz
