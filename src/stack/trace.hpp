// What HAWSER_DEBUG=1 says of the messages that pass between this process and its peers. Pure functions.
#pragma once

#include <string>

#include "verbs/gsi.hpp"

namespace hawser::stack {

// "REJ 0x1a2b3c4d → 0x5e6f7a8b reason 8": a message of the connection manager, or what it is instead.
[[nodiscard]] std::string describe(const verbs::Mad& mad);

}  // namespace hawser::stack
