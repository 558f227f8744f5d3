// Starting hawserd from within any program: no child of the program, no SIGCHLD, no descriptor of the program's.
#pragma once

#include <string>

#include "base/result.hpp"

namespace hawser::agent {

// hawserd: `wanted` if not empty, else HAWSER_AGENT, else where it lies beside this code, else in PATH. ENOENT
// (explained) if there is none.
[[nodiscard]] Result<std::string> find_daemon(const std::string& wanted);

// Starts it and waits until it serves. EEXIST: another one was faster. Other errors are hawserd's and were explained.
[[nodiscard]] Status launch_daemon(const std::string& path);

// What hawserd writes into the descriptor of --ready-fd, once: an errno (0: it serves) and a sentence for people.
inline constexpr std::size_t ready_bytes_max = 1024;

}  // namespace hawser::agent
