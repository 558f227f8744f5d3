// The kernel's word on interfaces, routes and neighbours of this process's network namespace, over rtnetlink. Needs no
// privilege. Thread-safe; poll() is called by one thread at a time.
#pragma once

#include <memory>
#include <vector>

#include "addr/netlink_query_posix.hpp"
#include "addr/network.hpp"
#include "runtime/sync.hpp"

namespace hawser::addr {

class NetlinkView final : public NetworkView {
 public:
  [[nodiscard]] static Result<std::unique_ptr<NetlinkView>> create();
  [[nodiscard]] static Result<std::unique_ptr<NetlinkView>> create(std::unique_ptr<NetlinkQuery> query);
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
  // An interface as we remember it.
  struct Known {
    verbs::InterfaceSnapshot snapshot;
    bool no_neighbours{};  // nothing to resolve: loopback, tunnels
  };

  NetlinkView(NetlinkSocket monitor, std::unique_ptr<NetlinkQuery> query)
      : monitor_(std::move(monitor)), query_(std::move(query)) {}

  struct Dump {
    std::vector<Known> interfaces;
    bool torn{};  // some may be missing, or some of their addresses
  };
  [[nodiscard]] Result<Dump> dump_interfaces() HW_REQUIRES(mutex_);
  void look() HW_REQUIRES(mutex_);
  void keep_unseen(std::vector<Known>& seen) const HW_REQUIRES(mutex_);
  void look_again_later();
  // The interface that has the address (a link-local one: the interface `scope`, if that is not 0); asks the kernel if
  // we know none.
  Result<std::uint32_t> owner(const IpAddress& address, std::uint32_t scope) HW_REQUIRES(mutex_);
  std::optional<std::uint32_t> known_owner(const IpAddress& address, std::uint32_t scope) const HW_REQUIRES(mutex_);
  Result<IpAddress> any_address(std::uint32_t interface, bool v4) HW_REQUIRES(mutex_);
  [[nodiscard]] bool needs_no_neighbour(std::uint32_t interface) HW_REQUIRES(mutex_);

  const NetlinkSocket monitor_;
  mutable rt::Mutex mutex_{rt::LockRank::addr};  // one question at a time
  const std::unique_ptr<NetlinkQuery> query_;
  std::vector<Known> known_ HW_GUARDED_BY(mutex_);
  bool known_is_current_ HW_GUARDED_BY(mutex_) = false;
  Observer observer_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::addr
