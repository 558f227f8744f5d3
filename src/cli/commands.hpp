// The subcommands of `hawser`, one file each; hawser_main.cpp reads the command line. Each returns the exit status.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/client.hpp"

namespace CLI {
class App;
}

namespace hawser::cli {

// hawser run -- PROGRAM ARGS…: becomes PROGRAM with Hawser's libraries in front of the distribution's. Returns only if
// that failed: 125 (Hawser's libraries are missing), 126 (PROGRAM cannot be executed), 127 (not found), as env(1) does.
int run(std::vector<std::string> command);

// hawser check-capture FILE: 0 if every RoCEv2 packet of a capture is whole and its ICRC right, 1 if not, 2 if the file
// cannot be read.
int check_capture(const std::string& path);

// hawser ids [--json]: the connection ids of this host (network namespace) and user. Starts no agent.
int show_ids(bool json);

// hawser devices [-v] [--json]: the devices of this host; -v: with what its processes and their agent count. Starts no
// agent.
int show_devices(bool verbose, bool json);

// hawser fault …: sets a fault (cm/fault.hpp has the notation), shows and clears them. 2: the fault makes no sense.
int set_fault(const std::string& text, const agent::FaultTarget& target);
int list_faults(bool json);
int clear_faults(std::uint32_t number);  // 0: all
// Adds the subcommand, which puts its exit status into `exit_status`.
void add_fault_command(CLI::App& app, int& exit_status);

}  // namespace hawser::cli
