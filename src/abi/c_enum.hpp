// Enums that programs pass. In C they may be any int; C++ lets nobody read one that has no value of its enum (undefined
// behaviour, which UBSan reports), so a number that a program chose is read as a number, and checked.
#pragma once

#include <cstring>

namespace hawser::abi {

template <class Enum>
[[nodiscard]] inline int number_of(const Enum& given) {
  int number = 0;
  static_assert(sizeof number == sizeof given);
  std::memcpy(&number, &given, sizeof number);
  return number;
}

}  // namespace hawser::abi
