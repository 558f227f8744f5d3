// Memory, queue pairs and completions: what a connection needs to move data. Thin handles over the software device,
// with the field's names; rdma-core's man pages (ibv_post_send(3) …) describe what each does.
//
// Ownership: handles share what they name; it ends with its last handle or user (a Pd lives while its Mrs and queue
// pairs do). All of it ends before the Stack that it was made with.
// Threading: every function may be called from any thread, and from handlers, unless it says otherwise. None of them
// runs a program's handler.
// Errors: the errnos of the man pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hawser/address.hpp"
#include "hawser/error.hpp"
#include "hawser/types.hpp"

namespace hawser {

class Stack;

// A device: one network interface as RDMA sees it. Stays valid after its interface has gone, and says so.
class Device {
 public:
  Device() = default;  // none
  [[nodiscard]] explicit operator bool() const { return impl_ != nullptr; }
  [[nodiscard]] std::string name() const;            // "hw_eth0"
  [[nodiscard]] std::string interface_name() const;  // "eth0"
  [[nodiscard]] Guid guid() const;
  [[nodiscard]] std::vector<Gid> gids() const;  // the addresses of the interface
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] bool is_active() const;  // the port: the interface is up
  [[nodiscard]] bool is_gone() const;
  bool operator==(const Device& other) const;

  class Impl;
  explicit Device(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  [[nodiscard]] const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

// Rights to memory: enum ibv_access_flags. Remote writes and atomics need local_write too.
enum class Access : std::uint32_t { none = 0, local_write = 1, remote_write = 2, remote_read = 4, remote_atomic = 8 };
[[nodiscard]] constexpr Access operator|(Access a, Access b) {
  return static_cast<Access>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b));
}

// A piece of registered memory of this program, for work requests: struct ibv_sge.
struct LocalMemory {
  std::uint64_t address{};
  std::uint32_t length{};
  LKey lkey;
};

// Memory of the peer, as it told us.
struct RemoteMemory {
  std::uint64_t address{};
  RKey rkey;
};

// A memory region. The program's memory must outlive it.
class Mr {
 public:
  Mr() = default;
  [[nodiscard]] LocalMemory all() const;
  // `length` bytes from `offset` on; what lies outside of the region fails when it is used.
  [[nodiscard]] LocalMemory slice(std::size_t offset, std::size_t length) const;
  [[nodiscard]] RemoteMemory remote() const;  // to be told to the peer

  class Impl;
  explicit Mr(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

 private:
  std::shared_ptr<Impl> impl_;
};

// A protection domain.
class Pd {
 public:
  Pd() = default;
  // ENODEV: the device has gone, or it is none of this Stack's.
  [[nodiscard]] static Result<Pd> create(Stack& stack, const Device& device);
  // EINVAL: rights that make no sense. EFAULT: memory that is not the program's.
  [[nodiscard]] Result<Mr> register_memory(std::span<std::byte> memory, Access access = Access::local_write);
  [[nodiscard]] Device device() const;

