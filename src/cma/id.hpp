// One rdma_cm_id [spec 1]: the state machine and its locking discipline (DESIGN 4).
//
// The raw contract [spec 2.2]: entry points of one id must not run in parallel with each other (the caller's duty,
// reported with HAWSER_CHECK=1); they may run concurrently with the handler; those marked (handler) may be called from
// inside the handler; connect, destroy and leave_multicast may not.
//
// The locks are members, and what needs one is a method that says so. In order: handler_mutex_, the Core's mutex,
// data_mutex_, state_mutex_ [spec 2.2.1-2.2.4, 2.1.1].
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include <boost/intrusive/list_hook.hpp>
#include <boost/intrusive/set_hook.hpp>

#include "addr/resolver.hpp"
#include "addr/subnet_admin.hpp"
#include "base/assert.hpp"
#include "base/ip.hpp"
#include "base/result.hpp"
#include "cm/connection.hpp"
#include "cm/ledger.hpp"
#include "cm/types.hpp"
#include "cma/contract.hpp"
#include "cma/port_arbiter.hpp"
#include "cma/refusal.hpp"
#include "cma/state.hpp"
#include "cma/types.hpp"
#include "runtime/dispatcher.hpp"
#include "runtime/sync.hpp"
#include "runtime/time.hpp"
#include "verbs/device.hpp"

namespace hawser::cma {

class Core;
class Id;
struct Membership;
struct PrivateHeader;
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

// An id in the tree of neighbours to watch, with its own copy of the key: the id's addresses may change [spec 4 #24].
struct WatchedNeighbour : boost::intrusive::set_base_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>> {
  std::uint32_t interface{};
  IpAddress address;
  addr::Mac mac{};
  Id* id{};
  [[nodiscard]] std::pair<std::uint32_t, IpAddress> key() const { return {interface, address}; }
};

// Membership in the list of ids of one device.
using DeviceHook = boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>>;

class Id : public DeviceHook {
 public:
  // Free for the owner. In a CONNECT_REQUEST the child's context is the listener's; the handler sets its own with
  // set_handler(), which it may call on the child during that event.
  [[nodiscard]] void* context() const;
  void set_handler(Handler handler, void* context);
  // For reports: whom the handler calls, if that is somebody else's code.
  void name_handler(const HandlerName& name);
  // Reports, with HAWSER_CHECK=1, that this thread is inside a handler of the id, where `entry` would wait for itself.
  void check_not_in_handler(Entry entry) const;

  [[nodiscard]] State state() const { return state_.load(); }  // the one unlocked read [spec 2.2.6]
  [[nodiscard]] PortSpace port_space() const { return port_space_; }
  [[nodiscard]] QpType qp_type() const { return qp_type_; }
  [[nodiscard]] Route route() const;
  [[nodiscard]] std::optional<std::uint32_t> number() const;  // of its ledger record; nullopt: the ledger is full
  [[nodiscard]] const Id* listener() const;  // of a CONNECT_REQUEST's child, during that event; else null

