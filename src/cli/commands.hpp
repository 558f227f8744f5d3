// The subcommands of `hawser`: each adds itself to the application and leaves the exit status of the process in
// `exit_status` when it has been called. One file each.
#pragma once

#include <CLI/CLI.hpp>

namespace hawser::cli {

void add_run(CLI::App& app, int& exit_status);      // hawser run -- PROGRAM ARGS…
void add_version(CLI::App& app, int& exit_status);  // hawser version

}  // namespace hawser::cli
