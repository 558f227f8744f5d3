// Questions to rtnetlink, each with all of its answer. Not thread-safe: one question at a time.
#pragma once

#include <functional>
#include <memory>

#include "base/result.hpp"

struct mnl_socket;
struct nlmsghdr;

namespace hawser::addr {

struct CloseNetlinkSocket {
  void operator()(mnl_socket* socket) const;
};
using NetlinkSocket = std::unique_ptr<mnl_socket, CloseNetlinkSocket>;

class NetlinkQuery {
 public:
  using Handle = std::function<void(const nlmsghdr*)>;

  virtual ~NetlinkQuery() = default;
  // Sends a question and hands every message of the answer to `handle`. The kernel's errno, or EINTR after the whole
  // of a torn dump: what it lists changed between its parts, so that anything may be missing from them.
  [[nodiscard]] virtual Status ask(nlmsghdr* question, const Handle& handle) = 0;
};

// To the kernel, about the network namespace of the calling thread.
[[nodiscard]] Result<std::unique_ptr<NetlinkQuery>> open_netlink_query();

}  // namespace hawser::addr
