#include "api/id_impl.hpp"

#include <utility>

#include "api/stack_impl.hpp"

namespace hawser {
namespace {

cma::ConnParam to_internal(const ConnParam& from) {
  cma::ConnParam to;
  to.private_data = from.private_data;
  to.responder_resources = from.responder_resources;
  to.initiator_depth = from.initiator_depth;
  to.flow_control = from.flow_control;
  to.retry_count = from.retry_count;
  to.rnr_retry_count = from.rnr_retry_count;
  to.srq = from.srq;
  to.qpn = from.qpn;
  to.qkey = from.qkey;
  to.ece = {.vendor_id = from.ece.vendor_id, .attr_mod = from.ece.attr_mod};
  return to;
}

CmEvent to_public(const cma::Event& from) {
  CmEvent to;
  to.type = static_cast<CmEventType>(from.type);
  to.status = from.status;
  // Either is there, or neither.
  to.private_data = from.conn.private_data.empty() ? from.ud.private_data : from.conn.private_data;
  to.responder_resources = from.conn.responder_resources;
  to.initiator_depth = from.conn.initiator_depth;
  to.rnr_retry_count = from.conn.rnr_retry_count;
  to.flow_control = from.conn.flow_control != 0;
  to.srq = from.conn.srq != 0;
  to.remote_qpn = from.conn.qpn;
  to.ece = {.vendor_id = from.ece.vendor_id, .attr_mod = from.ece.attr_mod};
  const cma::UdTarget& ud = from.ud.target;
  to.ud = {.ah_attr = {.source = ud.local,
                       .destination = ud.remote,
                       .traffic_class = ud.traffic_class,
                       .hop_limit = ud.hop_limit,
                       .flow_label = ud.flow_label},
           .qpn = ud.qpn,
           .qkey = ud.qkey};
  return to;
}

}  // namespace

class IdImpl::Tether {
 public:
  explicit Tether(std::shared_ptr<IdImpl> impl) : impl_(std::move(impl)) {}
  ~Tether() { impl_->forgotten(); }
  Tether(const Tether&) = delete;
  Tether& operator=(const Tether&) = delete;
  [[nodiscard]] IdImpl& impl() const { return *impl_; }

