// Errors are values inside Hawser: Result<T> (hawser/error.hpp) holds a T or a std::error_code, which the C ABI turns
// into errno with errno_of(). Most are plain errnos; a room that can say why it refuses uses a category of its own
// (base/refusal.hpp). A message for people is made where the error is, with base/log.hpp; the code alone crosses rooms.
#pragma once

#include <cerrno>

#include "hawser/error.hpp"

namespace hawser {

// fail(EINVAL): the unexpected value of any Result.
[[nodiscard]] inline std::unexpected<std::error_code> fail(int errno_value) {
  return std::unexpected(std::error_code(errno_value, std::generic_category()));
}
[[nodiscard]] inline std::unexpected<std::error_code> fail(std::error_code code) { return std::unexpected(code); }

}  // namespace hawser
