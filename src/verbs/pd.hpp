// A protection domain: what memory regions and QPs must have in common.
#pragma once

#include <cstdint>

#include "runtime/sync.hpp"

namespace hawser::verbs {

struct Pd {
  // Memory regions, QPs and address handles in it: it cannot be deallocated under them.
  rt::Atomic<std::uint32_t> users{0};
};

}  // namespace hawser::verbs
