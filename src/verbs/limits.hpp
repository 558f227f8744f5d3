// What one device offers at most. ibv_query_device tells programs, and creation enforces it.
#pragma once

#include <cstdint>

#include "roce/work.hpp"

namespace hawser::verbs::limits {

inline constexpr std::uint32_t qp_max = 1U << 16;
inline constexpr std::uint32_t qp_wr_max = 1U << 15;  // per queue
inline constexpr std::uint32_t sge_max = 32;          // per work request
inline constexpr std::uint32_t inline_bytes_max = 1024;
inline constexpr std::uint32_t cq_max = 1U << 17;
inline constexpr std::uint32_t cqe_max = 1U << 22;  // per CQ
inline constexpr std::uint32_t mr_max = (1U << 20) - 2;
inline constexpr std::uint32_t pd_max = 1U << 16;
inline constexpr std::uint32_t srq_max = 1U << 16;
inline constexpr std::uint32_t ah_max = 1U << 20;
inline constexpr std::uint32_t multicast_groups_max = 20;  // net.ipv4.igmp_max_memberships may allow more
inline constexpr std::uint32_t rd_atomic_max = 128;        // READs and atomics outstanding, per QP and direction
using roce::message_bytes_max;
// The reported size of the table; an index is a byte in ibv_ah_attr.
inline constexpr std::uint32_t gid_table_entries = 256;

}  // namespace hawser::verbs::limits
