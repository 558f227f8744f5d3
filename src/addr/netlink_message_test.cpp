#include <linux/netlink.h>

#include <array>

#include <gtest/gtest.h>

#include "addr/netlink_message_posix.hpp"

namespace hawser::addr {
namespace {

struct Datagram {
  alignas(nlmsghdr) std::array<nlmsghdr, 3> headers{};
  [[nodiscard]] std::span<const char> bytes() const {
    return {reinterpret_cast<const char*>(headers.data()), sizeof headers};
  }
};

TEST(NetlinkMessage, ADatagramHoldsSeveral) {
  Datagram datagram;
  for (nlmsghdr& header : datagram.headers) header.nlmsg_len = sizeof header;
  datagram.headers[1].nlmsg_len += 1;  // aligned, it ends where the last one does
  std::span<const char> rest = datagram.bytes();
  EXPECT_EQ(next_message(rest), &datagram.headers[0]);
  EXPECT_EQ(next_message(rest), &datagram.headers[1]);
  EXPECT_EQ(rest.size(), sizeof(nlmsghdr) - NLMSG_ALIGNTO);
  EXPECT_EQ(next_message(rest), nullptr);
}

// Found by netlink_message_fuzzer: as an int, the length is negative, and so smaller than what is left.
TEST(NetlinkMessage, ALengthBeyondTheDatagramEndsIt) {
  for (const std::uint32_t length : {0U, 15U, 3U * 16U + 1U, 0x80000000U, 0xFF000058U}) {
    Datagram datagram;
    datagram.headers[0].nlmsg_len = length;
    std::span<const char> rest = datagram.bytes();
    EXPECT_EQ(next_message(rest), nullptr) << length;
  }
}

}  // namespace
}  // namespace hawser::addr
