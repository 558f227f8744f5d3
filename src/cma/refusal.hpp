// Why the connection manager says no: the error category of ids (base/refusal.hpp).
#pragma once

#include <cstdint>

#include "base/refusal.hpp"
#include "cma/contract.hpp"
#include "cma/types.hpp"

namespace hawser::cma {

enum class Rule : std::uint8_t {
  none,
  needs_idle,
  needs_bound,
  needs_address,
  needs_route,
  needs_connect,
  needs_connection,
  needs_device,
  not_listening,
  idle_or_bound,
  device_gone,
  own_handler,
  address_family,
  family_differs,
  address_not_ours,
  no_scope,
  no_infiniband,
  port_conflict,
  port_privileged,
  private_data_too_long,
  timeout_not_positive,
  wrong_qp_type,
  rnr_timer_range,
  ended,
  needs_handler_lock,
  bound_or_resolved,
  datagrams_only,
  no_group,
  group_not_ipv4,
  group_refused,
  no_membership,
  not_in_handler,
  qkey_differs,
  datagram_data_too_long,
  no_subnet_admin,
};

[[nodiscard]] const RefusalCategory& refusal_category();

// `state`: of the id, when it was asked.
[[nodiscard]] inline std::unexpected<std::error_code> refuse(int errno_value, Entry entry, State state, Rule rule) {
  return hawser::refuse(refusal_category(), {errno_value, static_cast<std::uint8_t>(entry),
                                             static_cast<std::uint8_t>(state), static_cast<std::uint8_t>(rule)});
}

}  // namespace hawser::cma
