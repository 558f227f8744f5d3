// Loopback addresses (DESIGN 7): `lo` is a device with the GIDs 127.0.0.1 and ::1, and stands for all of 127/8.
#pragma once

#include "base/ip.hpp"

namespace hawser::cma {

// The GID under which an address is found and reached: itself, but 127.0.0.1 for all of 127/8.
[[nodiscard]] inline Gid gid_of(const IpAddress& address) {
  return address.is_v4() && address.is_loopback() ? IpAddress::v4(0x7F000001) : address;
}

}  // namespace hawser::cma
