#include "addr/netlink_posix.hpp"

#include <arpa/inet.h>
#include <linux/capability.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include <libmnl/libmnl.h>

#include "addr/netlink_message_posix.hpp"

namespace hawser::addr {
namespace {

constexpr std::size_t question_bytes = 256;
constexpr std::uint16_t discard_port = 9;
constexpr std::uint32_t lo_index = 1;  // in every network namespace
constexpr int dumps_max = 8;           // until one is whole

// Makes the kernel find out who has the address, as any datagram would.
void provoke(std::uint32_t interface, const IpAddress& address) {
  const int family = address.is_v4() ? AF_INET : AF_INET6;
  const int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  const SocketAddress to{.family = address.is_v4() ? Family::inet : Family::inet6,
                         .ip = address,
                         .port = discard_port,
                         .scope_id = address.is_link_local() ? interface : 0};
  sockaddr_storage storage{};
  to.to(storage);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> control{};
  msghdr message{};
  message.msg_name = &storage;
  message.msg_namelen = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  message.msg_control = control.data();
  const auto put = [&](int level, int type, const auto& info) {
    message.msg_controllen = CMSG_SPACE(sizeof info);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(CMSG_DATA(header), &info, sizeof info);
  };
  if (family == AF_INET) {
    in_pktinfo info{};
    info.ipi_ifindex = static_cast<int>(interface);
    put(IPPROTO_IP, IP_PKTINFO, info);
  } else {
    in6_pktinfo info{};
    info.ipi6_ifindex = interface;
    put(IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
  // Whether it leaves or not: the neighbour's entry says what came of it.
  static_cast<void>(sendmsg(fd, &message, MSG_NOSIGNAL));
  close(fd);
}

bool has_address(const verbs::InterfaceSnapshot& interface, const IpAddress& address) {
  return std::ranges::find(interface.addresses, address) != interface.addresses.end();
}

}  // namespace

Result<std::unique_ptr<NetlinkView>> NetlinkView::create() {
  auto query = open_netlink_query();
  if (!query) return fail(query.error());
  return create(std::move(*query));
}

Result<std::unique_ptr<NetlinkView>> NetlinkView::create(std::unique_ptr<NetlinkQuery> query) {
  NetlinkSocket monitor(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK));
  constexpr unsigned groups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (!monitor || mnl_socket_bind(monitor.get(), groups, MNL_SOCKET_AUTOPID) < 0) return fail(errno);
  return std::unique_ptr<NetlinkView>(new NetlinkView(std::move(monitor), std::move(query)));
}

NetlinkView::~NetlinkView() = default;

Result<NetlinkView::Dump> NetlinkView::dump_interfaces() {
  alignas(nlmsghdr) std::array<char, question_bytes> question{};
  std::vector<Known> found;
  std::vector<std::uint16_t> types;
  const Status links = query_->ask(ask_dump(question.data(), RTM_GETLINK), [&](const nlmsghdr* message) {
    auto link = parse_link(message);
    if (!link) return;
    found.push_back({std::move(link->snapshot), link->no_arp});
    types.push_back(link->hardware_type);
  });
  const Status addresses = query_->ask(ask_dump(question.data(), RTM_GETADDR), [&](const nlmsghdr* message) {
    const auto address = parse_address(message);
    if (!address) return;
    const auto owner =
        std::ranges::find_if(found, [&](const Known& k) { return k.snapshot.index == address->interface; });
    if (owner != found.end()) owner->snapshot.addresses.push_back(address->address);
  });
  Dump dump;
  for (const Status& status : {links, addresses}) {
    if (!status && errno_of(status) != EINTR) return fail(status.error());
    dump.torn = dump.torn || !status;
  }
  // Tunnels that are only there because their module is loaded are no devices.
  for (std::size_t i = 0; i < found.size(); ++i) {
    const bool usual = types[i] == ARPHRD_ETHER || types[i] == ARPHRD_LOOPBACK;
    if (usual || !found[i].snapshot.addresses.empty()) dump.interfaces.push_back(std::move(found[i]));
  }
  return dump;
}

// Looks at the interfaces until the kernel shows them undisturbed. If it cannot say, what was known is better than
// nothing.
void NetlinkView::look() {
  Result<Dump> dump = dump_interfaces();
  for (int i = 1; dump && dump->torn && i < dumps_max; ++i) dump = dump_interfaces();
  known_is_current_ = dump && !dump->torn;
  if (!dump) return;
  if (dump->torn) {
    keep_unseen(dump->interfaces);
    look_again_later();
  }
  known_ = std::move(dump->interfaces);
}

// Where interfaces come and go all the time, one that is not seen may have been skipped: it stays, with its addresses,
// until we look again.
void NetlinkView::keep_unseen(std::vector<Known>& seen) const {
  for (const Known& known : known_) {
    const auto same = std::ranges::find_if(seen, [&](const Known& k) {
      return k.snapshot.index == known.snapshot.index || k.snapshot.name == known.snapshot.name;
    });
    if (same == seen.end()) {
      seen.push_back(known);
    } else if (same->snapshot.index == known.snapshot.index) {
      for (const IpAddress& address : known.snapshot.addresses) {
        if (!has_address(same->snapshot, address)) same->snapshot.addresses.push_back(address);
      }
    }
  }
}

// The answer to this wakes whoever polls, who takes it for a change.
void NetlinkView::look_again_later() {
  alignas(nlmsghdr) std::array<char, question_bytes> question{};
  const nlmsghdr* request = ask_link(question.data(), lo_index);
  static_cast<void>(mnl_socket_sendto(monitor_.get(), request, request->nlmsg_len));
}

std::vector<verbs::InterfaceSnapshot> NetlinkView::interfaces() {
  rt::Lock lock(mutex_);
  look();
  std::vector<verbs::InterfaceSnapshot> snapshots;
  snapshots.reserve(known_.size());
  for (const Known& known : known_) snapshots.push_back(known.snapshot);
  return snapshots;
}

std::optional<std::uint32_t> NetlinkView::known_owner(const IpAddress& address, std::uint32_t scope) const {
  for (const Known& known : known_) {
    if (known.snapshot.owns(address, scope)) return known.snapshot.index;
  }
  return std::nullopt;
}

Result<std::uint32_t> NetlinkView::owner(const IpAddress& address, std::uint32_t scope) {
  if (known_is_current_) {
    if (const auto index = known_owner(address, scope)) return *index;
  }
  look();
  if (const auto index = known_owner(address, scope)) return *index;
  return fail(ENODEV);
}

// For the rare route without a preferred source.
Result<IpAddress> NetlinkView::any_address(std::uint32_t interface, bool v4) {
  look();
  for (const Known& known : known_) {
    if (known.snapshot.index != interface) continue;
    for (const IpAddress& address : known.snapshot.addresses) {
      if (address.is_v4() == v4) return address;
    }
  }
  return fail(EADDRNOTAVAIL);
}

Result<Route> NetlinkView::route(const IpAddress& destination, const std::optional<IpAddress>& source,
                                 std::uint32_t interface) {
  alignas(nlmsghdr) std::array<char, question_bytes> question{};
  rt::Lock lock(mutex_);
  if (!known_is_current_) look();
  if (source && !owner(*source, interface)) return fail(EADDRNOTAVAIL);
  std::optional<RouteMessage> answer;
  const Status asked = query_->ask(ask_route(question.data(), destination, source, interface),
                                   [&](const nlmsghdr* message) { answer = parse_route(message); });
  if (!asked) return fail(asked.error());
  if (!answer || !answer->usable) return fail(EHOSTUNREACH);
  Route route;
  route.local = answer->local;
  route.gateway = answer->gateway;
  route.hop_limit = answer->hop_limit.value_or(route.hop_limit);
  route.interface = answer->interface;
  // The kernel says lo for our own addresses, which is how the datagrams go; and for an IPv6 address of an interface
  // that has only just come up it does not say so yet. Without an interface asked for, a link-local address that is not
  // ours is one on the link that the route leaves by.
  const std::optional<std::uint32_t> of_owner =
      route.local ? owner(destination, interface).value_or(answer->interface)
                  : known_owner(destination, interface != 0 ? interface : answer->interface);
  if (of_owner) {
    route.local = true;
    route.gateway.reset();
    route.interface = *of_owner;
  }
  if (source) {
    route.source = *source;
  } else if (answer->source) {
    route.source = *answer->source;
  } else {
    const auto any = route.local ? Result<IpAddress>(destination) : any_address(route.interface, destination.is_v4());
    if (!any) return fail(any.error());
    route.source = *any;
  }
  return route;
}

bool NetlinkView::needs_no_neighbour(std::uint32_t interface) {
  if (!known_is_current_) look();
  return std::ranges::any_of(known_, [&](const Known& k) { return k.snapshot.index == interface && k.no_neighbours; });
}

Result<Mac> NetlinkView::neighbour(std::uint32_t interface, const IpAddress& address) {
  alignas(nlmsghdr) std::array<char, question_bytes> question{};
  {
    rt::Lock lock(mutex_);
    if (needs_no_neighbour(interface)) return Mac{};
    std::optional<NeighbourChange> entry;
    const Status asked = query_->ask(ask_neighbour(question.data(), interface, address),
                                     [&](const nlmsghdr* message) { entry = parse_neighbour(message); });
    if (asked && entry && entry->mac) return *entry->mac;
    if (!asked && errno_of(asked) == ENODEV) return fail(ENODEV);
  }
  provoke(interface, address);
  return fail(ENODATA);
}

std::pair<std::uint16_t, std::uint16_t> NetlinkView::local_port_range() {
  std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
  std::uint16_t low = 0, high = 0;
  if (file >> low >> high && low != 0 && low <= high) return {low, high};
  return {32768, 60999};  // the kernel's default
}

bool NetlinkView::may_bind_privileged() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return false;
  return (data[CAP_TO_INDEX(CAP_NET_BIND_SERVICE)].effective & CAP_TO_MASK(CAP_NET_BIND_SERVICE)) != 0;
}

bool NetlinkView::bind_v6_only() {
  std::ifstream file("/proc/sys/net/ipv6/bindv6only");
  int value = 0;
  return file >> value && value != 0;
}

void NetlinkView::set_observer(Observer observer) {
  rt::Lock lock(mutex_);
  observer_ = std::move(observer);
}

int NetlinkView::poll_fd() const { return mnl_socket_get_fd(monitor_.get()); }

void NetlinkView::poll() {
  alignas(nlmsghdr) std::array<char, netlink_datagram_bytes> buffer;
  bool changed = false;
  std::vector<NeighbourChange> neighbours;
  for (;;) {
    const ssize_t size = mnl_socket_recvfrom(monitor_.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == ENOBUFS) {
      // Messages were lost: look at everything again. The neighbours come as answers on this same socket.
      changed = true;
      alignas(nlmsghdr) std::array<char, question_bytes> question{};
      const nlmsghdr* request = ask_dump(question.data(), RTM_GETNEIGH);
      static_cast<void>(mnl_socket_sendto(monitor_.get(), request, request->nlmsg_len));
      continue;
    }
    if (size <= 0) break;
    std::span<const char> datagram(buffer.data(), static_cast<std::size_t>(size));
    while (const nlmsghdr* message = next_message(datagram)) {
      switch (message->nlmsg_type) {
        case RTM_NEWLINK:
        case RTM_DELLINK:
        case RTM_NEWADDR:
        case RTM_DELADDR: changed = true; break;
        case RTM_NEWNEIGH:
        case RTM_DELNEIGH:
          if (auto neighbour = parse_neighbour(message)) neighbours.push_back(*neighbour);
          break;
        default: break;
      }
    }
  }
  Observer observer;
  {
    rt::Lock lock(mutex_);
    if (changed) known_is_current_ = false;
    observer = observer_;
  }
  if (changed && observer.interfaces_changed) observer.interfaces_changed();
  for (const NeighbourChange& neighbour : neighbours) {
    if (observer.neighbour_changed) observer.neighbour_changed(neighbour);
  }
}

}  // namespace hawser::addr
