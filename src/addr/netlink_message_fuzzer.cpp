// libFuzzer: any rtnetlink messages, as the kernel would send them in one datagram.
#include <cstring>
#include <vector>

#include "addr/netlink_message_posix.hpp"

using namespace hawser;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::vector<std::uint64_t> aligned((size + 7) / 8);
  std::memcpy(aligned.data(), data, size);
  std::span<const char> datagram(reinterpret_cast<const char*>(aligned.data()), size);
  while (const nlmsghdr* message = addr::next_message(datagram)) {
    static_cast<void>(addr::parse_link(message));
    static_cast<void>(addr::parse_address(message));
    static_cast<void>(addr::parse_route(message));
    static_cast<void>(addr::parse_neighbour(message));
  }
  return 0;
}
