// What a scenario writes down for itself: read and written by every fiber at any time, since one thread runs them all.
// The schedule alone orders it, so ThreadSanitizer looks away from it, and from nothing else.
#pragma once

#include <type_traits>
#include <utility>

#include "base/tsan_ignore.hpp"

namespace hawser::scenarios {

// One value.
template <class T>
class Note {
 public:
  Note() = default;
  Note(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor): as a T
  Note(const Note&) = delete;
  Note& operator=(const Note&) = delete;
  ~Note() = default;
  Note& operator=(T value) {
    const TsanIgnore ignore;
    value_ = std::move(value);
    return *this;
  }
  operator T() const {  // NOLINT(google-explicit-constructor): as a T
    const TsanIgnore ignore;
    return value_;
  }
  T operator->() const
    requires std::is_pointer_v<T>
  {
    return *this;
  }

 private:
  T value_{};
};

}  // namespace hawser::scenarios
