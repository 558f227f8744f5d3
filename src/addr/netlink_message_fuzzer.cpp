// libFuzzer: any rtnetlink messages, as the kernel would send them in one datagram.
#include <linux/rtnetlink.h>

#include <cstring>
#include <vector>

#include <libmnl/libmnl.h>

#include "addr/netlink_message_posix.hpp"

using namespace hawser;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::vector<std::uint64_t> aligned((size + 7) / 8);
  std::memcpy(aligned.data(), data, size);
  int left = static_cast<int>(size);
  for (auto* message = reinterpret_cast<const nlmsghdr*>(aligned.data()); mnl_nlmsg_ok(message, left);
       message = mnl_nlmsg_next(message, &left)) {
    static_cast<void>(addr::parse_link(message));
    static_cast<void>(addr::parse_address(message));
    static_cast<void>(addr::parse_route(message));
    static_cast<void>(addr::parse_neighbour(message));
  }
  return 0;
}
