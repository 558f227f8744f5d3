// One event on its way to the program: what GET_EVENT reports [spec 6.2].
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "cma/types.hpp"

namespace hawser::ucm {

// Names a user id for ever: handles are counted up and never used again, so an old one can only be unknown.
using Handle = std::uint64_t;

// Bytes that came with an event. The longest field of any message is 216 bytes; all of them fit [spec 1.5].
class PrivateData {
 public:
  static constexpr std::size_t capacity = 256;
  PrivateData() = default;
  explicit PrivateData(std::span<const std::byte> data)
      : size_(static_cast<std::uint16_t>(std::min(data.size(), capacity))) {
    std::copy_n(data.begin(), size_, bytes_.begin());
  }
  [[nodiscard]] std::span<const std::byte> view() const { return {bytes_.data(), size_}; }

 private:
  std::array<std::byte, capacity> bytes_{};
  std::uint16_t size_{};
};

struct EventRecord {
  std::uint64_t uid{};  // CONNECT_REQUEST: the listener's; MULTICAST_*: the membership's
  Handle id{};          // CONNECT_REQUEST: the new id's; MULTICAST_*: the membership's
  Handle owner{};       // whose acks count: the id; the listener for a CONNECT_REQUEST
  Handle multicast{};   // MULTICAST_*: the membership, whose acks count too
  cma::EventType type{};
  int status{};
  std::uint8_t responder_resources{}, initiator_depth{}, flow_control{}, retry_count{}, rnr_retry_count{}, srq{};
  Qpn qpn;
  cma::UdTarget ud;  // MULTICAST_JOIN, and ESTABLISHED of a UD id
  cm::Ece ece;
  PrivateData private_data;  // of the event's `conn` or `ud`, whichever it has
  std::uint64_t arg{};       // USER, INTERNAL: what the program gave
};

}  // namespace hawser::ucm