  // [spec 1.4] gives states and errnos of each.
  Status bind_addr(const SocketAddress& address);
  Status resolve_addr(const SocketAddress* source, const SocketAddress& destination, rt::Duration timeout);
  // rdma_resolve_ib_service. EOPNOTSUPP without a subnet administrator, so always on RoCE.
  Status resolve_service(const addr::ServiceQuery& wanted);
  [[nodiscard]] std::vector<addr::ServiceRecord> services() const;  // what the last one found
  Status resolve_route(rt::Duration timeout);                       // (handler)
  Status set_path(const cm::Path& path);                            // OPTION_IB_PATH; no event
  Status connect(const ConnParam& param);
  Status connect_locked(const ConnParam& param);  // (handler) only there
  Status listen(int backlog);                     // `backlog` is ucm's affair [spec 1.9]
  // (handler), or with the handler_mutex held: an event must not overtake the call; null: accept the response.
  // A UD id always answers its request, with the default Q_Key unless the parameter has one.
  Status accept(const ConnParam* param);
  Status reject(std::uint16_t reason, std::span<const std::byte> private_data);  // (handler)
  // What a layer above does for the program while it tells an event: CONNECT_RESPONSE is answered, or refused. No calls
  // of the program's, which may be making one at this moment.
  Status accept_response();
  Status reject_response();
  Status disconnect();  // (handler)
  Status notify_established();
  // rdma_init_qp_attr. A UD id that has no Q_Key yet gets the default one.
  [[nodiscard]] Result<cm::QpAttributes> qp_attributes(cm::QpTarget target);
  // One MULTICAST_JOIN or MULTICAST_ERROR follows, with `context`. The membership lasts until it is left, or the id
  // ends.
  Result<MembershipHandle> join_multicast(const SocketAddress& group, JoinAs as, void* context);
  // Afterwards no event of the membership is told (any more). EADDRNOTAVAIL: no such membership.
  Status leave_multicast(MembershipHandle membership);
  // The program's QP, for the ledger and for messages whose ConnParam names none.
  void set_qp(Qpn qpn, bool srq);
  // What disconnect() needs.
  [[nodiscard]] bool has_connection() const { return connection() != nullptr; }

  // Options [spec 1.14]: EINVAL as [spec 1.4].
  Status set_reuse_address(bool reuse);
  Status set_af_only(bool only);
  Status set_service_type(std::uint8_t tos);
  Status set_ack_timeout(std::uint8_t timeout);
  Status set_min_rnr_timer(std::uint8_t timer);
  // How the requests of this id wait (Hawser's own): EINVAL above 31 and 15. In any state; connect reads them.
  Status set_response_timeout(std::uint8_t timeout);
  Status set_retries(std::uint8_t retries);
  Status set_report_unreachable(bool report);

  // For callers that serialise with handlers (ucm's accept and migrate [spec 2.8]).
  void lock_handler() HW_ACQUIRE(handler_mutex()) { handler_mutex_.lock(); }
  void unlock_handler() HW_RELEASE(handler_mutex()) { handler_mutex_.unlock(); }
  [[nodiscard]] rt::Mutex& handler_mutex() const HW_RETURN_CAPABILITY(handler_mutex_) { return handler_mutex_; }

 private:
  friend class Core;
  friend struct IdTestAccess;
  friend struct Membership;

  struct Options {
    bool reuse_address{};
    std::optional<bool> v6_only;
    std::optional<std::uint8_t> service_type, ack_timeout, min_rnr_timer, response_timeout, retries;
    std::optional<bool> report_unreachable;
  };

  Id(Core& core, PortSpace space, QpType qp_type, std::shared_ptr<const Handler> handler, void* context);
  // The child of a connection request: born in CONNECT, before anyone can see it [spec 2.6].
  Id(Core& core, const Id& listener, QpType qp_type);
  ~Id();

  // --- state (state.hpp) ---
  // One atomic step; false if the id is not in From (any more) [spec 2.2.5, 3.2 I2].
  template <State From, State To>
    requires(legal(From, To) && !needs_handler_mutex(From, To))
  [[nodiscard]] bool move() {
    return exchange(From, To);
  }
  template <State From, State To>
    requires(legal(From, To) && needs_handler_mutex(From, To))
  [[nodiscard]] bool move() HW_REQUIRES(handler_mutex_) {
    return exchange(From, To);
  }
  // From whatever state to device_removal or destroying. The old state comes from the same atomic step, and whoever
  // took the id out of it owns cancelling what was going on there (cancel_operation) [spec 4 #4, 2.5.4, 7 I15].
  // nullopt if the id was claimed already.
  template <State To>
    requires(To == State::device_removal || To == State::destroying)
  [[nodiscard]] std::optional<State> claim() HW_REQUIRES(handler_mutex_) {
    return take(To);
  }
  [[nodiscard]] bool exchange(State from, State to);
  [[nodiscard]] std::optional<State> take(State to);
  // Claimed by somebody: no event may be delivered any more [spec 3.5 I8, 3.4 I6].
  [[nodiscard]] static bool over(State state) { return state == State::destroying || state == State::device_removal; }

