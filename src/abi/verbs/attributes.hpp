// Between structs of verbs.h and those of verbs.
#pragma once

#include "abi/verbs/verbs_header.hpp"
#include "verbs/address.hpp"

namespace hawser::abi {

[[nodiscard]] Gid gid_of(const ibv_gid& gid);
[[nodiscard]] verbs::AddressVector address_of(const ibv_ah_attr& attributes);
[[nodiscard]] ibv_ah_attr public_address(const verbs::AddressVector& vector);

}  // namespace hawser::abi
