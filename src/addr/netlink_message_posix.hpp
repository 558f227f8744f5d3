// rtnetlink messages ↔ our types. Private to addr.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "addr/network.hpp"

struct nlmsghdr;

namespace hawser::addr {

inline constexpr std::size_t netlink_datagram_bytes = 32768;  // what the kernel fills at most in a dump

// Takes the next message off a datagram; null at its end, or where it is broken. (libmnl's own loop takes a length
// beyond 2^31 for a negative one, and follows it.)
[[nodiscard]] const nlmsghdr* next_message(std::span<const char>& datagram);

struct LinkMessage {
  std::uint32_t index{};
  std::uint16_t hardware_type{};
  bool no_arp{};
  verbs::InterfaceSnapshot snapshot;  // without addresses
};
[[nodiscard]] std::optional<LinkMessage> parse_link(const nlmsghdr* message);

struct AddressMessage {
  std::uint32_t interface{};
  IpAddress address;
};
// nullopt also for an address that may not be used yet (duplicate detection runs).
[[nodiscard]] std::optional<AddressMessage> parse_address(const nlmsghdr* message);

struct RouteMessage {
  bool local{}, usable{};  // usable: unicast or local
  std::uint32_t interface{};
  std::optional<IpAddress> source, gateway;
  std::optional<std::uint8_t> hop_limit;
};
[[nodiscard]] std::optional<RouteMessage> parse_route(const nlmsghdr* message);

[[nodiscard]] std::optional<NeighbourChange> parse_neighbour(const nlmsghdr* message);

// Questions, written into `buffer`.
nlmsghdr* ask_dump(void* buffer, std::uint16_t type);
nlmsghdr* ask_link(void* buffer, std::uint32_t interface);
nlmsghdr* ask_route(void* buffer, const IpAddress& destination, const std::optional<IpAddress>& source,
                    std::uint32_t interface);
nlmsghdr* ask_neighbour(void* buffer, std::uint32_t interface, const IpAddress& address);

}  // namespace hawser::addr
