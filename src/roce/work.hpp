// Work requests and completions as the protocol engines see them. Values are those of verbs.h, so that abi copies them.
#pragma once

#include <cstdint>
#include <memory>

#include <boost/container/small_vector.hpp>

#include "base/ip.hpp"
#include "base/types.hpp"

namespace hawser::roce {

enum class WorkOp : std::uint8_t {  // enum ibv_wr_opcode
  rdma_write = 0,
  rdma_write_with_imm = 1,
  send = 2,
  send_with_imm = 3,
  rdma_read = 4,
  atomic_cmp_and_swp = 5,
  atomic_fetch_and_add = 6,
  send_with_inv = 9,
};

enum class WcStatus : std::uint8_t {  // enum ibv_wc_status
  success = 0,
  loc_len_err = 1,
  loc_qp_op_err = 2,
  loc_prot_err = 4,
  wr_flush_err = 5,
  mw_bind_err = 6,
  bad_resp_err = 7,
  loc_access_err = 8,
  rem_inv_req_err = 9,
  rem_access_err = 10,
  rem_op_err = 11,
  retry_exc_err = 12,
  rnr_retry_exc_err = 13,
  fatal_err = 19,
  general_err = 22,
};

enum class WcOpcode : std::uint8_t {  // enum ibv_wc_opcode
  send = 0,
  rdma_write = 1,
  rdma_read = 2,
  comp_swap = 3,
  fetch_add = 4,
  recv = 128,
  recv_rdma_with_imm = 129,
};

namespace access {  // enum ibv_access_flags
inline constexpr std::uint32_t local_write = 1, remote_write = 2, remote_read = 4, remote_atomic = 8;
inline constexpr std::uint32_t remote = remote_write | remote_read | remote_atomic;
}  // namespace access

inline constexpr std::uint32_t message_bytes_max = 1U << 31;  // IBTA 9.7.7.1.1
inline constexpr std::uint32_t atomic_bytes = 8;

struct Sge {
  std::uint64_t addr{};
  std::uint32_t length{};
  LKey lkey{};
};
using SgeList = boost::container::small_vector<Sge, 4>;

// Where datagrams go: what an address handle stands for.
struct UdAddress {
  Gid local, remote;
  std::uint32_t interface{};  // index; for link-local and multicast addresses
  std::uint8_t traffic_class{}, hop_limit{64};
};
struct UdDestination {
  std::shared_ptr<const UdAddress> address;
  Qpn qpn;
  QKey qkey;
};

struct SendWork {
  std::uint64_t wr_id{};
  WorkOp op{WorkOp::send};
  bool signaled{}, solicited{}, fence{}, inlined{};
  std::uint32_t imm_data{};  // network byte order, as in ibv_send_wr
  RKey invalidate_rkey{};    // send_with_inv
  std::uint64_t remote_addr{};
  RKey rkey{};
  std::uint64_t compare_add{}, swap{};
  UdDestination ud;                                           // datagrams only
  SgeList sges;                                               // unused when inlined
  boost::container::small_vector<std::byte, 64> inline_data;  // copied at post time
};

struct RecvWork {
  std::uint64_t wr_id{};
  SgeList sges;
};

struct Completion {
  std::uint64_t wr_id{};
  WcStatus status{WcStatus::success};
  WcOpcode opcode{};
  std::uint32_t byte_len{};
  std::uint32_t imm_data{};  // network byte order
  RKey invalidated_rkey{};
  Qpn source{};  // of a datagram
  bool with_imm{}, with_inv{}, solicited{};
  bool with_network_header{};  // 40 bytes of it precede the payload, and are in byte_len
  std::uint32_t vendor_err{};  // the AETH syndrome that caused it, if any
};

}  // namespace hawser::roce
