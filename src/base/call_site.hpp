// Where a call came from, for reports to the person who wrote it: a place in their code, not in ours.
#pragma once

#include <functional>
#include <string>
#include <typeinfo>

namespace hawser {

// "rping(on_event+0x4f)", or "rping(+0x23c1)" where no symbol is known: what addr2line -e rping takes. `site` is a
// return address.
[[nodiscard]] std::string site_text(const void* site);

// While a thread is inside a call of a program that goes through several functions of ours: the outermost one's caller.
class CalledFrom {
 public:
  explicit CalledFrom(const void* site) : outermost_(current() == nullptr) {
    if (outermost_) current() = site;
  }
  ~CalledFrom() {
    if (outermost_) current() = nullptr;
  }
  CalledFrom(const CalledFrom&) = delete;
  CalledFrom& operator=(const CalledFrom&) = delete;
  // Null: the thread is in no such call.
  [[nodiscard]] static const void*& current();

 private:
  const bool outermost_;
};

// The caller of the function that says this, or of the outermost one under way.
#define HW_CALL_SITE ::hawser::call_site(__builtin_return_address(0))
[[nodiscard]] inline const void* call_site(const void* nearest) {
  const void* const outermost = CalledFrom::current();
  return outermost != nullptr ? outermost : nearest;
}

// A handler of a program: a function by its address, any other callable by its type.
struct HandlerName {
  const std::type_info* type = nullptr;
  const void* function = nullptr;
  [[nodiscard]] std::string text() const;  // empty if it names nothing
};

template <class R, class... Arguments>
[[nodiscard]] HandlerName name_of(const std::function<R(Arguments...)>& handler) {
  if (const auto* function = handler.template target<R (*)(Arguments...)>()) {
    return {.function = reinterpret_cast<const void*>(*function)};
  }
  return {.type = &handler.target_type()};
}

}  // namespace hawser
