// SET_OPTION's arguments [spec 6.2 #14, 6.2 #14].
#pragma once

#include <cstddef>
#include <span>

#include "base/result.hpp"
#include "cm/types.hpp"

namespace hawser::ucm {

struct Option {
  enum class Kind : std::uint8_t {
    tos,
    reuse_address,
    af_only,
    ack_timeout,
    path,
    response_timeout,
    retries,
    report_unreachable,
  };
  Kind kind{};
  std::uint8_t byte{};  // tos, ack_timeout, response_timeout, retries
  bool flag{};          // reuse_address, af_only, report_unreachable
  cm::Path path;        // without its device
};

// EINVAL: wrong length, or no usable path record; ENOSYS: unknown level or name.
[[nodiscard]] Result<Option> parse_option(int level, int name, std::span<const std::byte> value);

}  // namespace hawser::ucm
