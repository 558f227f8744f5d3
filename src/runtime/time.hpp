// Time inside Hawser: monotonic, nanoseconds. Under a simulated World the same type carries virtual time.
#pragma once

#include <chrono>

namespace hawser::rt {

using Time = std::chrono::steady_clock::time_point;
using Duration = std::chrono::nanoseconds;

inline constexpr Time time_never = Time::max();

}  // namespace hawser::rt
