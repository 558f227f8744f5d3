// Errors that explain themselves within the 32 bits of a std::error_code: what was asked, in which state of the object,
// and which rule says no, besides the errno. A room that refuses has one category, which knows its names:
//
//   return refuse(category(), {EINVAL, Entry::connect, state(), Rule::needs_route});
//
// They cross rooms as any error does; errno_of() and comparison with std::errc give the errno.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace hawser {

struct Refusal {
  int errno_value{};         // 1…255
  std::uint8_t operation{};  // what was asked
  std::uint8_t state{};      // of the object, when it was asked
  std::uint8_t rule{};       // 0…127
  bool operator==(const Refusal&) const = default;

  [[nodiscard]] int pack() const;
  [[nodiscard]] static Refusal unpack(int value);
};

// Stateless; a room has one constant of it.
class RefusalCategory : public std::error_category {
 public:
  // "connect on an id in ADDR_BOUND: the route must have been resolved [spec 1.4] (Invalid argument)"
  [[nodiscard]] std::string message(int value) const override;
  // The errno, so that errors compare equal to std::errc whatever their category.
  [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override;

 private:
  // "connect on an id in ADDR_BOUND", and the rule; empty if there is none to name.
  [[nodiscard]] virtual std::string situation(const Refusal& refusal) const = 0;
  [[nodiscard]] virtual std::string rule(const Refusal& refusal) const = 0;
};

[[nodiscard]] inline std::unexpected<std::error_code> refuse(const RefusalCategory& category, const Refusal& refusal) {
  return std::unexpected(std::error_code(refusal.pack(), category));
}

}  // namespace hawser
