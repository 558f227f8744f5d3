// hawser version
#include <fmt/format.h>

#include "cli/commands.hpp"

namespace hawser::cli {

void add_version(CLI::App& app, int& exit_status) {
  app.set_version_flag("--version", "hawser " HAWSER_VERSION);
  app.add_subcommand("version", "Print the version")->callback([&exit_status] {
    fmt::print("hawser {}\n", HAWSER_VERSION);
    exit_status = 0;
  });
}

}  // namespace hawser::cli
