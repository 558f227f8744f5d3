// Messages for people. Errors that a user can act on are printed always, the rest with HAWSER_DEBUG=1 (stderr).
#pragma once

#include <string_view>

#include <fmt/format.h>

namespace hawser::log {

// True when HAWSER_DEBUG is set to anything but "" or "0"; read once.
[[nodiscard]] bool debug_enabled() noexcept;
void write(std::string_view level, std::string_view message) noexcept;  // "hawser: LEVEL: MESSAGE\n", one write(2)

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (debug_enabled()) write("debug", fmt::format(format, std::forward<Args>(args)...));
}
// Something is wrong that the user must know of: says what, where, and what to do.
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write("error", fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write("warning", fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace hawser::log
