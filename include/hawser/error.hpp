// Errors of Hawser are values: Result<T> holds a T or a std::error_code.
//
// Every error compares equal to its std::errc: `error == std::errc::address_in_use`. Where the connection manager said
// no, error.message() says to what it said no, in which state the object was, and which rule decided; the numbers in
// brackets are those of docs/specification.md:
//
//   connect on an id in ADDR_BOUND: the route must have been resolved (ROUTE_RESOLVED) [spec 1.4] (Invalid argument)
#pragma once

#include <expected>
#include <system_error>

namespace hawser {

template <class T>
using Result = std::expected<T, std::error_code>;
using Status = Result<void>;

// The errno of a Status or Result, as the C interface would give it; 0 on success.
template <class T>
[[nodiscard]] int errno_of(const Result<T>& result) {
  return result ? 0 : result.error().default_error_condition().value();
}

}  // namespace hawser