  class Impl;
  explicit Pd(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  [[nodiscard]] const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

// In front of each datagram that is received lie 40 bytes of network header (InfiniBand's GRH), in the receive's memory
// and in byte_len. The payload comes behind them.
inline constexpr std::size_t grh_bytes = 40;

// Where datagrams go, and from where: struct rdma_ah_attr, as far as RoCE has it.
struct AhAttr {
  Gid source;       // one of the device's own
  Gid destination;  // of the same family; a multicast group's too
  std::uint8_t traffic_class{}, hop_limit{64};
  std::uint32_t flow_label{};  // IPv6, 20 bits
  bool operator==(const AhAttr&) const = default;
};

struct Completion;

// A destination that datagrams can be sent to, ready for use: struct ib_ah. Immutable.
class AddressHandle {
 public:
  AddressHandle() = default;  // none
  [[nodiscard]] explicit operator bool() const { return impl_ != nullptr; }
  // ib_create_ah(). EINVAL: the source is not the device's, no destination, or one of another family. EIO: the device
  // has gone. ENOMEM: too many.
  [[nodiscard]] static Result<AddressHandle> create(const Pd& pd, const AhAttr& attributes);
  // ib_create_ah_from_wc(): back to whom a datagram came from. `received`: what was received, from the first byte of
  // its network header on. EINVAL: the completion has none.
  [[nodiscard]] static Result<AddressHandle> create_from_wc(const Pd& pd, const Completion& wc,
                                                            std::span<const std::byte> received);

  class Impl;
  explicit AddressHandle(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  [[nodiscard]] const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  std::shared_ptr<Impl> impl_;
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
[[nodiscard]] const char* name(WcStatus status);  // "work request flushed"

enum class WcOpcode : std::uint8_t {  // enum ibv_wc_opcode
  send = 0,
  rdma_write = 1,
  rdma_read = 2,
  comp_swap = 3,
  fetch_add = 4,
  recv = 128,
  recv_rdma_with_imm = 129,
};

// struct ibv_wc
struct Completion {
  std::uint64_t wr_id{};
  WcStatus status{};
  WcOpcode opcode{};  // only if status is success
  std::uint32_t byte_len{};
  std::uint32_t imm_data{};  // as the sender gave it
  bool with_imm{};
  Qpn qpn;
  Qpn src_qpn;      // of a datagram: who sent it
  bool with_grh{};  // of a datagram: its network header is there
};

// A completion queue, with a completion channel of its own.
class Cq {
 public:
  Cq() = default;
  [[nodiscard]] static Result<Cq> create(Stack& stack, const Device& device, std::uint32_t capacity);

  // Takes what is there, oldest first, and makes progress when nothing is. Returns how many. Never blocks.
  std::size_t poll(std::span<Completion> out);
  // Blocks until something is there, and takes it. On a simulated network it makes time pass meanwhile, and fails with
  // EDEADLK when nothing can come any more. EINTR when a signal handler without SA_RESTART ran.
  Result<std::size_t> wait(std::span<Completion> out);

  // For a program's own poll() or epoll: request_notification(), poll() until nothing is left, sleep until fd() is
  // readable, clear_notification().
  [[nodiscard]] int fd() const;
  void request_notification(bool solicited_only = false);
  void clear_notification();

  class Impl;
  explicit Cq(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  [[nodiscard]] const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

struct QpInit {
  Cq send_cq, recv_cq;
  std::uint32_t max_send_wr{16}, max_recv_wr{16}, max_send_sge{1}, max_recv_sge{1}, max_inline_bytes{};
};

struct SendOptions {
  bool signaled{true}, solicited{}, fence{};
  bool inline_data{};                       // copied at once, so the memory need not be registered nor stay
  std::optional<std::uint32_t> imm_data{};  // SEND and RDMA WRITE
};

// The queue pair that a datagram is for, and the key that it asks for: of CmEvent::ud, or of a completion (whose queue
// pair has the key that we have, where both ends are of port space UDP).
struct UdDestination {
  AddressHandle ah;
  Qpn qpn;
  QKey qkey{qkey_udp};
};

// The queue pair of an id (IdRef::create_qp). The connection manager moves its states; that of a datagram id can send
// and receive at once. After the id has ended, or destroy_qp(), everything fails with EINVAL.
class Qp {
 public:
  Qp() = default;
  [[nodiscard]] explicit operator bool() const { return impl_ != nullptr; }
  [[nodiscard]] Qpn qpn() const;
  // EINVAL: the state does not allow it (receives: as soon as there is a queue pair; the rest: once connected), beyond
  // what QpInit asked for, or no work for a queue pair of this type. ENOMEM: the queue is full.
  Status post_receive(std::uint64_t wr_id, const LocalMemory& to);
  Status post_send(std::uint64_t wr_id, const LocalMemory& from, const SendOptions& options = {});
  // Of datagram ids: at most the port's MTU. Whether it arrives, nobody says.
  Status post_send(std::uint64_t wr_id, const LocalMemory& from, const UdDestination& to,
                   const SendOptions& options = {});
  Status post_write(std::uint64_t wr_id, const LocalMemory& from, const RemoteMemory& to,
                    const SendOptions& options = {});
  Status post_read(std::uint64_t wr_id, const LocalMemory& to, const RemoteMemory& from,
                   const SendOptions& options = {});

  class Impl;
  explicit Qp(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  [[nodiscard]] const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace hawser
