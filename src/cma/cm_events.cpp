// What arrives on a connection: REP, RTU, REJ, DREQ, DREP, timeouts [spec 1.5].
#include "cma/core.hpp"
#include "cma/id.hpp"

namespace hawser::cma {
namespace {

Event response(const cm::Event& event) {
  Event up{.type = EventType::connect_response};
  up.conn.private_data = event.private_data;
  up.conn.responder_resources = event.rep.initiator_depth;  // the peer's depth is what we must be ready for [spec 5.7]
  up.conn.initiator_depth = event.rep.responder_resources;
  up.conn.flow_control = event.rep.flow_control;
  up.conn.rnr_retry_count = event.rep.rnr_retry_count;
  up.conn.srq = event.rep.srq;
  up.conn.qpn = event.rep.remote_qpn;
  up.ece = event.rep.ece;
  return up;
}

}  // namespace

// From the dispatcher, with no lock of cm held. Handler ≠ 0: cm destroys its connection after we returned, so the id
// forgets it first [spec 2.5.5].
int Id::on_cm_event(const cm::Event& event) {
  handler_mutex_.lock();
  const std::optional<Event> up = translate(event);
  const int result = up ? deliver(*up) : 0;
  if (result == 0) {
    handler_mutex_.unlock();
    return 0;
  }
  if (cm::Connection* const lower = connection()) {
    lower->attach_ledger(nullptr);
    set_connection(nullptr);
  }
  destroy_and_unlock();
  return result;
}

// Which event, if any; moves CONNECT → DISCONNECT. CONNECT and DISCONNECT are stable here.
// [spec 1.5.21, 1.5.13-1.5.20, 1.5.30]
std::optional<Event> Id::translate(const cm::Event& event) {
  const State now = state();
  if (event.kind == cm::EventKind::timewait_exit) {
    if (now != State::disconnect) return std::nullopt;
    return Event{.type = EventType::timewait_exit};
  }
  if (now != State::connect) return std::nullopt;
  switch (event.kind) {
    case cm::EventKind::req_error:
    case cm::EventKind::rep_error:
    case cm::EventKind::sidr_req_error: return Event{.type = EventType::unreachable, .status = -event.error};
    case cm::EventKind::rep_received:
      // The program may take its time: a peer that asks again gets an MRA instead of silence. The id has no QP here (it
      // is the program's), so the program answers.
      if (cm::Connection* const lower = connection()) static_cast<void>(lower->prepare_mra(mra_service_timeout));
      return response(event);
    case cm::EventKind::sidr_rep_received: return resolved_service(event);
    case cm::EventKind::rtu_received:
    case cm::EventKind::user_established: return Event{.type = EventType::established};
    case cm::EventKind::rej_received: {
      Event up{.type = EventType::rejected, .status = event.rej.reason};
      up.conn.private_data = event.private_data;
      return up;
    }
    case cm::EventKind::dreq_received:
    case cm::EventKind::drep_received:
    case cm::EventKind::dreq_error: {
      if (!move<State::connect, State::disconnect>()) return std::nullopt;
      const bool unanswered = event.kind == cm::EventKind::dreq_error;
      return Event{.type = EventType::disconnected, .status = unanswered ? -ETIMEDOUT : 0};
    }
    case cm::EventKind::mra_received:
    case cm::EventKind::req_received:
    case cm::EventKind::sidr_req_received:
    case cm::EventKind::timewait_exit: return std::nullopt;
  }
  return std::nullopt;
}

// What a SIDR_REP means [spec 1.5.22-1.5.24]. Another Q_Key than our QP's would make its datagrams unreadable.
Event Id::resolved_service(const cm::Event& event) {
  const cm::Event::SidrRep& answer = event.sidr_rep;
  Event up;
  up.ud.private_data = event.private_data;
  if (answer.status != cm::SidrStatus::success) {
    up.type = EventType::unreachable;
    up.status = static_cast<int>(answer.status);
    return up;
  }
  if (const Status fits = set_qkey(answer.qkey); !fits) {
    up.type = EventType::addr_error;
    up.status = -errno_of(fits);
    return up;
  }
  up.type = EventType::established;
  up.ece = answer.ece;
  rt::Lock lock(data_mutex_);
  up.ud.target = {.local = path_.local,
                  .remote = path_.remote,
                  .interface = path_.interface,
                  .traffic_class = path_.traffic_class,
                  .hop_limit = path_.hop_limit,
                  .sl = path_.sl,
                  .flow_label = path_.flow_label,
                  .qpn = answer.qpn,
                  .qkey = answer.qkey};
  return up;
}

}  // namespace hawser::cma