 private:
  const std::shared_ptr<IdImpl> impl_;
};

cma::Handler IdImpl::cma_handler(const std::shared_ptr<IdImpl>& impl) {
  return [tether = std::make_shared<const Tether>(impl)](cma::Id& id, const cma::Event& event) {
    return tether->impl().on_event(id, event);
  };
}

IdImpl::IdImpl(StackImpl& stack)
    : stack_(stack), end_work_([this] {
        const auto alive = std::move(self_);
        stack_->cma().destroy_id(id_);
      }) {}

IdImpl::~IdImpl() { exchange_sink(nullptr); }

std::shared_ptr<IdImpl> IdImpl::create(StackImpl& stack, PortSpace space, QpType qp_type, Sink sink) {
  const std::shared_ptr<IdImpl> impl(new IdImpl(stack));
  impl->exchange_sink(std::make_shared<const Sink>(std::move(sink)));
  impl->id_ = stack->cma().create_id(static_cast<cma::PortSpace>(space), static_cast<cma::QpType>(qp_type),
                                     cma_handler(impl), impl.get());
  impl->id_->name_handler(impl->sink()->name);
  return impl;
}

// ---- its end ----

// cma deletes its handler, and with it the Tether, as the last thing: then nobody calls us any more.
void IdImpl::forgotten() {
  const auto last = exchange_sink(nullptr);  // what it captured goes when we are through: it may own our handle
  if (last && last->on_end) last->on_end(*this);
  destroy_qp();
  rt::Lock lock(mutex_);
  forgotten_ = true;
  forgotten_changed_.notify_all();
}

void IdImpl::destroy() {
  if (on_handler_thread()) {
    end_on_return_.store(true);
    return;
  }
  if (locked_by_.load() == rt::this_thread_id()) static_cast<void>(unlock_handler());
  if (!ended_.exchange(true)) {
    // In another id's handler, whose handler_mutex this thread holds: no handler of ours runs now, and none will.
    if (stack_->dispatcher().on_dispatching_thread()) return end_later();
    stack_->cma().destroy_id(id_);
    return;
  }
  // A handler has ended it. On another thread cma may still be at it.
  if (stack_->dispatcher().on_dispatching_thread()) return;
  rt::Lock lock(mutex_);
  while (!forgotten_) forgotten_changed_.wait(mutex_);
}

void IdImpl::end_later() {
  const auto now = sink();
  exchange_sink(std::make_shared<const Sink>(Sink{.deliver = [](IdImpl&, CmEvent&) { return 0; },
                                                  .on_end = now->on_end,
                                                  .channel = now->channel,
                                                  .on_leave = now->on_leave}));
  self_ = shared_from_this();
  static_cast<void>(stack_->dispatcher().post(end_work_));
}

// ---- events ----

IdImpl::Sink IdImpl::handler_sink(Handler handler) {
  const HandlerName name = name_of(handler);
  return {.deliver = [handler = std::move(handler)](IdImpl& id, CmEvent& event) { return handler(IdRef(&id), event); },
          .is_handler = true,
          .name = name};
}

std::shared_ptr<const IdImpl::Sink> IdImpl::sink() const {
  rt::Lock lock(mutex_);
  return sink_;
}

std::shared_ptr<const IdImpl::Sink> IdImpl::exchange_sink(std::shared_ptr<const Sink> sink) {
  if (sink && sink->is_handler) ++stack_.ids_with_handlers;
  {
    rt::Lock lock(mutex_);
    sink_.swap(sink);
  }
  if (sink && sink->is_handler) --stack_.ids_with_handlers;
  return sink;
}

void IdImpl::set_handler(Handler handler) {
  Sink next = handler_sink(std::move(handler));
  if (const auto now = sink()) {
    next.on_end = now->on_end;
    next.on_leave = now->on_leave;
  }
  id_->name_handler(next.name);
  exchange_sink(std::make_shared<const Sink>(std::move(next)));
}

void IdImpl::set_context(void* context) {
  rt::Lock lock(mutex_);
  context_ = context;
}

void* IdImpl::context() const {
  rt::Lock lock(mutex_);
  return context_;
}

// Under the handler_mutex of `on`: this id, or a new child of it. An exception has nowhere to go: std::terminate.
int IdImpl::on_event(cma::Id& on, const cma::Event& event) noexcept {
  CmEvent up = to_public(event);
  if (up.type == CmEventType::connect_request) return on_request(on, up);
  if (event.membership_context != nullptr) follow_membership(up, event.membership_context);
  follow(up);
  return deliver(up);
}

// The listener's handler, and the child's: both are told.
int IdImpl::on_request(cma::Id& child, CmEvent& event) {
  const std::shared_ptr<IdImpl> impl(new IdImpl(stack_));
  impl->id_ = &child;
  impl->exchange_sink(sink());
  impl->set_context(context());
  child.set_handler(cma_handler(impl), impl.get());
  child.name_handler(impl->sink()->name);
  event.listener_ = IdRef(this);
  event.request_ = Id(impl);
  handler_thread_.store(rt::this_thread_id());
  int result = impl->deliver(event);
  handler_thread_.store(rt::ThreadId{});
  // The result is about the child. A listener that was destroyed ends when nobody is inside any more.
  if (end_on_return_.load() && !ended_.exchange(true)) {
    end_later();
  }
  if (result == 0 && event.request_) {  // nobody has taken it
    impl->ended_.store(true);
    result = -ECONNABORTED;
  }
  return result;
}

// Calls the program's handler. If the id is to end by its result, nothing else ends it any more.
int IdImpl::deliver(CmEvent& event) {
  const auto to = sink();
  handler_thread_.store(rt::this_thread_id());
  int result = to->deliver(*this, event);
  handler_thread_.store(rt::ThreadId{});
  const bool by_result = result != 0;
  if (end_on_return_.load() && !by_result) result = -ECANCELED;
  if (result == 0) return 0;
  if (ended_.exchange(true)) return 0;  // its owner destroys it at this moment, and waits for us
  rt::Lock lock(mutex_);
  if (by_result) ended_by_handler_ = {.told = event.type, .handler = to->name};
  return result;
}

void IdImpl::report_too_late(cma::Entry entry, const void* site) const {
  const cma::Contract& contract = stack_->cma().contract();
  rt::UniqueLock lock(mutex_);
  if (!contract.watched() || !ended_by_handler_) return;
  const End by = *ended_by_handler_;
  lock.unlock();
  contract.report({.kind = cma::ContractReport::Kind::after_the_end,
                   .told = static_cast<cma::EventType>(by.told),
                   .handler = by.handler,
                   .second = entry,
                   .second_site = site});
}

// ---- calls that differ from cma's ----

bool IdImpl::holds_handler_lock() const { return on_handler_thread() || locked_by_.load() == rt::this_thread_id(); }

Status IdImpl::outside_of_handler(cma::Entry entry, cma::Rule rule) const {
  if (!holds_handler_lock()) return {};
  id_->check_not_in_handler(entry);
  return cma::refuse(EDEADLK, entry, id_->state(), rule);
}

Status IdImpl::connect(const ConnParam& param) {
  const Status may = outside_of_handler(cma::Entry::connect, cma::Rule::own_handler);
  return may ? id_->connect(to_internal(param)) : may;
}

Status IdImpl::connect_locked(const ConnParam& param) {
  if (!holds_handler_lock()) {
    return cma::refuse(EINVAL, cma::Entry::connect_locked, id_->state(), cma::Rule::needs_handler_lock);
  }
  return id_->connect_locked(to_internal(param));
}

// The kernel wants the handler's lock held; whoever does not hold it gets it here: on some paths only, which clang's
// analysis does not follow.
Status IdImpl::accept(const ConnParam* param) HW_NO_THREAD_SAFETY_ANALYSIS {
  const bool locked = holds_handler_lock();
  if (!locked) id_->lock_handler();
  Status accepted;
  // Before the answer leaves: the peer may send as soon as it has it.
  if (id_->state() == cma::State::connect) accepted = connect_qp(param);
  if (!accepted) {
    static_cast<void>(id_->reject(static_cast<std::uint16_t>(RejectReason::consumer_defined), {}));
  } else if (param != nullptr) {
    const cma::ConnParam internal = to_internal(*param);
    accepted = id_->accept(&internal);
  } else {
    accepted = id_->accept(nullptr);
  }
  if (!accepted) {
    if (const Qp broken = qp()) broken.impl()->to_error();
  }
  if (!locked) id_->unlock_handler();
  return accepted;
}

Status IdImpl::disconnect() {
  const Qp flushing = qp();
  if (flushing && id_->has_connection()) flushing.impl()->to_error();
  return id_->disconnect();
}

// Held from one call of the program to the next, where clang's analysis does not follow.
Status IdImpl::lock_handler() HW_NO_THREAD_SAFETY_ANALYSIS {
  if (const Status may = outside_of_handler(cma::Entry::lock_handler); !may) return may;
  id_->lock_handler();
  locked_by_.store(rt::this_thread_id());
  return {};
}

Status IdImpl::unlock_handler() HW_NO_THREAD_SAFETY_ANALYSIS {
  if (locked_by_.load() != rt::this_thread_id()) {
    return cma::refuse(EPERM, cma::Entry::unlock_handler, id_->state(), cma::Rule::needs_handler_lock);
  }
  locked_by_.store(rt::ThreadId{});
  id_->unlock_handler();
  return {};
}

}  // namespace hawser
