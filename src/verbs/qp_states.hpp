// The queue pair state machine: which transitions there are, and which attributes each needs and allows (IBTA 10.3.1,
// table 96 of 11.2.5.2; ibv_modify_qp(3)). Pure data.
#pragma once

#include <cstdint>
#include <optional>

namespace hawser::verbs {

enum class QpState : std::uint8_t { reset, init, rtr, rts, sqd, sqe, err };  // enum ibv_qp_state

enum class QpType : std::uint8_t { rc = 2, ud = 4 };  // enum ibv_qp_type

namespace qp_attr {  // enum ibv_qp_attr_mask
inline constexpr std::uint32_t state = 1U << 0, cur_state = 1U << 1, en_sqd_async_notify = 1U << 2,
                               access_flags = 1U << 3, pkey_index = 1U << 4, port = 1U << 5, qkey = 1U << 6,
                               av = 1U << 7, path_mtu = 1U << 8, timeout = 1U << 9, retry_cnt = 1U << 10,
                               rnr_retry = 1U << 11, rq_psn = 1U << 12, max_qp_rd_atomic = 1U << 13,
                               alt_path = 1U << 14, min_rnr_timer = 1U << 15, sq_psn = 1U << 16,
                               max_dest_rd_atomic = 1U << 17, path_mig_state = 1U << 18, cap = 1U << 19,
                               dest_qpn = 1U << 20, rate_limit = 1U << 25;
}  // namespace qp_attr

struct QpTransition {
  std::uint32_t required{}, optional{};
};

// The attributes of a transition (besides the states themselves); nullopt if there is no such transition.
[[nodiscard]] std::optional<QpTransition> transition(QpType type, QpState from, QpState to);

}  // namespace hawser::verbs