  // --- references: each keeps the memory, nothing else [spec 2.5.1, 7 I19] ---
  void get();
  void put();
  void put_and_wait();  // the owner's reference; returns when no other is left
  // Posts one of the works below, which then owns one reference [spec 3.5 I9, 4 #27].
  void queue(rt::Work& work);
  void cancel(rt::Work& work);  // takes the reference back if the work will not run

  // --- handlers ---
  // Calls the handler. The caller acts on a result ≠ 0: destroy_and_unlock().
  [[nodiscard]] int deliver(const Event& event) HW_REQUIRES(handler_mutex_);
  [[nodiscard]] HandlerName handler_name() const;
  // A work's end: delivers unless the id is over, gives the work's reference back, ends the id if the handler said so.
  void finish_work(const Event& event) HW_RELEASE(handler_mutex_);
  void on_address(const Result<addr::Resolved>& result);
  void on_services(const Result<std::vector<addr::ServiceRecord>>& result);
  void on_route();
  void on_path(const Result<addr::PathRecord>& result);
  void on_membership(const Membership& membership);
  int on_cm_event(const cm::Event& event);
  std::optional<Event> translate(const cm::Event& event) HW_REQUIRES(handler_mutex_);
  Event resolved_service(const cm::Event& event);

  // --- steps of the entry points ---
  [[nodiscard]] std::unexpected<std::error_code> refusal(int errno_value, Entry entry, Rule rule) const {
    return cma::refuse(errno_value, entry, state(), rule);
  }
  // `entry`: on whose behalf.
  Status bind(const SocketAddress& source, const SocketAddress& destination, Entry entry);
  Status acquire(const SocketAddress& source, const SocketAddress& destination, Entry entry);
  Status check_bindable(const SocketAddress& source, Entry entry) const;
  Status prepare_source(const SocketAddress* source, const SocketAddress& destination);
  Status adopt(const addr::Resolved& resolved);
  [[nodiscard]] addr::SubnetAdmin* subnet_admin() const;  // of the id's device; null: none
  [[nodiscard]] addr::SubnetAdmin* subnet_admin_of_path() const;
  [[nodiscard]] bool enter_route_query();
  [[nodiscard]] bool leave_route_query();  // to where it came from
  [[nodiscard]] Event membership_event(const Gid& group, const verbs::Device& device, void* context) const
      HW_REQUIRES(data_mutex_);
  [[nodiscard]] bool ask_for_path();
  [[nodiscard]] Result<cm::Path> make_path() const;
  Status connect_under_lock(const ConnParam& param) HW_REQUIRES(handler_mutex_);
  Status send_request(const ConnParam& param) HW_REQUIRES(handler_mutex_);
  Status send_req(cm::Connection& connection, const ConnParam& param);
  Status send_sidr_req(cm::Connection& connection, const ConnParam& param);
  Status answer(const ConnParam* param) HW_REQUIRES(handler_mutex_);
  Status send_response(cm::Connection& connection, const ConnParam* param);
  Status send_sidr_rep(cm::Connection& connection, const ConnParam& param);
  Status refuse(cm::Connection& connection, std::uint16_t reason, std::span<const std::byte> private_data);
  [[nodiscard]] Result<std::vector<std::byte>> private_data_of(const ConnParam& param) const;
  [[nodiscard]] RequestTiming request_timing() const;
  // What datagrams to this id must carry [spec 1.10]. EINVAL: 0, or not the one that it has.
  Status set_qkey(QKey qkey);
  QKey qkey_or_default();
  Status start_listening() HW_REQUIRES(handler_mutex_);
  Status become_child(const verbs::DevicePtr& device, ServiceId service, const PrivateHeader& header,
                      cm::Connection& connection, const cm::Event& event) HW_REQUIRES(handler_mutex_);
  [[nodiscard]] ServiceId service_id(std::uint16_t port) const;
  [[nodiscard]] bool v6_only(const SocketAddress& source) const;
  [[nodiscard]] cm::Connection* connection() const;
  void set_connection(cm::Connection* connection);
  void set_listener(const Id* listener);
  [[nodiscard]] verbs::DevicePtr device() const;

