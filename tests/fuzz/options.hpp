// What the argument of set_option stands for.
#pragma once

#include <cstddef>
#include <vector>

#include "program.hpp"

namespace hawser::fuzz {

struct OptionArgument {
  int level{}, name{};
  std::vector<std::byte> value;
};
[[nodiscard]] OptionArgument option_of(Setting setting);

}  // namespace hawser::fuzz
