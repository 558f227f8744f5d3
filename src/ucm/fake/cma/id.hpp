// Stands in for cma/id.hpp when ucm is compiled into its unit test: an id that records the calls which ucm makes, and
// delivers the events that the test gives it under the same locks as the real one. It has what ucm may use, no more.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "addr/subnet_admin.hpp"
#include "base/ip.hpp"
#include "base/result.hpp"
#include "cm/types.hpp"
#include "cma/types.hpp"
#include "runtime/sync.hpp"
#include "verbs/device.hpp"

namespace hawser::cma {

class Id;
using Handler = std::function<int(Id& id, const Event& event)>;

struct Route {
  SocketAddress source, destination;
  verbs::DevicePtr device;
  std::uint8_t port_number{};
  Gid source_gid, destination_gid;
  cm::Path path;
  bool has_path{};
};

class Id {
 public:
  Id(PortSpace space, QpType type, Handler handle, void* user)
      : port_space(space), qp_type(type), handler(std::move(handle)), user_context(user) {}

  // What ucm uses.
  [[nodiscard]] void* context() const { return user_context; }
  void set_handler(Handler handle, void* user);
  [[nodiscard]] Route route() const { return current_route; }
  Status bind_addr(const SocketAddress&) { return enter("bind"); }
  Status resolve_addr(const SocketAddress*, const SocketAddress&, rt::Duration) { return enter("resolve_addr"); }
  Status resolve_service(const addr::ServiceQuery& wanted) { return enter("resolve_service " + wanted.name); }
  [[nodiscard]] std::vector<addr::ServiceRecord> services() const { return {{ServiceId(7), {}, PKey(1), "found"}}; }
  Status resolve_route(rt::Duration) { return enter("resolve_route"); }
  Status set_path(const cm::Path&) { return enter("set_path"); }
  Status connect(const ConnParam& param);
  Status listen(int backlog) { return enter("listen " + std::to_string(backlog)); }
  Status accept(const ConnParam* param);
  Status reject(std::uint16_t reason, std::span<const std::byte> private_data);
  Status disconnect() { return enter("disconnect"); }
  Status notify_established() { return enter("notify"); }
  [[nodiscard]] Result<cm::QpAttributes> qp_attributes(cm::QpTarget target);
  Result<MembershipHandle> join_multicast(const SocketAddress&, JoinAs as, void* context) {
    if (const Status entered = enter(as == JoinAs::send_only ? "join send-only" : "join"); !entered) {
      return fail(entered.error());
    }
    memberships.push_back(context);
    return memberships.size();
  }
  Status leave_multicast(MembershipHandle membership) { return enter("leave " + std::to_string(membership)); }
  void set_qp(Qpn, bool) { (void)enter("set_qp"); }
  Status set_reuse_address(bool) { return enter("reuse"); }
  Status set_af_only(bool) { return enter("af_only"); }
  Status set_service_type(std::uint8_t) { return enter("tos"); }
  Status set_ack_timeout(std::uint8_t) { return enter("ack_timeout"); }
  Status set_response_timeout(std::uint8_t) { return enter("response_timeout"); }
  Status set_retries(std::uint8_t) { return enter("retries"); }
  Status set_report_unreachable(bool) { return enter("report_unreachable"); }
  void lock_handler() HW_ACQUIRE(handler_mutex()) { handler_mutex_.lock(); }
  void unlock_handler() HW_RELEASE(handler_mutex()) { handler_mutex_.unlock(); }
  [[nodiscard]] rt::Mutex& handler_mutex() const HW_RETURN_CAPABILITY(handler_mutex_) { return handler_mutex_; }

  // What the test uses. The result is the handler's.
  int deliver(EventType type, int status = 0);
  int deliver(const Event& event);
  // A connection request on a listener; null if the handler refused it with `answer`.
  Id* deliver_request(int* answer = nullptr);

  const PortSpace port_space;
  const QpType qp_type;
  Handler handler;
  void* user_context;
  Route current_route;
  int error = 0;                                     // what every entry point answers
  std::function<void(const std::string&)> on_entry;  // runs inside each entry point
  std::function<void()> on_event;                    // runs before each handler, under its lock
  std::vector<std::string> calls;                    // unguarded: entry points of one id never overlap
  std::vector<void*> memberships;                    // their contexts, by handle - 1
  ConnParam last_param;
  std::uint16_t last_reason{};

 private:
  Status enter(const std::string& call);
  mutable rt::Mutex handler_mutex_{rt::LockRank::handler};
  rt::Atomic<bool> entered_{false};
};

}  // namespace hawser::cma