  // --- the end (teardown.cpp) ---
  // Ends what was going on in `old`. Only for whoever claimed the id out of `old`; without the handler_mutex.
  void cancel_operation(State old);
  // A handler's result ≠ 0: ends the id and frees it. Nobody else touches it any more.
  void destroy_and_unlock() HW_RELEASE(handler_mutex_);
  // `old`: what the first claimer found.
  static void destroy(Id* id, std::optional<State> old);
  void release_port();
  Status set_port_option(PortOption option, bool value);
  void leave_all_groups();
  void end_membership(std::unique_ptr<Membership> membership);

  // --- the ledger ---
  void write_ledger_state(State state);
  void write_ledger_addresses() HW_REQUIRES(data_mutex_);

  Core& core_;
  const PortSpace port_space_;
  const QpType qp_type_;
  const Psn starting_psn_;  // what the kernel calls seq_num [spec 1.1.2, 5.7.1]
  cm::LedgerHold record_;
  mutable rt::Mutex handler_mutex_{rt::LockRank::handler};

  // What entry points, handlers and queries share besides the state.
  mutable rt::Mutex data_mutex_{rt::LockRank::options};
  std::shared_ptr<const Handler> handler_ HW_GUARDED_BY(data_mutex_);
  HandlerName handler_name_ HW_GUARDED_BY(data_mutex_);
  void* context_ HW_GUARDED_BY(data_mutex_);
  const Id* listener_ HW_GUARDED_BY(data_mutex_) = nullptr;
  SocketAddress source_ HW_GUARDED_BY(data_mutex_);
  SocketAddress destination_ HW_GUARDED_BY(data_mutex_);
  // The one answer to "has it a device?" [spec 4 #9, 1.1.1]. Written by Core, which keeps the list of a device's ids.
  verbs::DevicePtr device_ HW_GUARDED_BY(data_mutex_);
  std::optional<addr::Resolved> resolved_ HW_GUARDED_BY(data_mutex_);
  std::vector<addr::ServiceRecord> services_ HW_GUARDED_BY(data_mutex_);
  cm::Path path_ HW_GUARDED_BY(data_mutex_);
  bool has_path_ HW_GUARDED_BY(data_mutex_) = false;
  std::optional<rt::Duration> ask_for_path_ HW_GUARDED_BY(data_mutex_);  // how long the subnet administrator has
  PortHandle port_ HW_GUARDED_BY(data_mutex_) = 0;
  bool port_listens_ HW_GUARDED_BY(data_mutex_) = false;
  cm::Connection* connection_ HW_GUARDED_BY(data_mutex_) = nullptr;
  Options options_ HW_GUARDED_BY(data_mutex_);
  std::vector<std::unique_ptr<Membership>> memberships_ HW_GUARDED_BY(data_mutex_);
  MembershipHandle next_membership_ HW_GUARDED_BY(data_mutex_) = 1;
  Qpn qpn_ HW_GUARDED_BY(data_mutex_);
  QKey qkey_ HW_GUARDED_BY(data_mutex_);  // of a UD id; 0: none yet
  bool srq_ HW_GUARDED_BY(data_mutex_) = false;

  mutable rt::Mutex state_mutex_{rt::LockRank::state};
  rt::Atomic<State> state_;  // written under state_mutex_
  rt::CondVar released_;
  std::uint32_t references_ HW_GUARDED_BY(state_mutex_) = 1;  // the owner's

  ContractState contract_;
  addr::Request address_request_;
  addr::SubnetQuery subnet_query_;
  rt::Work route_work_, neighbour_work_, address_change_work_;
  WatchedNeighbour neighbour_;  // linked and read under Core's mutex
};

}  // namespace hawser::cma
