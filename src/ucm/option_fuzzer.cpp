// libFuzzer: rdma_set_option() with any level, name and value. Input: level (2 bytes), name (1 byte), value.
#include <cstring>

#include "base/assert.hpp"
#include "ucm/options.hpp"

using namespace hawser;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const int level = data[0] << 8 | data[1];
  const auto option = ucm::parse_option(level, data[2], {reinterpret_cast<const std::byte*>(data + 3), size - 3});
  if (!option) HW_ASSERT(errno_of(option) == EINVAL || errno_of(option) == ENOSYS, "fuzz-option-errno");
  if (option && option->kind == ucm::Option::Kind::path) {
    HW_ASSERT(option->path.mtu >= Mtu::mtu_256 && option->path.mtu <= Mtu::mtu_4096, "fuzz-option-mtu");
    HW_ASSERT(option->path.flow_label < 1U << 20 && option->path.sl < 16, "fuzz-option-path");
  }
  return 0;
}
