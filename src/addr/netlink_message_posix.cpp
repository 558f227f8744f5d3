#include "addr/netlink_message_posix.hpp"

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>

#include <libmnl/libmnl.h>

namespace hawser::addr {
namespace {

std::optional<IpAddress> address_of(const nlattr* attribute) {
  const std::size_t size = mnl_attr_get_payload_len(attribute);
  const auto* bytes = static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute));
  if (size == 4) {
    std::uint32_t network_order = 0;
    std::memcpy(&network_order, bytes, 4);
    return IpAddress::v4(ntohl(network_order));
  }
  if (size != 16) return std::nullopt;
  IpAddress address;
  std::copy_n(bytes, 16, address.bytes.begin());
  return address;
}

std::optional<std::uint32_t> number_of(const nlattr* attribute) {
  if (mnl_attr_get_payload_len(attribute) < sizeof(std::uint32_t)) return std::nullopt;
  return mnl_attr_get_u32(attribute);
}

void put_address(nlmsghdr* message, std::uint16_t type, const IpAddress& address) {
  if (address.is_v4()) {
    mnl_attr_put_u32(message, type, htonl(address.v4_host_order()));
  } else {
    mnl_attr_put(message, type, address.bytes.size(), address.bytes.data());
  }
}

std::uint8_t family_of(const IpAddress& address) { return address.is_v4() ? AF_INET : AF_INET6; }

template <class Header>
const Header* header_of(const nlmsghdr* message) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(Header)) return nullptr;
  return static_cast<const Header*>(mnl_nlmsg_get_payload(message));
}

template <class Header, class Handle>
void each_attribute(const nlmsghdr* message, Handle&& handle) {
  auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, sizeof(Header)));
  const char* const end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    handle(attribute);
    attribute = mnl_attr_next(attribute);
  }
}

std::optional<std::uint8_t> hop_limit_of(const nlattr* metrics) {
  std::optional<std::uint8_t> limit;
  auto* metric = static_cast<const nlattr*>(mnl_attr_get_payload(metrics));
  const char* const end = reinterpret_cast<const char*>(metric) + mnl_attr_get_payload_len(metrics);
  while (mnl_attr_ok(metric, static_cast<int>(end - reinterpret_cast<const char*>(metric)))) {
    const auto value = number_of(metric);
    if (mnl_attr_get_type(metric) == RTAX_HOPLIMIT && value && *value > 0 && *value < 256) {
      limit = static_cast<std::uint8_t>(*value);
    }
    metric = mnl_attr_next(metric);
  }
  return limit;
}

}  // namespace

const nlmsghdr* next_message(std::span<const char>& datagram) {
  if (datagram.size() < sizeof(nlmsghdr)) return nullptr;
  const auto* message = reinterpret_cast<const nlmsghdr*>(datagram.data());
  const std::size_t length = message->nlmsg_len;
  if (length < sizeof(nlmsghdr) || length > datagram.size()) return nullptr;
  const std::size_t aligned = (length + NLMSG_ALIGNTO - 1) / NLMSG_ALIGNTO * NLMSG_ALIGNTO;
  datagram = datagram.subspan(std::min(aligned, datagram.size()));
  return message;
}

std::optional<LinkMessage> parse_link(const nlmsghdr* message) {
  const auto* header = header_of<ifinfomsg>(message);
  if (header == nullptr || header->ifi_index <= 0) return std::nullopt;
  LinkMessage link;
  link.index = link.snapshot.index = static_cast<std::uint32_t>(header->ifi_index);
  link.hardware_type = header->ifi_type;
  link.no_arp = (header->ifi_flags & (IFF_NOARP | IFF_LOOPBACK | IFF_POINTOPOINT)) != 0;
  link.snapshot.loopback = (header->ifi_flags & IFF_LOOPBACK) != 0;
  link.snapshot.up = (header->ifi_flags & IFF_UP) != 0 && (header->ifi_flags & IFF_LOWER_UP) != 0;
  each_attribute<ifinfomsg>(message, [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case IFLA_IFNAME: {
        const auto* text = static_cast<const char*>(mnl_attr_get_payload(attribute));
        link.snapshot.name.assign(text, strnlen(text, mnl_attr_get_payload_len(attribute)));
        break;
      }
      case IFLA_MTU: link.snapshot.mtu_bytes = number_of(attribute).value_or(0); break;
      case IFLA_ADDRESS:
        if (mnl_attr_get_payload_len(attribute) == link.snapshot.mac.size()) {
          std::memcpy(link.snapshot.mac.data(), mnl_attr_get_payload(attribute), link.snapshot.mac.size());
        }
        break;
      default: break;
    }
  });
  return link;
}

