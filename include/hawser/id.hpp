// Connection ids (rdma_cm_id) with callbacks, under the contract that the kernel's own users have.
//
// The contract (docs/cxx-api.md explains it; HAWSER_CHECK=1 reports violations on stderr, with both call sites):
//   1. Calls on one id never run in parallel with each other: the caller sees to it.
//   2. The handlers of one id never run in parallel with each other, but may with calls.
//   3. A handler that returns non-zero ends its id, and promises that nobody else touches it.
//   4. From inside the id's own handler those marked (handler) may be called: resolve_route, connect_locked, accept,
//      reject, disconnect, create_qp, destroy_qp, join_multicast, options, queries. resolve_addr, resolve_ib_service,
//      listen, connect and leave_multicast would wait for themselves, and say so (EDEADLK).
//   5. A handler knows its id by the IdRef that it is given. The Id of the owner is no handle for it: its destroy(),
//      its destructor and a move change it while handlers may still run.
//
// Handlers run on a thread that is in Stack::run() or poll(), else on the service thread of the Stack, and must not
// throw. They are short: while one runs, no other handler of the Stack does.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "hawser/address.hpp"
#include "hawser/cm.hpp"
#include "hawser/error.hpp"
#include "hawser/reject.hpp"
#include "hawser/subnet.hpp"
#include "hawser/verbs.hpp"

namespace hawser {

class ChannelImpl;
class CmEvent;
class IdImpl;
class IdRef;
class Stack;

// What the kernel calls rdma_cm_event_handler. The event, and the spans in it, are valid during the call only.
using Handler = std::function<int(IdRef id, CmEvent& event)>;

// Names an id without owning it: struct rdma_cm_id *. Valid while the id lives. Calls on none (default-constructed,
// moved from), or on one that has ended, fail with EINVAL.
//
// The calls are the kernel's, without rdma_. Each says in which states it is allowed ([spec 1.4]); elsewhere it fails
// with EINVAL, and error.message() says what was expected.
class IdRef {
 public:
  IdRef() = default;
  [[nodiscard]] explicit operator bool() const;  // names an id that has not ended
  bool operator==(const IdRef& other) const { return impl_ == other.impl_; }

  // IDLE → ADDR_BOUND. Port 0: any. EADDRINUSE, EADDRNOTAVAIL: the port is taken, or the address is not of this host.
  Status bind_addr(const SocketAddress& address);
  // IDLE (binds on the way) or ADDR_BOUND → ADDR_QUERY; then ADDR_RESOLVED or ADDR_ERROR. `source` may be null, and is
  // ignored on a bound id.
  Status resolve_addr(const SocketAddress* source, const SocketAddress& destination, std::chrono::nanoseconds timeout);
  // ADDR_BOUND → ADDRINFO_QUERY; then ADDRINFO_RESOLVED or ADDRINFO_ERROR. The first service found becomes the id's
  // destination: resolve_route() may follow. EOPNOTSUPP: the id's port has no subnet administrator, as on every network
  // but a simulated one that was given one.
  Status resolve_ib_service(const ServiceQuery& wanted);
  [[nodiscard]] std::vector<ServiceRecord> services() const;  // all that were found
  // ADDR_RESOLVED, ADDRINFO_RESOLVED → ROUTE_QUERY; then ROUTE_RESOLVED or ROUTE_ERROR. (handler)
  Status resolve_route(std::chrono::nanoseconds timeout);
  // ROUTE_RESOLVED → CONNECT; then ESTABLISHED (CONNECT_RESPONSE without a queue pair of create_qp()), REJECTED,
  // UNREACHABLE or CONNECT_ERROR. Of a datagram id: asks which queue pair serves the port; then ESTABLISHED, whose `ud`
  // says whom to send to, UNREACHABLE (a positive status is a SidrStatus) or ADDR_ERROR (the Q_Keys differ).
  Status connect(const ConnParam& param);
  Status connect_locked(const ConnParam& param);  // the same, (handler) or under lock_handler() only
  // IDLE (binds to any port) or ADDR_BOUND → LISTEN; then CONNECT_REQUESTs. On a channel, a request that finds
  // `backlog` unfetched ones is left unanswered, and the peer asks again; with callbacks the number has no meaning.
  Status listen(int backlog);
  // In CONNECT: answers a CONNECT_REQUEST (of a child), or, without parameters, a CONNECT_RESPONSE. (handler) A failed
  // accept rejects the connection. Of a datagram id: tells the peer the queue pair and its Q_Key; no event follows.
  Status accept(const ConnParam& param);
  Status accept();
  // (handler) At most 148 bytes; of a datagram id 136, and the peer hears SidrStatus::reject whatever the reason.
  Status reject(std::span<const std::byte> private_data = {}, RejectReason reason = RejectReason::consumer_defined);
  // Ends the connection; the queue pair flushes at once. 0 also when there is nothing to end any more. (handler)
  Status disconnect();
  // The first message has come before the RTU (IBV_EVENT_COMM_EST): take the connection for established. (handler)
  Status notify_established();

