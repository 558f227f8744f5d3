#include "base/log.hpp"

#include <unistd.h>

#include <cstdlib>
#include <string>

namespace hawser::log {

bool debug_enabled() noexcept {
  static const bool enabled = [] {
    const char* value = std::getenv("HAWSER_DEBUG");
    return value != nullptr && *value != '\0' && std::string_view(value) != "0";
  }();
  return enabled;
}

void write(std::string_view level, std::string_view message) noexcept {
  try {
    const std::string line = fmt::format("hawser: {}: {}\n", level, message);
    [[maybe_unused]] auto ignored = ::write(STDERR_FILENO, line.data(), line.size());
  } catch (...) {  // out of memory while reporting: nothing better to do
  }
}

}  // namespace hawser::log
