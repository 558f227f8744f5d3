// The command line of `hawser fault`: from options to the notation of cm/fault.hpp.
#include <array>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.hpp"

namespace hawser::cli {
namespace {

// What the options of one subcommand said; lives as long as the command line is being read.
struct FaultLine {
  agent::FaultTarget target;
  std::string what;  // a message, a device, an address
  std::string nth, chance, seed, port, id, by;
};

void add_target_options(CLI::App& command, FaultLine& line) {
  command.add_option("--pid", line.target.pid, "only in this process (see `hawser ids`)")->check(CLI::PositiveNumber);
  command.add_option("--program", line.target.program, "only in processes of this program, also in those that come");
}

std::string notation(const char* action, const FaultLine& line) {
  std::string text = fmt::format("{}={}", action, line.what);
  for (const auto& [key, value] : {std::pair{"nth", &line.nth},
                                   {"chance", &line.chance},
                                   {"seed", &line.seed},
                                   {"port", &line.port},
                                   {"id", &line.id},
                                   {"by", &line.by}}) {
    if (!value->empty()) text += fmt::format(":{}={}", key, *value);
  }
  return text;
}

void add_message_fault(CLI::App& fault, const char* action, const char* help, int& exit_status) {
  const auto line = std::make_shared<FaultLine>();
  CLI::App* command = fault.add_subcommand(action, help);
  command->add_option("MESSAGE", line->what, "REQ, REP, RTU, REJ, MRA, DREQ, DREP, SIDR_REQ or SIDR_REP")->required();
  command->add_option("--nth", line->nth, "which ones, counted from 1 from now on: 2, 2-4 or 2- (default: every one)");
  command->add_option("--chance", line->chance, "so many of them: 5%");
  command->add_option("--seed", line->seed, "decides which ones --chance hits");
  command->add_option("--port", line->port, "only of ids with this port, their own or the peer's");
  command->add_option("--id", line->id, "only of the id with this number (see `hawser ids`); goes with --pid");
  if (std::string_view(action) == "delay") command->add_option("--by", line->by, "how long: 500ms, 2s")->required();
  add_target_options(*command, *line);
  command->callback([line, action, &exit_status] { exit_status = set_fault(notation(action, *line), line->target); });
}

void add_network_fault(CLI::App& fault, const char* kind, const char* argument, const char* help, int& exit_status) {
  const auto line = std::make_shared<FaultLine>();
  CLI::App* command = fault.add_subcommand(kind, help);
  command->add_option(argument, line->what)->required();
  add_target_options(*command, *line);
  command->callback([line, kind, &exit_status] { exit_status = set_fault(notation(kind, *line), line->target); });
}

}  // namespace

void add_fault_command(CLI::App& app, int& exit_status) {
  CLI::App* fault = app.add_subcommand("fault", "Make something go wrong, on purpose");
  fault->require_subcommand(1);
  fault->footer(
      "A fault holds in every process of this host and user that runs over Hawser, or as --pid and --program say,\n"
      "until it is cleared or the last of them has ended. HAWSER_FAULT gives a program its faults from the start.");

  add_message_fault(*fault, "drop", "Lose messages of the connection manager", exit_status);
  add_message_fault(*fault, "delay", "Send messages of the connection manager later", exit_status);
  add_message_fault(*fault, "duplicate", "Send messages of the connection manager twice", exit_status);
  add_network_fault(*fault, "remove", "DEVICE", "Take a device away, as if its interface had gone", exit_status);
  add_network_fault(*fault, "remove-address", "ADDRESS", "Take an address away from its interface", exit_status);
  add_network_fault(*fault, "link-down", "DEVICE", "Pull the cable of a device", exit_status);
  add_network_fault(*fault, "change-mac", "DEVICE",
                    "Give a device another MAC, as a bond that fails over (ADDR_CHANGE)", exit_status);
  add_network_fault(*fault, "move-neighbour", "ADDRESS", "Let a neighbour answer with another MAC (UNREACHABLE)",
                    exit_status);
  add_network_fault(*fault, "silence-neighbour", "ADDRESS", "Let a neighbour not answer (ADDR_ERROR)", exit_status);
  add_network_fault(*fault, "silence-route", "ADDRESS",
                    "Let a subnet administrator be asked for the path to an address, and not answer (ROUTE_ERROR)",
                    exit_status);
  add_network_fault(*fault, "silence-service", "NAME",
                    "Let one be asked for a service by name, and not answer (ADDRINFO_ERROR)", exit_status);
  const auto line = std::make_shared<FaultLine>();
  CLI::App* timewait = fault->add_subcommand("end-timewait", "End timewait now (TIMEWAIT_EXIT)");
  add_target_options(*timewait, *line);
  timewait->callback([line, &exit_status] { exit_status = set_fault("end-timewait", line->target); });

  const auto json = std::make_shared<bool>(false);
  CLI::App* list = fault->add_subcommand("list", "Show the faults in force and what they have done");
  list->add_flag("--json", *json, "for programs");
  list->callback([json, &exit_status] { exit_status = list_faults(*json); });
  const auto number = std::make_shared<std::uint32_t>(0);  // all
  CLI::App* clear = fault->add_subcommand("clear", "End a fault, or all of them");
  clear->add_option("NUMBER", *number, "as `hawser fault list` shows it (default: all)")->check(CLI::PositiveNumber);
  clear->callback([number, &exit_status] { exit_status = clear_faults(*number); });
}

}  // namespace hawser::cli
