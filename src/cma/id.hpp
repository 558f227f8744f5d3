// One rdma_cm_id [spec 1]: the state machine and its locking discipline (DESIGN 4).
//
// The raw contract [spec 2.2]: entry points of one id must not run in parallel with each other (the caller's duty,
// reported with HAWSER_CHECK=1); they may run concurrently with the handler; those marked (handler) may be called from
// inside the handler; connect, destroy and leave_multicast may not.
#pragma once

#include <functional>
#include <memory>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "cm/types.hpp"
#include "cma/types.hpp"
#include "runtime/sync.hpp"
#include "runtime/time.hpp"
#include "verbs/device.hpp"

namespace hawser::cma {

class Id;
using Handler = std::function<int(Id& id, const Event& event)>;

// Snapshot of what a program may ask of an id.
struct Route {
  SocketAddress source, destination;
  verbs::DevicePtr device;  // null while unbound
  std::uint8_t port_number{};
  Gid source_gid, destination_gid;
  cm::Path path;
  bool has_path{};
};

class Id {
 public:
  // Free for the owner. In a CONNECT_REQUEST the child's context is the listener's; the handler sets its own with
  // set_handler(), which it may call on the child during that event.
  [[nodiscard]] void* context() const;
  void set_handler(Handler handler, void* context);

  [[nodiscard]] State state() const;  // one atomic load
  [[nodiscard]] PortSpace port_space() const;
  [[nodiscard]] QpType qp_type() const;
  [[nodiscard]] Route route() const;
  [[nodiscard]] const Id* listener() const;  // of a CONNECT_REQUEST's child, during that event; else null

  // [spec 1.4] gives states and errnos of each.
  Status bind_addr(const SocketAddress& address);
  Status resolve_addr(const SocketAddress* source, const SocketAddress& destination, rt::Duration timeout);
  Status resolve_route(rt::Duration timeout);  // (handler)
  Status set_path(const cm::Path& path);       // OPTION_IB_PATH; no event
  Status connect(const ConnParam& param);
  Status connect_locked(const ConnParam& param);  // (handler) only there
  Status listen(int backlog);
  Status accept(const ConnParam* param);                                         // (handler); null: accept the response
  Status reject(std::uint16_t reason, std::span<const std::byte> private_data);  // (handler)
  Status disconnect();                                                           // (handler)
  Status notify_established();
  [[nodiscard]] Result<cm::QpAttributes> qp_attributes(cm::QpTarget target) const;  // rdma_init_qp_attr
  // The program's QP, for the ledger, the CM's messages, and COMM_EST.
  void set_qp(Qpn qpn, bool srq);

  // Options [spec 1.14]: EINVAL as [spec 1.4].
  Status set_reuse_address(bool reuse);
  Status set_af_only(bool only);
  Status set_service_type(std::uint8_t tos);
  Status set_ack_timeout(std::uint8_t timeout);
  Status set_min_rnr_timer(std::uint8_t timer);

  // For callers that serialise with handlers (ucm's accept and migrate [spec 2.8]).
  void lock_handler() HW_ACQUIRE(handler_mutex());
  void unlock_handler() HW_RELEASE(handler_mutex());
  [[nodiscard]] rt::Mutex& handler_mutex() const HW_RETURN_CAPABILITY(handler_mutex_);

  class Impl;
  [[nodiscard]] Impl& impl() { return *impl_; }

 private:
  friend class Manager;
  friend class Impl;
  explicit Id(std::unique_ptr<Impl> impl);
  ~Id();
  mutable rt::Mutex handler_mutex_{rt::LockRank::handler};
  std::unique_ptr<Impl> impl_;
};

}  // namespace hawser::cma
