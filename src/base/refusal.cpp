#include "base/refusal.hpp"

#include "base/assert.hpp"

namespace hawser {
namespace {

constexpr int errno_max = 0xFF;
constexpr int rule_max = 0x7F;

}  // namespace

int Refusal::pack() const {
  HW_ASSERT(errno_value > 0 && errno_value <= errno_max && rule <= rule_max, "refusal-out-of-range");
  return errno_value | operation << 8 | state << 16 | rule << 24;
}

Refusal Refusal::unpack(int value) {
  const auto byte = [value](unsigned index) { return static_cast<std::uint8_t>(value >> (8 * index)); };
  return {byte(0), byte(1), byte(2), byte(3)};
}

std::string RefusalCategory::message(int value) const {
  const Refusal refusal = Refusal::unpack(value);
  std::string text = situation(refusal);
  if (const std::string why = rule(refusal); !why.empty()) text += ": " + why;
  return text + " (" + std::generic_category().message(refusal.errno_value) + ")";
}

std::error_condition RefusalCategory::default_error_condition(int value) const noexcept {
  return {Refusal::unpack(value).errno_value, std::generic_category()};
}

}  // namespace hawser