  // Datagram ids in ADDR_BOUND or ADDR_RESOLVED that have a device: joins a group; then MULTICAST_JOIN, whose `ud` says
  // how to send to it, or MULTICAST_ERROR, either with `context`. As a full member the id's queue pair, of now or
  // later, receives what is sent to the group. The membership lasts until it is left or the id ends; joining a group
  // twice makes two of them. (handler) EOPNOTSUPP: a group that is not IPv4's, as in the kernel. ENODEV: no group; the
  // interface cannot join.
  Result<MulticastHandle> join_multicast(const SocketAddress& group, JoinAs as = JoinAs::full_member,
                                         void* context = nullptr);
  // Afterwards no event of the membership is told (any more). EADDRNOTAVAIL: no such membership.
  Status leave_multicast(MulticastHandle membership);

  Status set_reuseaddr(bool reuse);              // IDLE
  Status set_afonly(bool only);                  // IDLE, ADDR_BOUND
  Status set_service_type(std::uint8_t tos);     // any; taken at resolve_route
  Status set_ack_timeout(std::uint8_t timeout);  // RC: 4.096 µs · 2^timeout, 0…31
  Status set_min_rnr_timer(std::uint8_t timer);  // RC: 0…31, IBTA table 45

  // How patient the id's requests are (HAWSER_CM_RESPONSE_TIMEOUT … set it for a whole process); read by connect.
  Status set_response_timeout(std::uint8_t timeout);  // of each transmission: 4.096 µs · 2^timeout, 0…31; usually 20
  Status set_retries(std::uint8_t retries);           // after the first, 0…15; usually 15
  Status set_report_unreachable(bool report);         // a host without an RDMA stack ends it at once: UNREACHABLE

  // Makes the id's queue pair, of the id's type, in INIT: receives may be posted at once. From then on the connection
  // manager moves its states; a datagram queue pair is ready to send from the start. The id must have a device (after
  // ADDR_RESOLVED, or CONNECT_REQUEST), and the Pd and Cqs be of that device: else EINVAL. (handler)
  Result<Qp> create_qp(const Pd& pd, const QpInit& init);
  void destroy_qp();
  [[nodiscard]] Qp qp() const;  // none without create_qp()
  // rdma_init_qp_attr(): what a queue pair of the program's own needs to go to `state`. Without a connection, what INIT
  // needs. EINVAL: no device, or the connection is not that far. (handler)
  [[nodiscard]] Result<QpAttr> init_qp_attr(QpState state) const;

  // Another handler for the events from now on; of a CONNECT_REQUEST's child: before the handler returns. (handler)
  void set_handler(Handler handler);
  // Free for the program; a child's is its listener's at first.
  [[nodiscard]] void* context() const;
  void set_context(void* context);

