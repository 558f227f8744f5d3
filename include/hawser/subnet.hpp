// What a subnet administrator knows: services and paths. InfiniBand networks have one; a RoCE network has none, so here
// it is the simulated one (SimulatedHost::subnet) that answers IdRef::resolve_ib_service() and resolve_route().
#pragma once

#include <cstdint>
#include <string>

#include "hawser/address.hpp"
#include "hawser/types.hpp"

namespace hawser {

struct ServiceQuery {
  std::string name;  // empty: by id
  ServiceId id;
};

// struct sa_service_rec. The low 16 bits of the id are the port.
struct ServiceRecord {
  ServiceId id;
  Gid gid;
  PKey pkey{pkey_default};
  std::string name;
};

// struct sa_path_rec, as far as a connection follows it. IBTA's encodings.
struct PathRecord {
  Mtu mtu{Mtu::mtu_1024};
  std::uint8_t sl{}, rate{}, packet_life_time{};
};

}  // namespace hawser
