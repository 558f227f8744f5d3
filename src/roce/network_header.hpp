// The 40 bytes in front of a received datagram's payload, where InfiniBand has a global route header: on RoCEv2 the IP
// header that it came with, IPv6 as it is, IPv4 in the last 20 bytes (IBTA annex A17.4.5.2) [spec 5.1.6].
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/ip.hpp"
#include "fabric/fabric.hpp"

namespace hawser::roce {

inline constexpr std::size_t network_header_bytes = 40;

struct NetworkHeader {
  IpAddress source, destination;
  std::uint8_t traffic_class{}, hop_limit{};
  std::uint32_t flow_label{};  // IPv6
  bool operator==(const NetworkHeader&) const = default;
};

// What a socket does not see is 0: the identification of IPv4, the flow label of IPv6.
[[nodiscard]] std::array<std::byte, network_header_bytes> network_header(const fabric::InDatagram& datagram);

// nullopt if it is neither IPv6 nor, with a valid checksum, IPv4.
[[nodiscard]] std::optional<NetworkHeader> parse_network_header(
    std::span<const std::byte, network_header_bytes> header);

}  // namespace hawser::roce
