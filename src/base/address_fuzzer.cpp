// libFuzzer: any text as an address, any bytes as a sockaddr; what is understood reads the same when it is written
// again.
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/assert.hpp"
#include "base/ip.hpp"

using namespace hawser;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  if (const auto address = IpAddress::parse({reinterpret_cast<const char*>(data), size})) {
    HW_ASSERT(IpAddress::parse(address->text()) == address, "fuzz-address-text");
  }
  sockaddr_storage storage{};
  std::memcpy(&storage, data, std::min(size, sizeof storage));
  if (const auto address = SocketAddress::from(reinterpret_cast<const sockaddr*>(&storage))) {
    HW_ASSERT(!address->text().empty(), "fuzz-sockaddr-text");
    if (address->family == Family::ib) return 0;  // known by its family only
    address->to(storage);
    HW_ASSERT(SocketAddress::from(reinterpret_cast<const sockaddr*>(&storage)) == address, "fuzz-sockaddr-changed");
  }
  return 0;
}
