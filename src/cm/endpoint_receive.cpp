// What the peer's messages and the timers do to a connection: the "rcvd" and "timeout" rows of [spec 5.5], and the
// duplicates of [spec 5.6].
#include "base/probe.hpp"
#include "cm/answers.hpp"
#include "cm/endpoint.hpp"
#include "cm/timing.hpp"

namespace hawser::cm {
namespace {

Event::Rep event_of(const MadHeader& header, const Rep& rep) {
  Event::Rep e;
  e.remote_guid = rep.local_ca_guid;
  e.remote_qpn = rep.local_qpn;
  e.starting_psn = rep.starting_psn;
  e.responder_resources = rep.responder_resources;
  e.initiator_depth = rep.initiator_depth;
  e.target_ack_delay = rep.target_ack_delay;
  e.rnr_retry_count = rep.rnr_retry_count;
  e.flow_control = rep.flow_control;
  e.srq = rep.srq;
  e.ece = {rep.vendor_id(), header.attribute_modifier};
  return e;
}

Event make_event(EventKind kind, std::span<const std::byte> private_data = {}) {
  Event event;
  event.kind = kind;
  event.private_data = private_data;
  return event;
}

Event failure(EventKind kind, int error) {
  Event event = make_event(kind);
  event.error = error;
  return event;
}

}  // namespace

// [spec 5.7.2-5.7.4, 1.12.4]
void Endpoint::become_req_rcvd(const MadHeader& header, const Req& req, const Path& path) {
  rt::Lock lock(mutex_);
  path_ = path;
  address_ = address_of(path);
  remote_id_ = req.local_comm_id;
  remote_guid_ = req.local_ca_guid;
  remote_qpn_ = req.local_qpn;
  send_psn_ = req.starting_psn;
  active_ = false;
  peer_tid_ = answer_tid_ = header.tid;
  request_timeout_ = cm_time(req.local_cm_response_timeout);
  max_cm_retries_ = req.max_cm_retries;
  ack_timeout_ = static_cast<std::uint8_t>(path.packet_life_time + 1);
  responder_resources_ = req.initiator_depth;  // what the one asks, the other gives [spec 5.7]
  initiator_depth_ = req.responder_resources;
  retry_count_ = req.retry_count;
  rnr_retry_count_ = req.rnr_retry_count;
  core_.tables.insert_remote(remote_id_, remote_qpn_, remote_guid_, shared_from_this());
  in_remote_tables_ = true;
  become(State::req_rcvd);
}

void Endpoint::send_mra(Answered answered, const verbs::MadAddress& to) {
  Mra mra;
  mra.local_comm_id = local_id();
  mra.remote_comm_id = remote_id_;
  mra.answered = answered;
  mra.service_timeout = mra_service_timeout_;
  core_.sender.send(to, encode({.tid = answer_tid_}, mra));
}

// In every other state the peer's REP or its silence is answer enough [spec 5.6.2, 4 #52].
void Endpoint::on_duplicate_req(const verbs::MadAddress& from) {
  core_.counters.duplicates.count();
  rt::Lock lock(mutex_);
  if (state_ != State::mra_req_sent) return;
  HW_PROBE("cm-duplicate-req-answered");
  send_mra(Answered::req, from);
}

void Endpoint::on_rep(const MadHeader& header, const Rep& rep, const verbs::MadAddress& from) {
  RepOutcome outcome;
  {
    rt::Lock lock(mutex_);
    outcome = take_rep(header, rep, from);
  }
  if (outcome == RepOutcome::accepted) {
    Event event = make_event(EventKind::rep_received, rep.private_data);
    event.rep = event_of(header, rep);
    deliver(event);
  } else if (outcome == RepOutcome::stale) {
    answer_stale(core_, Answered::rep, header.tid, rep.local_comm_id, local_id(), rep.local_qpn, rep.local_ca_guid,
                 from);
  }
}

// [spec 5.5.10, 5.6.4, 5.7.3-5.7.5, 1.12.8]
Endpoint::RepOutcome Endpoint::take_rep(const MadHeader& header, const Rep& rep, const verbs::MadAddress& from) {
  if (state_ != State::req_sent && state_ != State::mra_req_rcvd) {
    on_duplicate_rep(rep, from);
    return RepOutcome::dropped;
  }
  if (core_.tables.find_remote_id(rep.local_comm_id, rep.local_ca_guid) != nullptr) {
    core_.counters.unmatched.count();
    return RepOutcome::dropped;
  }
  if (core_.tables.find_remote_qpn(rep.local_qpn, rep.local_ca_guid) != nullptr) return RepOutcome::stale;
  request_answered();
  peer_tid_ = header.tid;
  remote_id_ = rep.local_comm_id;
  remote_guid_ = rep.local_ca_guid;
  remote_qpn_ = rep.local_qpn;
  send_psn_ = rep.starting_psn;
  initiator_depth_ = rep.responder_resources;
  responder_resources_ = rep.initiator_depth;
  rnr_retry_count_ = rep.rnr_retry_count;
  ack_timeout_ = combine_ack_timeout(rep.target_ack_delay, static_cast<std::uint8_t>(ack_timeout_ - 1));
  core_.tables.insert_remote(remote_id_, remote_qpn_, remote_guid_, shared_from_this());
  in_remote_tables_ = true;
  become(State::rep_rcvd);
  return RepOutcome::accepted;
}

// [spec 5.6.3]
void Endpoint::on_duplicate_rep(const Rep& rep, const verbs::MadAddress& from) {
  if (!active_ || rep.local_comm_id != remote_id_) {
    core_.counters.unmatched.count();
    return;
  }
  core_.counters.duplicates.count();
  if (state_ == State::established) {
    HW_PROBE("cm-duplicate-rep-answered");
    core_.sender.send(from, encode({.tid = answer_tid_}, make_rtu()));
  } else if (state_ == State::mra_rep_sent) {
    send_mra(Answered::rep, from);
  }
}

// [spec 5.5.11]
void Endpoint::on_rtu(const Rtu& rtu) {
  {
    rt::Lock lock(mutex_);
    if (rtu.local_comm_id != remote_id_) {
      core_.counters.unmatched.count();
      return;
    }
    if (!awaits_rtu()) {
      core_.counters.duplicates.count();
      return;
    }
    request_answered();
    become(State::established);
  }
  deliver(make_event(EventKind::rtu_received, rtu.private_data));
}

// [spec 5.5.9]
void Endpoint::on_mra(const Mra& mra) {
  {
    rt::Lock lock(mutex_);
    // Until the REP arrived we know no id of the peer, so the one in an MRA for the REQ proves nothing [spec 5.6].
    if (mra.answered != Answered::req && mra.local_comm_id != remote_id_) {
      core_.counters.unmatched.count();
      return;
    }
    State next{};
    if (state_ == State::req_sent && mra.answered == Answered::req) {
      next = State::mra_req_rcvd;
    } else if (state_ == State::rep_sent && mra.answered == Answered::rep) {
      next = State::mra_rep_rcvd;
    } else {
      core_.counters.duplicates.count();
      return;
    }
    if (!core_.window.extend(request_, mra_time(mra.service_timeout, ack_timeout_))) {
      core_.counters.unmatched.count();
      return;
    }
    become(next);
  }
  deliver(make_event(EventKind::mra_received, mra.private_data));
}

void Endpoint::on_rej(const Rej& rej) {
  {
    rt::Lock lock(mutex_);
    if (!take_rej(rej)) {
      core_.counters.unmatched.count();
      return;
    }
  }
  Event event = make_event(EventKind::rej_received, rej.private_data);
  event.rej.reason = rej.reason;
  event.rej.additional_info = std::span<const std::byte>(rej.additional_info)
                                  .first(std::min<std::size_t>(rej.additional_info_length, rej.additional_info.size()));
  deliver(event);
}

// [spec 5.5.15, 4 #54]
bool Endpoint::take_rej(const Rej& rej) {
  const bool by_guid = rej.reason == static_cast<std::uint16_t>(RejectReason::timeout);  // found by their id and GUID
  const CommId expected = !by_guid && rej.answered == Answered::req ? CommId{} : rej.local_comm_id;
  if (remote_id_ != expected) return false;
  switch (state_) {
    case State::req_sent:
    case State::mra_req_rcvd:
    case State::rep_sent:
    case State::mra_rep_rcvd:
    case State::req_rcvd:
    case State::mra_req_sent:
      request_answered();
      if (rej.reason == static_cast<std::uint16_t>(RejectReason::stale_connection)) {
        enter_timewait();
      } else {
        become_idle();
      }
      return true;
    case State::dreq_sent:
    case State::rep_rcvd:
    case State::mra_rep_sent:
    case State::established:
      request_answered();
      answer_data_.clear();  // the RTU's: a DREQ that comes now gets an empty DREP
      enter_timewait();
      return true;
    default: return false;
  }
}

void Endpoint::on_dreq(const MadHeader& header, const Dreq& dreq, const verbs::MadAddress& from) {
  {
    rt::Lock lock(mutex_);
    if (!take_dreq(header, dreq, from)) return;
  }
  deliver(make_event(EventKind::dreq_received, dreq.private_data));
}

// [spec 5.5.13, 5.6.10, 5.7.7, 4 #57]
bool Endpoint::take_dreq(const MadHeader& header, const Dreq& dreq, const verbs::MadAddress& from) {
  if (dreq.remote_qpn != local_qpn_) {
    core_.counters.unmatched.count();
    return false;
  }
  switch (state_) {
    case State::rep_sent:  // the RTU was lost; its timer ends here, or destroy would find it [spec 4 #57]
    case State::mra_rep_rcvd:
    case State::dreq_sent:
    case State::established:
      request_answered();
      peer_tid_ = answer_tid_ = header.tid;
      answer_data_.clear();
      become(State::dreq_rcvd);
      return true;
    case State::idle:  // over for us since long: the peer lost every DREP until now, and would wait for its last retry
    case State::timewait:
      HW_PROBE("cm-late-dreq-answered");
      core_.counters.duplicates.count();
      core_.sender.send(from, encode({.tid = header.tid}, make_drep()));
      return false;
    default: core_.counters.duplicates.count(); return false;
  }
}

// [spec 5.5.14]
void Endpoint::on_drep(const Drep& drep) {
  {
    rt::Lock lock(mutex_);
    if (drep.local_comm_id != remote_id_ || (state_ != State::dreq_sent && state_ != State::dreq_rcvd)) {
      core_.counters.unmatched.count();
      return;
    }
    request_answered();
    enter_timewait();
  }
  deliver(make_event(EventKind::drep_received, drep.private_data));
}

// The request that expired counts only if it is still the one that we wait for [spec 5.5.16-5.5.18, 5.6.8, 5.5.19].
void Endpoint::on_request_expired(RequestToken token) {
  std::optional<EventKind> kind;
  {
    rt::Lock lock(mutex_);
    if (token != request_) {
      HW_PROBE("cm-expired-too-late");
      return;
    }
    request_ = {};
    kind = give_up();
  }
  if (kind) deliver(failure(*kind, ETIMEDOUT));
}

void Endpoint::on_unreachable(const Gid& remote) {
  std::optional<EventKind> kind;
  {
    rt::Lock lock(mutex_);
    if (state_ != State::req_sent && state_ != State::sidr_req_sent) return;  // somebody answered all the same
    if (remote != path_.remote) return;
    kind = give_up();
  }
  if (kind) deliver(failure(*kind, ECONNREFUSED));
}

// What was asked is not answered any more.
std::optional<EventKind> Endpoint::give_up() {
  switch (state_) {
    case State::req_sent:
    case State::mra_req_rcvd: become_idle(); return EventKind::req_error;
    case State::rep_sent:
    case State::mra_rep_rcvd: become_idle(); return EventKind::rep_error;
    case State::dreq_sent: enter_timewait(); return EventKind::dreq_error;
    case State::sidr_req_sent: become_idle(); return EventKind::sidr_req_error;
    default: return std::nullopt;
  }
}

// [spec 5.5.20]
void Endpoint::on_timewait_over(Qpn remote_qpn) {
  {
    rt::Lock lock(mutex_);
    if (state_ != State::timewait || remote_qpn != remote_qpn_) return;
    become(State::idle);
  }
  deliver(make_event(EventKind::timewait_exit));
}

}  // namespace hawser::cm
