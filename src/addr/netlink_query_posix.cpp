#include "addr/netlink_query_posix.hpp"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <span>

#include <libmnl/libmnl.h>

#include "addr/netlink_message_posix.hpp"

namespace hawser::addr {
namespace {

class KernelQuery final : public NetlinkQuery {
 public:
  explicit KernelQuery(NetlinkSocket socket) : socket_(std::move(socket)) {}

  Status ask(nlmsghdr* question, const Handle& handle) override {
    question->nlmsg_seq = ++sequence_;
    if (mnl_socket_sendto(socket_.get(), question, question->nlmsg_len) < 0) return fail(errno);
    const bool dump = (question->nlmsg_flags & NLM_F_DUMP) != 0;
    bool torn = false;
    alignas(nlmsghdr) std::array<char, netlink_datagram_bytes> buffer;
    for (;;) {
      const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return fail(errno);
      std::span<const char> datagram(buffer.data(), static_cast<std::size_t>(size));
      while (const nlmsghdr* message = next_message(datagram)) {
        if (message->nlmsg_seq != sequence_) continue;  // a late answer to a question that was given up
        torn = torn || (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (message->nlmsg_type == NLMSG_DONE) return torn ? Status(fail(EINTR)) : Status();
        if (message->nlmsg_type == NLMSG_ERROR) {
          const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
          if (error->error != 0) return fail(-error->error);
          return {};
        }
        handle(message);
        if (!dump) return {};
      }
    }
  }

 private:
  const NetlinkSocket socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace

void CloseNetlinkSocket::operator()(mnl_socket* socket) const { mnl_socket_close(socket); }

Result<std::unique_ptr<NetlinkQuery>> open_netlink_query() {
  NetlinkSocket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) return fail(errno);
  return std::make_unique<KernelQuery>(std::move(socket));
}

}  // namespace hawser::addr
