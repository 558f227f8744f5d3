#include "verbs/qp_states.hpp"

#include <span>

namespace hawser::verbs {
namespace {

using namespace qp_attr;  // NOLINT(google-build-using-namespace): a table reads better without prefixes

struct Row {
  QpState from, to;
  QpTransition attributes;
};

constexpr Row rc_table[] = {
    {QpState::reset, QpState::init, {.required = pkey_index | port | access_flags}},
    {QpState::init, QpState::init, {.optional = pkey_index | port | access_flags}},
    {QpState::init,
     QpState::rtr,
     {.required = av | path_mtu | dest_qpn | rq_psn | max_dest_rd_atomic | min_rnr_timer,
      .optional = alt_path | access_flags | pkey_index}},
    {QpState::rtr,
     QpState::rts,
     {.required = timeout | retry_cnt | rnr_retry | sq_psn | max_qp_rd_atomic,
      .optional = cur_state | alt_path | access_flags | min_rnr_timer | path_mig_state}},
    {QpState::rts, QpState::rts, {.optional = cur_state | access_flags | alt_path | path_mig_state | min_rnr_timer}},
    {QpState::rts, QpState::sqd, {.optional = en_sqd_async_notify}},
    {QpState::sqd, QpState::rts, {.optional = cur_state | alt_path | access_flags | min_rnr_timer | path_mig_state}},
    {QpState::sqd,
     QpState::sqd,
     {.optional = port | av | timeout | retry_cnt | rnr_retry | max_qp_rd_atomic | max_dest_rd_atomic | alt_path |
                  access_flags | pkey_index | min_rnr_timer | path_mig_state}},
};

constexpr Row ud_table[] = {
    {QpState::reset, QpState::init, {.required = pkey_index | port | qkey}},
    {QpState::init, QpState::init, {.optional = pkey_index | port | qkey}},
    {QpState::init, QpState::rtr, {.optional = pkey_index | qkey}},
    {QpState::rtr, QpState::rts, {.required = sq_psn, .optional = cur_state | qkey}},
    {QpState::rts, QpState::rts, {.optional = cur_state | qkey}},
    {QpState::rts, QpState::sqd, {.optional = en_sqd_async_notify}},
    {QpState::sqd, QpState::rts, {.optional = cur_state | qkey}},
    {QpState::sqd, QpState::sqd, {.optional = pkey_index | qkey}},
    {QpState::sqe, QpState::rts, {.optional = cur_state | qkey}},
};

[[nodiscard]] std::span<const Row> table_of(QpType type) {
  return type == QpType::rc ? std::span<const Row>(rc_table) : std::span<const Row>(ud_table);
}

}  // namespace

std::optional<QpTransition> transition(QpType type, QpState from, QpState to) {
  if (to == QpState::reset || to == QpState::err) return QpTransition{};
  for (const Row& row : table_of(type)) {
    if (row.from == from && row.to == to) return row.attributes;
  }
  return std::nullopt;
}

}  // namespace hawser::verbs
