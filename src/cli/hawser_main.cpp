// `hawser`: what a person types.
#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.hpp"

namespace {

using namespace hawser::cli;

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
  CLI::App app("Hawser: RDMA programs on machines that have no RDMA", "hawser");
  app.require_subcommand(1);
  app.set_version_flag("--version", "hawser " HAWSER_VERSION);
  int exit_status = 0;

  CLI::App* run_command = app.add_subcommand("run", "Run a program, unmodified, over Hawser");
  run_command->prefix_command();  // everything from PROGRAM on is PROGRAM's
  run_command->footer(
      "hawser run -- PROGRAM [ARGS…]\n"
      "Exit status: the program's; 125 if Hawser's libraries are missing, 126 if PROGRAM cannot be executed,\n"
      "127 if it was not found.");
  run_command->callback([&] { exit_status = run(run_command->remaining()); });

  bool json = false;
  CLI::App* ids_command = app.add_subcommand("ids", "Show the connection ids of this host");
  ids_command->add_flag("--json", json, "for programs");
  ids_command->callback([&] { exit_status = show_ids(json); });

  bool verbose = false;
  CLI::App* devices_command = app.add_subcommand("devices", "Show the devices of this host");
  devices_command->add_flag("-v,--verbose", verbose, "with the counters of every process and of the agent");
  devices_command->add_flag("--json", json, "for programs");
  devices_command->callback([&] { exit_status = show_devices(verbose, json); });

  add_fault_command(app, exit_status);

  std::string capture;
  CLI::App* check_command = app.add_subcommand("check-capture", "Verify the ICRC of every RoCEv2 packet of a capture");
  check_command->add_option("FILE", capture, "as tcpdump or Wireshark write it (pcap, pcapng)")->required();
  check_command->callback([&] { exit_status = check_capture(capture); });

  app.add_subcommand("version", "Print the version")->callback([] { fmt::print("hawser {}\n", HAWSER_VERSION); });

  try {
    app.parse(arguments({argv, static_cast<std::size_t>(argc)}));
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  return exit_status;
}
