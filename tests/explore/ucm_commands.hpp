// The commands of the user ABI [spec 6.2], as a program gives them: the list that scenarios of pairs on ucm are made
// of.
#pragma once

#include <span>

#include "ucm_stage.hpp"

namespace hawser::scenarios {

struct Command {
  int number;  // in the user ABI; -1: none of its own
  const char* name;
  void (*give)(UcmStage& stage);
};
// Every command has its row, or this does not compile.
[[nodiscard]] std::span<const Command> commands();

}  // namespace hawser::scenarios
