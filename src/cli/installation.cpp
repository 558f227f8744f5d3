#include "cli/installation.hpp"

namespace hawser::cli {

namespace fs = std::filesystem;

std::vector<fs::path> library_places(const fs::path& programs) {
  const fs::path prefix = programs.parent_path();
  return {prefix / "lib" / "hawser", prefix / "lib"};
}

std::optional<Installation> find_installation(const fs::path& executable) {
  const fs::path programs = executable.parent_path();
  for (const fs::path& place : library_places(programs)) {
    std::error_code ignored;  // what cannot be read is not there
    if (!fs::exists(place / "librdmacm.so.1", ignored) || !fs::exists(place / "libibverbs.so.1", ignored)) continue;
    return Installation{.libraries = place, .agent = programs / "hawserd"};
  }
  return std::nullopt;
}

std::string library_path(const fs::path& libraries, const std::string& inherited) {
  // An empty element would mean the working directory.
  return inherited.empty() ? libraries.string() : libraries.string() + ":" + inherited;
}

}  // namespace hawser::cli
