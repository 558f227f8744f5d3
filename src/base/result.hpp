// Errors are values inside Hawser: Result<T> holds a T or a std::error_code of the generic (errno) category.
// The C ABI turns them into errno. The message that explains (object, state, rule) is made where the error is, with
// base/log.hpp; the code alone crosses rooms.
#pragma once

#include <cerrno>
#include <expected>
#include <system_error>

namespace hawser {

template <class T>
using Result = std::expected<T, std::error_code>;
using Status = Result<void>;

// fail(EINVAL): the unexpected value of any Result.
[[nodiscard]] inline std::unexpected<std::error_code> fail(int errno_value) {
  return std::unexpected(std::error_code(errno_value, std::generic_category()));
}
[[nodiscard]] inline std::unexpected<std::error_code> fail(std::error_code code) { return std::unexpected(code); }

// The errno of a Status or Result; 0 on success.
template <class T>
[[nodiscard]] int errno_of(const Result<T>& result) {
  return result ? 0 : result.error().value();
}

}  // namespace hawser