std::optional<AddressMessage> parse_address(const nlmsghdr* message) {
  const auto* header = header_of<ifaddrmsg>(message);
  if (header == nullptr) return std::nullopt;
  std::uint32_t flags = header->ifa_flags;
  std::optional<IpAddress> local, address;
  each_attribute<ifaddrmsg>(message, [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case IFA_LOCAL: local = address_of(attribute); break;  // our end, where IFA_ADDRESS may be the peer's
      case IFA_ADDRESS: address = address_of(attribute); break;
      case IFA_FLAGS: flags = number_of(attribute).value_or(flags); break;
      default: break;
    }
  });
  const auto ours = local ? local : address;
  if (!ours || (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) != 0) return std::nullopt;
  return AddressMessage{header->ifa_index, *ours};
}

std::optional<RouteMessage> parse_route(const nlmsghdr* message) {
  const auto* header = header_of<rtmsg>(message);
  if (header == nullptr) return std::nullopt;
  RouteMessage route;
  route.local = header->rtm_type == RTN_LOCAL;
  route.usable = route.local || header->rtm_type == RTN_UNICAST || header->rtm_type == RTN_MULTICAST;
  each_attribute<rtmsg>(message, [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case RTA_OIF: route.interface = number_of(attribute).value_or(0); break;
      case RTA_PREFSRC: route.source = address_of(attribute); break;
      case RTA_GATEWAY: route.gateway = address_of(attribute); break;
      case RTA_METRICS: route.hop_limit = hop_limit_of(attribute); break;
      case RTA_VIA: {  // an IPv4 route through an IPv6 neighbour
        const std::size_t size = mnl_attr_get_payload_len(attribute);
        if (size == sizeof(sa_family_t) + 16) {
          IpAddress gateway;
          std::memcpy(gateway.bytes.data(),
                      static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute)) + sizeof(sa_family_t), 16);
          route.gateway = gateway;
        }
        break;
      }
      default: break;
    }
  });
  return route;
}

std::optional<NeighbourChange> parse_neighbour(const nlmsghdr* message) {
  constexpr unsigned valid = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY;
  const auto* header = header_of<ndmsg>(message);
  if (header == nullptr || (header->ndm_family != AF_INET && header->ndm_family != AF_INET6)) return std::nullopt;
  NeighbourChange change;
  change.interface = static_cast<std::uint32_t>(header->ndm_ifindex);
  std::optional<IpAddress> address;
  std::optional<Mac> mac;
  each_attribute<ndmsg>(message, [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == NDA_DST) address = address_of(attribute);
    if (mnl_attr_get_type(attribute) == NDA_LLADDR && mnl_attr_get_payload_len(attribute) == sizeof(Mac)) {
      mac.emplace();
      std::memcpy(mac->data(), mnl_attr_get_payload(attribute), mac->size());
    }
  });
  if (!address) return std::nullopt;
  change.address = *address;
  if (message->nlmsg_type == RTM_NEWNEIGH && (header->ndm_state & valid) != 0) change.mac = mac;
  return change;
}

nlmsghdr* ask_dump(void* buffer, std::uint16_t type) {
  nlmsghdr* message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = type;
  message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  // The largest of the headers in question; the kernel looks at the family, which is 0 (all), in the first byte.
  mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg));
  return message;
}

nlmsghdr* ask_link(void* buffer, std::uint32_t interface) {
  nlmsghdr* message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = RTM_GETLINK;
  message->nlmsg_flags = NLM_F_REQUEST;
  auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  header->ifi_index = static_cast<int>(interface);
  return message;
}

nlmsghdr* ask_route(void* buffer, const IpAddress& destination, const std::optional<IpAddress>& source,
                    std::uint32_t interface) {
  nlmsghdr* message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = RTM_GETROUTE;
  message->nlmsg_flags = NLM_F_REQUEST;
  auto* header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(rtmsg)));
  const auto bits = static_cast<unsigned char>(destination.is_v4() ? 32 : 128);
  header->rtm_family = family_of(destination);
  header->rtm_dst_len = bits;
  put_address(message, RTA_DST, destination);
  if (source) {
    header->rtm_src_len = bits;
    put_address(message, RTA_SRC, *source);
  }
  if (interface != 0) mnl_attr_put_u32(message, RTA_OIF, interface);
  return message;
}

nlmsghdr* ask_neighbour(void* buffer, std::uint32_t interface, const IpAddress& address) {
  nlmsghdr* message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = RTM_GETNEIGH;
  message->nlmsg_flags = NLM_F_REQUEST;
  auto* header = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ndmsg)));
  header->ndm_family = family_of(address);
  header->ndm_ifindex = static_cast<int>(interface);
  put_address(message, NDA_DST, address);
  return message;
}

}  // namespace hawser::addr
