#include "roce/rc_qp.hpp"

#include <algorithm>

#include "roce/outbox.hpp"
#include "roce/rc_requester.hpp"
#include "roce/rc_responder.hpp"

namespace hawser::roce {
namespace {

bool is_response(Operation operation) {
  return operation >= Operation::read_response_first && operation <= Operation::atomic_acknowledge;
}

}  // namespace

RcQp::RcQp(RcHost& host, RcLimits limits)
    : outbox_(std::make_unique<Outbox>(host, attributes_)),
      requester_(std::make_unique<Requester>(host, attributes_, limits, counters_, *outbox_)),
      responder_(std::make_unique<Responder>(host, attributes_, counters_, *outbox_)) {}

RcQp::~RcQp() = default;

// What the program saw arrive is acknowledged before it can end the QP: its peer must not take it for lost.
void RcQp::reset() {
  responder_->flush_acks();
  requester_->reset();
  responder_->reset();
  counters_ = {};
}

void RcQp::ready_to_receive(const RcAttributes& attributes) {
  attributes_ = attributes;
  responder_->start();
}

void RcQp::ready_to_send(const RcAttributes& attributes) {
  attributes_ = attributes;
  requester_->start();
}

void RcQp::update(const RcAttributes& attributes) { attributes_ = attributes; }
void RcQp::drain_sends() { requester_->drain(); }
void RcQp::resume_sends() { requester_->resume(); }

void RcQp::flush() {
  responder_->flush_acks();
  requester_->flush();
  responder_->flush();
}

void RcQp::post_send(SendWork&& work) { requester_->post(std::move(work)); }
std::size_t RcQp::sends_outstanding() const { return requester_->outstanding(); }

void RcQp::on_packet(const Packet& packet, const IpAddress& source) {
  if (source != attributes_.remote || packet.bth.opcode.transport != Transport::rc) return;
  if (requester_->failed() || responder_->failed()) return;
  if (is_response(packet.bth.opcode.operation)) {
    requester_->on_response(packet);
  } else {
    responder_->on_request(packet);
  }
}

void RcQp::on_time(rt::Time now) {
  requester_->on_time(now);
  responder_->on_time(now);
}

rt::Time RcQp::next_deadline() const { return std::min(requester_->next_deadline(), responder_->next_deadline()); }
void RcQp::flush_acks() { responder_->flush_acks(); }

const RcCounters& RcQp::counters() const { return counters_; }
Psn RcQp::send_psn() const { return requester_->next_psn(); }
Psn RcQp::receive_psn() const { return responder_->expected(); }

}  // namespace hawser::roce
