// `hawser`: what a person types.
#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "cli/commands.hpp"

namespace {

// The arguments, last first as CLI11 takes them. The "--" of `hawser run -- PROGRAM …` is dropped: CLI11 would take
// what follows it for arguments of `hawser` itself; without it, all from PROGRAM on is left alone.
std::vector<std::string> arguments(std::span<char*> argv) {
  std::vector<std::string> words(argv.begin() + 1, argv.end());
  if (words.size() >= 2 && words[0] == "run" && words[1] == "--") words.erase(words.begin() + 1);
  std::ranges::reverse(words);
  return words;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Hawser: RDMA programs on machines that have no RDMA");
  app.name("hawser");
  app.require_subcommand(1);
  int exit_status = 0;
  hawser::cli::add_run(app, exit_status);
  hawser::cli::add_version(app, exit_status);
  try {
    app.parse(arguments({argv, static_cast<std::size_t>(argc)}));
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  return exit_status;
}
