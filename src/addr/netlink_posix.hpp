// The kernel's word on interfaces, routes and neighbours of this process's network namespace, over rtnetlink. Needs no
// privilege. Thread-safe; poll() is called by one thread at a time.
#pragma once

#include <memory>
#include <vector>

#include "addr/network.hpp"
#include "runtime/sync.hpp"

struct mnl_socket;
struct nlmsghdr;

namespace hawser::addr {

class NetlinkView final : public NetworkView {
 public:
  [[nodiscard]] static Result<std::unique_ptr<NetlinkView>> create();
  ~NetlinkView() override;

  [[nodiscard]] std::vector<verbs::InterfaceSnapshot> interfaces() override;
  [[nodiscard]] Result<Route> route(const IpAddress& destination, const std::optional<IpAddress>& source,
                                    std::uint32_t interface) override;
  [[nodiscard]] Result<Mac> neighbour(std::uint32_t interface, const IpAddress& address) override;
  [[nodiscard]] std::pair<std::uint16_t, std::uint16_t> local_port_range() override;
  [[nodiscard]] bool may_bind_privileged() override;
  [[nodiscard]] bool bind_v6_only() override;
  void set_observer(Observer observer) override;
  [[nodiscard]] int poll_fd() const override;
  void poll() override;

 private:
  struct CloseSocket {
    void operator()(mnl_socket* socket) const;
  };
  using Socket = std::unique_ptr<mnl_socket, CloseSocket>;
  // An interface as we remember it.
  struct Known {
    verbs::InterfaceSnapshot snapshot;
    bool no_neighbours{};  // nothing to resolve: loopback, tunnels
  };

  NetlinkView(Socket monitor, Socket query) : monitor_(std::move(monitor)), query_(std::move(query)) {}

  template <class Handle>
  Status ask(nlmsghdr* request, Handle&& handle) HW_REQUIRES(mutex_);
  std::vector<Known> dump_interfaces() HW_REQUIRES(mutex_);
  // The interface that has the address; asks the kernel if we know none.
  Result<std::uint32_t> owner(const IpAddress& address) HW_REQUIRES(mutex_);
  std::optional<std::uint32_t> known_owner(const IpAddress& address) const HW_REQUIRES(mutex_);
  Result<IpAddress> any_address(std::uint32_t interface, bool v4) HW_REQUIRES(mutex_);
  [[nodiscard]] bool needs_no_neighbour(std::uint32_t interface) HW_REQUIRES(mutex_);

  const Socket monitor_;
  mutable rt::Mutex mutex_{rt::LockRank::addr};  // one question at a time
  const Socket query_;
  std::vector<Known> known_ HW_GUARDED_BY(mutex_);
  bool known_is_current_ HW_GUARDED_BY(mutex_) = false;
  std::uint32_t sequence_ HW_GUARDED_BY(mutex_) = 0;
  Observer observer_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::addr
