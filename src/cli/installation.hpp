// Where the pieces of Hawser lie, found from where the running program lies: no configuration, so that a build tree and
// an installed tree can both be moved.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hawser::cli {

struct Installation {
  std::filesystem::path libraries;  // holds librdmacm.so.1 and libibverbs.so.1
  std::filesystem::path agent;      // hawserd
};

// Where the libraries of a program in `programs` may be: the installed tree's place, then the build tree's.
[[nodiscard]] std::vector<std::filesystem::path> library_places(const std::filesystem::path& programs);

// The tree that the program at `executable` belongs to; nullopt if no library_places() has both libraries.
[[nodiscard]] std::optional<Installation> find_installation(const std::filesystem::path& executable);

// What LD_LIBRARY_PATH must be so that `libraries` comes first; `inherited` is its value now, or "".
[[nodiscard]] std::string library_path(const std::filesystem::path& libraries, const std::string& inherited);

}  // namespace hawser::cli