  [[nodiscard]] IdState state() const;
  [[nodiscard]] SocketAddress local_addr() const;
  [[nodiscard]] SocketAddress peer_addr() const;
  [[nodiscard]] Device device() const;  // none while it is attached to none
  [[nodiscard]] PortSpace port_space() const;
  [[nodiscard]] QpType qp_type() const;
  [[nodiscard]] ServiceId service_id(const SocketAddress& address) const;  // rdma_get_service_id()
  [[nodiscard]] std::pair<Gid, Gid> read_gids() const;                     // rdma_read_gids(): own and the peer's
  [[nodiscard]] std::optional<IdNumber> number()
      const;  // none when the process has more ids than `hawser ids` can show

  // Keeps the id's handlers from running: rdma_lock_handler(). EDEADLK in the id's own handler, or if this thread has
  // locked it already; EINVAL if the id has ended.
  Status lock_handler();
  Status unlock_handler();  // EPERM: this thread has not locked it

 protected:
  friend class ChannelImpl;
  friend class EventChannel;
  friend class IdImpl;
  explicit IdRef(IdImpl* impl) : impl_(impl) {}
  IdImpl* impl_ = nullptr;
};

// Owns an id: its end is rdma_destroy_id(), which waits until no handler of the id runs. In the id's own handler it
// takes effect when the handler returns. Once a handler has returned non-zero the id has ended and this owns nothing.
//
// Threading: as IdRef; move and destroy under the same rule as calls.
class Id : public IdRef {
 public:
  Id() = default;
  Id(Id&& other) noexcept;
  Id& operator=(Id&& other) noexcept;
  ~Id();
  // Ends the id, and waits until no handler of it runs. In a handler, its own or another id's: it ends when that one
  // has returned, and no handler of it is called any more.
  void destroy();

  explicit Id(std::shared_ptr<IdImpl> impl);

 private:
  std::shared_ptr<IdImpl> owned_;
};

// What a handler is told. Moved, never copied: that of a CONNECT_REQUEST carries the new id.
class CmEvent {
 public:
  CmEventType type{};
  int status{};  // 0; -errno (ADDR_ERROR, UNREACHABLE …); REJECTED: the RejectReason; UNREACHABLE > 0: the SidrStatus
  std::span<const std::byte> private_data{};  // the message's whole field, zero padded [spec 1.5]
  // CONNECT_REQUEST, CONNECT_RESPONSE, ESTABLISHED on the active side: what the peer asks for, seen from here, so that
  // it may be given to accept as it is.
  std::uint8_t responder_resources{}, initiator_depth{}, rnr_retry_count{};
  bool flow_control{}, srq{};
  Qpn remote_qpn;
  Ece ece;
  UdParam ud;                 // ESTABLISHED of a datagram id, MULTICAST_JOIN: whom to send to
  MulticastHandle multicast;  // MULTICAST_*: whose event it is
  void* multicast_context{};  // … as given to join_multicast
  std::uint64_t arg{};        // USER, INTERNAL: as given to EventChannel::write_cm_event

  // REJECTED
  [[nodiscard]] RejectReason reject_reason() const { return static_cast<RejectReason>(status); }
  // REJECTED by the peer's program: what it said; else nothing. rdma_consumer_reject_data().
  [[nodiscard]] std::span<const std::byte> consumer_reject_data() const;
  // UNREACHABLE of a datagram id, with a status above 0.
  [[nodiscard]] SidrStatus sidr_status() const { return static_cast<SidrStatus>(status); }
  // CONNECT_REQUEST: the listener. The handler's `id` is the new one.
  [[nodiscard]] IdRef listener() const { return listener_; }
  // CONNECT_REQUEST: makes the new id the caller's. One that nobody has taken when the handler returns is destroyed,
  // and the peer hears a rejection. Afterwards none.
  [[nodiscard]] Id take_id() { return std::move(request_); }
  // "RDMA_CM_EVENT_REJECTED: invalid service ID (8): …"
  [[nodiscard]] std::string text() const;

 private:
  friend class IdImpl;
  IdRef listener_;
  Id request_;
};

}  // namespace hawser
