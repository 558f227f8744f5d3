// One captured frame: from the link layer up to the UDP datagram in it. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "fabric/fabric.hpp"
#include "roce/icrc.hpp"

namespace hawser::capture {

// Values of libpcap's DLT_*; other link types are not understood.
enum class LinkType : int { ethernet = 1, raw = 12, linux_sll = 113, ipv4 = 228, ipv6 = 229, linux_sll2 = 276 };
[[nodiscard]] bool is_supported(int link_type);

// A UDP datagram as a socket would receive it, and what a socket does not show.
struct UdpDatagram {
  fabric::InDatagram datagram;  // payload: in the caller's frame, shorter than it was on the wire if `truncated`
  std::uint16_t destination_port{};
  std::uint16_t identification{};  // IPv4
  bool dont_fragment{true};        // IPv4
  bool fragment{};                 // of a larger datagram; the payload is then not a whole one
  bool truncated{};                // by the capture's snapshot length
  std::uint16_t udp_checksum{};

  [[nodiscard]] roce::IcrcHeaders icrc_headers() const {
    return {.source = datagram.source,
            .destination = datagram.destination,
            .source_port = datagram.source_port,
            .identification = identification,
            .dont_fragment = dont_fragment};
  }
};

// nullopt if the frame holds something else than UDP over IP (without IPv6 extension headers), or too little of it.
[[nodiscard]] std::optional<UdpDatagram> parse_udp(LinkType link, std::span<std::byte> frame);

}  // namespace hawser::capture
