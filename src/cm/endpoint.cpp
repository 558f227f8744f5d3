#include "cm/endpoint.hpp"

#include "base/assert.hpp"
#include "base/probe.hpp"
#include "cm/timing.hpp"

namespace hawser::cm {

Result<std::shared_ptr<Endpoint>> Endpoint::create(Core& core, std::shared_ptr<const Handler> handler) {
  const Result<CommId> id = core.ids.allocate();
  if (!id) return fail(id.error());
  auto lease = std::make_unique<CommIdLease>(core.ids, *id);
  auto endpoint = std::make_shared<Endpoint>(core, std::move(lease), std::move(handler));
  endpoint->connection_ = new Connection(endpoint);  // NOLINT: finish() deletes it
  core.tables.insert_local(*id, endpoint);           // last: it can be found from now on [spec 4 #50]
  return endpoint;
}

Endpoint::Endpoint(Core& core, std::unique_ptr<CommIdLease> id, std::shared_ptr<const Handler> handler)
    : core_(core), id_(std::move(id)), handler_(std::move(handler)) {}

Endpoint::~Endpoint() = default;

State Endpoint::state() const {
  rt::Lock lock(mutex_);
  return state_;
}

CommId Endpoint::remote_id() const {
  rt::Lock lock(mutex_);
  return remote_id_;
}

void Endpoint::set_handler(std::shared_ptr<const Handler> handler) {
  rt::Lock lock(mutex_);
  std::swap(handler_, handler);
}

void Endpoint::attach_ledger(LedgerHold record) {
  rt::Lock lock(mutex_);
  ledger_.swap(record);  // the old one is released outside the lock
  write_ledger(state_);
}

void Endpoint::write_ledger(State state) {
  update(ledger_.get(), [&](LedgerRecord& r) {
    mutex_.assert_held();
    r.cm_state = static_cast<std::uint8_t>(state);
    r.local_comm_id = local_id().value;
    r.remote_comm_id = remote_id_.value;
    r.local_qpn = local_qpn_.value;
    r.remote_qpn = remote_qpn_.value;
    r.local_guid = path_.device ? path_.device->guid().value : 0;
    r.remote_guid = remote_guid_.value;
    std::ranges::copy(path_.local.bytes, r.local_gid);
    std::ranges::copy(path_.remote.bytes, r.remote_gid);
    r.tid = own_tid_;
    r.remote_tid = peer_tid_;
    r.traffic_class = address_.traffic_class;
    r.hop_limit = address_.hop_limit;
  });
}

void Endpoint::become(State next) {
  const bool awaited = awaits_rtu();
  state_ = next;
  if (awaits_rtu() && !awaited) core_.tables.insert_awaiting_rtu(local_qpn_, shared_from_this());
  if (!awaits_rtu() && awaited) core_.tables.erase_awaiting_rtu(local_qpn_, this);
  write_ledger(state_);
}

void Endpoint::request_answered() {
  if (request_.value != 0) core_.window.answered(std::exchange(request_, {}));
}

void Endpoint::cancel_request() {
  if (request_.value != 0) core_.window.cancel(std::exchange(request_, {}));
}

void Endpoint::leave_tables() {
  if (!in_remote_tables_) return;
  in_remote_tables_ = false;
  core_.tables.erase_remote(remote_id_, remote_qpn_, remote_guid_, this);
}

void Endpoint::become_idle() {
  cancel_request();
  leave_tables();
  if (state_ == State::sidr_req_rcvd) core_.sidr_requests.forget(sidr_request_);  // unless it has been answered
  become(State::idle);
}

// The peer's tables forget us at once, so that it may connect again; our id stays taken [spec 5.6.5, 5.6.6].
void Endpoint::enter_timewait() {
  cancel_request();
  leave_tables();
  core_.timewait.add({id_, remote_qpn_, weak_from_this(), std::move(farewell_)}, cm_time(ack_timeout_));
  become(State::timewait);
}

// [spec 5.5.12]
Status Endpoint::notify_established() {
  {
    rt::Lock lock(mutex_);
    if (state_ == State::established) return fail(EISCONN);
    if (!awaits_rtu()) return fail(EINVAL);
    request_answered();
    become(State::established);
    established_pending_ = true;
  }
  core_.inbox.push(weak_from_this());
  return {};
}

// [spec 5.7.5, 5.7.6, 5.9.1-5.9.3]
Result<QpAttributes> Endpoint::qp_attributes(QpTarget target) const {
  rt::Lock lock(mutex_);
  switch (state_) {  // [spec 5.9]
    case State::req_sent:
    case State::mra_req_rcvd:
      if (target != QpTarget::init) return fail(EINVAL);
      break;
    case State::req_rcvd:
    case State::mra_req_sent:
    case State::rep_rcvd:
    case State::mra_rep_sent:
    case State::rep_sent:
    case State::mra_rep_rcvd:
    case State::established: break;
    default: return fail(EINVAL);
  }
  QpAttributes a;
  a.local = path_.local;
  a.remote = path_.remote;
  a.interface = path_.interface;
  a.traffic_class = path_.traffic_class;
  a.hop_limit = path_.hop_limit;
  a.sl = path_.sl;
  a.flow_label = path_.flow_label;
  a.path_mtu = path_.mtu;
  a.destination_qpn = remote_qpn_;
  a.receive_psn = receive_psn_;
  a.send_psn = send_psn_;
  a.max_dest_rd_atomic = responder_resources_;
  a.max_rd_atomic = initiator_depth_;
  a.timeout = ack_timeout_;
  a.retry_count = retry_count_;
  a.rnr_retry = rnr_retry_count_;
  a.pkey = path_.pkey;
  a.remote_read_and_atomic = responder_resources_ != 0;
  return a;
}

// A program that learns of the end must have heard of the beginning, if that was noticed first.
void Endpoint::deliver(const Event& event) {
  deliver_pending_established();
  run_handler(event);
}

void Endpoint::deliver_pending_established() {
  {
    rt::Lock lock(mutex_);
    if (!established_pending_) return;
    established_pending_ = false;
  }
  Event event;
  event.kind = EventKind::user_established;
  run_handler(event);
}

void Endpoint::run_handler(const Event& event) {
  std::shared_ptr<const Handler> handler;
  {
    rt::Lock lock(mutex_);
    if (claimed_) HW_PROBE("cm-event-after-destroy");
    if (claimed_ || handler_ == nullptr || !*handler_) return;
    HW_ASSERT(!handler_running_, "cm-handlers-overlap");
    handler_running_ = true;
    handler = handler_;
  }
  end_handler((*handler)(*connection_, event));
}

void Endpoint::begin_req_handler() {
  rt::Lock lock(mutex_);
  HW_ASSERT(!handler_running_, "cm-req-handlers-overlap");
  handler_running_ = true;
}

void Endpoint::end_handler(int result) {
  {
    rt::Lock lock(mutex_);
    handler_running_ = false;
    handler_done_.notify_all();
    if (result == 0 || claimed_) return;
    claimed_ = true;
  }
  finish(result);
}

void Endpoint::destroy(int reason) {
  rt::assert_none_held(rt::LockRank::handler);
  {
    const bool dispatching = core_.dispatcher.on_dispatching_thread();
    rt::Lock lock(mutex_);
    HW_ASSERT(!claimed_, "cm-connection-destroyed-twice");
    claimed_ = true;
    HW_ASSERT(!(handler_running_ && dispatching), "cm-connection-destroyed-in-own-handler");
    while (handler_running_) {
      HW_PROBE("cm-destroy-waits");
      handler_done_.wait(mutex_);
    }
  }
  finish(reason);
}

// A destroyed connection does not repeat its DREQ [spec 5.5]. If that one is lost and the process ends, the peer would
// wait for ever: so the record says "DREQ sent" through timewait, and the agent takes the asking over.
void Endpoint::keep_farewell() {
  if (state_ != State::established && state_ != State::dreq_sent) return;
  farewell_ = std::move(ledger_);
  update(farewell_.get(), [](LedgerRecord& r) { r.cm_state = static_cast<std::uint8_t>(State::dreq_sent); });
}

void Endpoint::finish(int reason) {
  LedgerHold record;  // released outside the lock
  {
    rt::Lock lock(mutex_);
    keep_farewell();
    end_by_destroy(reason);
    record = std::move(ledger_);
  }
  core_.tables.erase_local(local_id());
  delete std::exchange(connection_, nullptr);
}

}  // namespace hawser::cm
