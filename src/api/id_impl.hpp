// What stands behind a hawser::Id: the cma::Id, its queue pair, and the program's handler.
//
// In the kernel the connection manager moves the states of an id's queue pair; our cma does not know queue pairs (those
// of C programs are librdmacm's), so that half of the kernel's cma.c is here.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "api/verbs_impl.hpp"
#include "base/call_site.hpp"
#include "cma/manager.hpp"
#include "cma/refusal.hpp"
#include "hawser/id.hpp"
#include "runtime/sync.hpp"

namespace hawser {

class ChannelImpl;
class StackImpl;

// Lives while somebody has a handle, or cma may still call it. Threading: the contract of hawser/id.hpp; what may run
// in parallel under it is thread-safe.
class IdImpl : public std::enable_shared_from_this<IdImpl> {
 public:
  // What gets the events: the program's handler, or a channel.
  struct Sink {
    std::function<int(IdImpl& id, CmEvent& event)> deliver;
    bool is_handler{};                               // of the program
    HandlerName name{};                              // for reports
    std::function<void(const IdImpl& id)> on_end{};  // when the id is no more
    const ChannelImpl* channel{};
    std::function<void(const IdImpl& id, MulticastHandle membership)> on_leave{};  // when no event of it can come
  };
  [[nodiscard]] static Sink handler_sink(Handler handler);

  // An id in IDLE.
  [[nodiscard]] static std::shared_ptr<IdImpl> create(StackImpl& stack, PortSpace space, QpType qp_type, Sink sink);
  ~IdImpl();
  IdImpl(const IdImpl&) = delete;
  IdImpl& operator=(const IdImpl&) = delete;

  // rdma_destroy_id(), once; in a handler: when it returns.
  void destroy();
  // Until destroy(), or until a handler has said so.
  [[nodiscard]] bool alive() const { return !ended_.load(); }
  // A call on what is not alive: the program's fault if its handler has ended the id.
  void report_too_late(cma::Entry entry, const void* site) const;
  [[nodiscard]] cma::Id& id() const { return *id_; }
  // Whether its events go to this channel.
  [[nodiscard]] bool is_of(const ChannelImpl& channel) const { return sink()->channel == &channel; }
  [[nodiscard]] StackImpl& stack() const { return stack_; }

  void set_handler(Handler handler);
  void set_context(void* context);
  [[nodiscard]] void* context() const;

  Result<Qp> create_qp(const Pd& pd, const QpInit& init);
  void destroy_qp();
  [[nodiscard]] Qp qp() const;
  [[nodiscard]] Result<QpAttr> init_qp_attr(QpState state) const;

  Result<MulticastHandle> join_multicast(const SocketAddress& group, JoinAs as, void* context);
  Status leave_multicast(MulticastHandle membership);

  Status connect(const ConnParam& param);
  Status connect_locked(const ConnParam& param);
  Status accept(const ConnParam* param);
  Status disconnect();
  Status lock_handler();
  Status unlock_handler();

  // EDEADLK in the id's own handler, or under its lock: the call would wait for itself, for ever [spec 2.2].
  [[nodiscard]] Status outside_of_handler(cma::Entry entry, cma::Rule rule = cma::Rule::not_in_handler) const;

  rt::Atomic<int> backlog{0};  // of listen(), for the channel

 private:
  // One join. cma knows it as the context of its event.
  struct Membership {
    MulticastHandle handle;
    Gid group;
    JoinAs as{};
    void* context{};
    cma::MembershipHandle lower{};
    bool stands{};    // MULTICAST_JOIN has come
    bool attached{};  // the queue pair receives what is sent to the group
  };
  class Tether;  // held by cma's copy of the handler: tells when cma has forgotten the id
  explicit IdImpl(StackImpl& stack);

  [[nodiscard]] bool on_handler_thread() const { return handler_thread_.load() == rt::this_thread_id(); }
  [[nodiscard]] bool holds_handler_lock() const;

  [[nodiscard]] static cma::Handler cma_handler(const std::shared_ptr<IdImpl>& impl);
  [[nodiscard]] std::shared_ptr<const Sink> sink() const;
  std::shared_ptr<const Sink> exchange_sink(std::shared_ptr<const Sink> sink);
  int on_event(cma::Id& on, const cma::Event& event) noexcept;
  int on_request(cma::Id& child, CmEvent& event);
  // Moves the queue pair as the event demands, and turns CONNECT_RESPONSE into what came of it.
  void follow(CmEvent& event);
  int deliver(CmEvent& event);
  void follow_membership(CmEvent& event, const void* membership);
  Status attach(Membership& membership) HW_REQUIRES(mutex_);
  void detach(Membership& membership) HW_REQUIRES(mutex_);
  Status connect_qp(const ConnParam* param);
  void forgotten();
  // Of an id that is said to have ended: no handler is called any more.
  void end_later();

  StackImpl& stack_;
  cma::Id* id_ = nullptr;  // set before anybody else sees this
  rt::Atomic<bool> ended_{false};
  rt::Atomic<rt::ThreadId> handler_thread_{};  // inside the id's handler
  rt::Atomic<rt::ThreadId> locked_by_{};       // lock_handler()
  rt::Atomic<bool> end_on_return_{false};      // destroyed in its own handler

  mutable rt::Mutex mutex_{rt::LockRank::program};
  std::shared_ptr<const Sink> sink_ HW_GUARDED_BY(mutex_);
  void* context_ HW_GUARDED_BY(mutex_) = nullptr;
  std::shared_ptr<Qp::Impl> qp_ HW_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Membership>> memberships_ HW_GUARDED_BY(mutex_);
  std::uint64_t joins_ HW_GUARDED_BY(mutex_) = 0;
  rt::CondVar forgotten_changed_;
  bool forgotten_ HW_GUARDED_BY(mutex_) = false;
  struct End {
    CmEventType told;
    HandlerName handler;
  };
  std::optional<End> ended_by_handler_ HW_GUARDED_BY(mutex_);
  rt::Work end_work_;             // ends the id when the handler that it was destroyed in has returned
  std::shared_ptr<IdImpl> self_;  // while that is queued
};

}  // namespace hawser
