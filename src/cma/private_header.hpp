// The connection manager's own header at the start of the private data of REQ and SIDR_REQ [spec 1.11]: whose address
// asks for whose.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/ip.hpp"
#include "base/result.hpp"

namespace hawser::cma {

inline constexpr std::size_t private_header_bytes = 36;
inline constexpr std::size_t req_private_data_bytes = 92, sidr_req_private_data_bytes = 216;
inline constexpr std::size_t req_user_data_bytes = req_private_data_bytes - private_header_bytes;
inline constexpr std::size_t sidr_req_user_data_bytes = sidr_req_private_data_bytes - private_header_bytes;

struct PrivateHeader {
  bool v4{};
  std::uint16_t source_port{};  // the destination's port is in the service id
  IpAddress source, destination;
  bool operator==(const PrivateHeader&) const = default;

  // EINVAL: too short, version ≠ 0, or an IP version other than 4 and 6 (an AF_IB request).
  [[nodiscard]] static Result<PrivateHeader> parse(std::span<const std::byte> private_data);
};

// Header and user data in one field of a message. EINVAL for more user data than `user_data_max` [spec 4 #19].
[[nodiscard]] Result<std::vector<std::byte>> with_private_header(const PrivateHeader& header,
                                                                 std::span<const std::byte> user_data,
                                                                 std::size_t user_data_max);

}  // namespace hawser::cma
