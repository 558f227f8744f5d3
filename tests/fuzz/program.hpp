// A program of the connection manager's user commands, or of the C calls of librdmacm and libibverbs, as the fuzzers
// make them up and as a file in tests/corpora/program (or calls) keeps them: threads on two hosts, each a list of calls
// whose arguments come from small tables of values that matter.
//
//   thread near
//   create_id c0 i1 tcp rc
//   resolve_addr c0 i1 unset peer 7471 2s
//   get_event c0 i2 2s
//
// What a name stands for depends on the host: `here` is the thread's own address. Ids, channels and memberships are
// places that all threads of a host share, so that any call may find there what another thread has just destroyed.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hawser::fuzz {

inline constexpr std::size_t channels_per_host = 3, ids_per_host = 8, members_per_host = 4;
inline constexpr std::size_t threads_max = 6, calls_max = 60;

// The commands of the user ABI [spec 6.2], close(2) of a channel, and what the world does in between; then what only
// the C libraries have. Most commands are a C call too.
enum class Op : std::uint8_t {
  create_id,
  destroy_id,
  bind,
  resolve_addr,
  resolve_service,
  query_services,
  resolve_route,
  query_route,
  connect,
  listen,
  accept,
  accept_response,
  reject,
  disconnect,
  init_qp_attr,
  get_event,
  set_option,
  notify,
  join_multicast,
  leave_multicast,
  migrate_id,
  write_event,
  set_qp,
  close,
  happen,
  pause,
  create_sync_id,  // without a channel
  create_ep,
  get_request,
  migrate_sync,
  wait_event,  // blocks
  ack_event,
  create_qp,
  destroy_qp,
  create_srq,
  destroy_srq,
  modify_qp,
  reregister,
  post_recv,
  post_send,
  poll,
  cq_event,
  attach,
  detach,
  ece,
  ports,
  getaddrinfo,
  devices,
};
inline constexpr std::size_t op_count = static_cast<std::size_t>(Op::devices) + 1;

// Who understands a call.
enum class Form : std::uint8_t { commands = 1, calls = 2 };

// What an argument is; for each kind there is one table of values.
enum class Kind : std::uint8_t {
  none,
  channel,
  id,
  member,
  address,
  port,
  space,
  qp_type,
  time,
  backlog,
  length,
  qpn,
  depth,
  reason,
  option,
  target,
  async_event,
  join_flags,
  event,
  happening,
  queue,
  queue_state,
  work,
};
struct Value {
  std::string_view name;
  std::int64_t value{};
};
[[nodiscard]] std::span<const Value> values(Kind kind);

enum class Place : std::uint8_t {
  unset,
  here,
  here6,
  here_too,  // the second device
  peer,
  peer6,
  peer_too,
  nobody,
  any,
  any6,
  loopback,
  loopback6,
  mapped,    // `here` as an IPv6 address
  unscoped,  // link-local without a scope
  group,
  group_too,
  group6,
  infiniband,
};
enum class Setting : std::uint8_t {
  tos,
  reuse,
  no_reuse,
  af_only,
  not_af_only,
  ack_timeout,
  path,
  path_no_mtu,
  no_path,
  response_timeout,
  response_timeout_too_long,
  no_retries,
  report_unreachable,
  too_short,
  unknown,
};
// The attributes of a queue pair.
enum class Queue : std::uint8_t { small, extended, none_asked, too_large, too_many_sges, datagrams, unconnected };
// What is posted.
enum class Work : std::uint8_t {
  plain,
  inlined,
  unsignaled,
  immediate,
  rdma_write,
  rdma_read,
  nothing,
  wrong_key,
  wrong_remote_key,
  too_many_sges,
  inlined_too_long,
  list_with_a_wrong_one,
};
enum class Happening : std::uint8_t {
  device_goes,
  both_devices_go,
  devices_return,
  device_flaps,
  neighbour_moves,
  neighbour_silent,
  bond_fails_over,
};

constexpr std::size_t arguments_max = 6;
struct Command {
  std::string_view name;
  std::array<Kind, arguments_max> arguments{};
};
[[nodiscard]] const Command& command(Op op);
[[nodiscard]] bool has(Form form, Op op);

struct Call {
  Op op{};
  std::array<std::uint8_t, arguments_max> arguments{};  // indices into values()
  bool operator==(const Call&) const = default;

  [[nodiscard]] std::int64_t value(std::size_t argument) const;
  template <class T>
  [[nodiscard]] T as(std::size_t argument) const {
    return static_cast<T>(value(argument));
  }
};

enum class Side : std::uint8_t { near, far };
struct Thread {
  Side side{};
  std::vector<Call> calls;
  bool operator==(const Thread&) const = default;
};
struct Program {
  bool lossy = false;  // the network loses and duplicates
  std::vector<Thread> threads;
  bool operator==(const Program&) const = default;
};

[[nodiscard]] std::string text_of(const Call& call);
[[nodiscard]] std::string text_of(const Program& program);
// The error says which line is wrong, and why. '#' begins a comment.
[[nodiscard]] std::expected<Program, std::string> parse(std::string_view text);

}  // namespace hawser::fuzz
