// What ucma is in the kernel: the layer that lets unmodified programs call one id from several threads. Each command of
// the user ABI [spec 6.2] is one method; a mutex per user id serialises them, because the connection manager below must
// not be entered twice for one id [spec 2.2.1, 2.8.9, 4 #2].
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "cma/manager.hpp"
#include "runtime/dispatcher.hpp"
#include "ucm/event.hpp"
#include "ucm/file.hpp"
#include "ucm/multicast.hpp"
#include "ucm/table.hpp"

namespace hawser::ucm {

struct Option;

inline constexpr int backlog_max = 1024;  // net.rdma_ucm.max_backlog

// Thread-safe. No method may be called from a handler. Every method on a handle fails with ENOENT (unknown, or being
// destroyed), EINVAL (an id of another channel) or ENXIO (its device was removed) besides what it says; those marked
// (device) fail with EINVAL while the id has no device.
class Manager {
 public:
  Manager(cma::Manager& cma, rt::Dispatcher& dispatcher) : cma_(cma), dispatcher_(dispatcher) {}
  ~Manager();  // every channel must be closed
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  // `uid` comes back with each event. EINVAL: unknown port space; EBADF: the channel is closed.
  Result<Handle> create_id(const FilePtr& file, std::uint64_t uid, cma::PortSpace space, cma::QpType qp_type);
  // Waits for commands in progress. The number of events of this id that the program fetched: it has to acknowledge
  // them all before it frees what they point to. ENOENT for all callers but one.
  Result<unsigned> destroy_id(File& file, Handle id);
  // close(2): destroys what is left on the channel.
  void close(File& file);
  // Moves an id and its queued events to another channel; the number of events fetched so far. EBADF: `to` is closed.
  Result<unsigned> migrate_id(const FilePtr& to, File& from, Handle id);
  // GET_EVENT without blocking. Fetching a CONNECT_REQUEST makes its id an id of this channel.
  std::optional<EventRecord> get_event(const FilePtr& file);

  Status bind(File& file, Handle id, const SocketAddress& address);
  Status resolve_addr(File& file, Handle id, const SocketAddress* source, const SocketAddress& destination,
                      rt::Duration timeout);
  Status resolve_service(File& file, Handle id, const addr::ServiceQuery& wanted);
  Result<std::vector<addr::ServiceRecord>> query_services(File& file, Handle id);
  Status resolve_route(File& file, Handle id, rt::Duration timeout);  // (device)
  Result<cma::Route> query_route(File& file, Handle id);
  Status connect(File& file, Handle id, const cma::ConnParam& param);  // (device)
  Status listen(File& file, Handle id, int backlog);
  // Of a request; `uid` is set before any event of the connection can be queued. (device)
  Status accept(File& file, Handle id, std::uint64_t uid, const cma::ConnParam& param);
  Status accept_response(File& file, Handle id);  // (device)
  // Reason 0 means 28; only 28 and 35 may be given. (device)
  Status reject(File& file, Handle id, std::uint16_t reason, std::span<const std::byte> private_data);
  Status disconnect(File& file, Handle id);                                           // (device)
  Result<cm::QpAttributes> init_qp_attr(File& file, Handle id, cm::QpTarget target);  // (device)
  // `event` is an ibv_event_type; all but COMM_EST are EINVAL. (device)
  Status notify(File& file, Handle id, int event);
  // EINVAL: wrong length or value; ENOSYS: no such option.
  Status set_option(File& file, Handle id, int level, int name, std::span<const std::byte> value);
  // A membership of the id; its events carry its handle and `uid`. EINVAL: join_flags neither 0 (full member) nor 1
  // (send-only). (device)
  Result<Handle> join_multicast(File& file, Handle id, const SocketAddress& group, std::uint64_t uid, int join_flags);
  // The number of events of this membership that the program fetched. Errors are those of its id.
  Result<unsigned> leave_multicast(File& file, Handle multicast);
  // WRITE_CM_EVENT: queues an event of the program's own behind those there are, reported with `uid`. EINVAL: a type
  // other than USER and INTERNAL.
  Status write_event(File& file, Handle id, std::uint64_t uid, cma::EventType type, int status, std::uint64_t arg);
  // The program's QP of this id (Hawser's own: the kernel learns it from the messages alone).
  Status set_qp(File& file, Handle id, Qpn qpn, bool srq);

 private:
  friend class Context;

  // Locks the id's mutex and runs one entry point of the connection manager.
  template <class Call>
  auto run(File& file, Handle id, bool needs_device, Call&& call) -> std::invoke_result_t<Call, Context&, cma::Id&>;
  Status apply(cma::Id& id, const Option& option);

  int on_event(cma::Id& id, const cma::Event& event);
  int on_request(Context& listener, cma::Id& id, const cma::Event& event);
  unsigned destroy(Context& claimed);
  void destroy_unfetched(const std::deque<EventRecord>& events);
  void adopt_child(const FilePtr& to, Handle child);
  void close_id(Context& context);

  cma::Manager& cma_;
  rt::Dispatcher& dispatcher_;
  Table table_;
  MulticastTable multicasts_;
};

}  // namespace hawser::ucm
