#include "roce/rc_responder.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/assert.hpp"
#include "roce/aeth.hpp"
#include "roce/sge.hpp"

namespace hawser::roce {
namespace {

// READ responses sent in one go. Our requesters ask for less at a time; others may ask for gigabytes, and the owner's
// lock is held meanwhile.
constexpr std::uint64_t response_burst_bytes = std::uint64_t{256} * 1024;

}  // namespace

// --- States

void RcQp::Responder::reset() {
  state_ = State::stopped;
  established_ = silent_ = ack_owed_ = false;
  message_.reset();
  executed_.clear();
  executed_next_ = 0;
  jobs_.clear();
}

void RcQp::Responder::start() {
  reset();
  mtu_ = mtu_bytes(attributes_.path_mtu);
  expected_ = attributes_.receive_psn;
  msn_ = 0;
  state_ = State::running;
}

void RcQp::Responder::flush() {
  const auto interrupted = std::move(message_);
  reset();
  state_ = State::failed;
  if (interrupted && interrupted->kind == Kind::send) {
    host_.complete_receive(
        {.wr_id = interrupted->receive.wr_id, .status = WcStatus::wr_flush_err, .opcode = WcOpcode::recv});
  }
}

// --- Requests

std::optional<RcQp::Responder::Request> RcQp::Responder::classify(Operation operation) {
  switch (operation) {
    case Operation::send_first: return Request{Kind::send, true, false};
    case Operation::send_middle: return Request{Kind::send, false, false};
    case Operation::send_last:
    case Operation::send_last_imm:
    case Operation::send_last_inv: return Request{Kind::send, false, true};
    case Operation::send_only:
    case Operation::send_only_imm:
    case Operation::send_only_inv: return Request{Kind::send, true, true};
    case Operation::write_first: return Request{Kind::write, true, false};
    case Operation::write_middle: return Request{Kind::write, false, false};
    case Operation::write_last:
    case Operation::write_last_imm: return Request{Kind::write, false, true};
    case Operation::write_only:
    case Operation::write_only_imm: return Request{Kind::write, true, true};
    case Operation::read_request: return Request{Kind::read, true, true};
    case Operation::cmp_swap:
    case Operation::fetch_add: return Request{Kind::atomic, true, true};
    default: return std::nullopt;
  }
}

void RcQp::Responder::on_request(const Packet& packet) {
  const auto request = classify(packet.bth.opcode.operation);
  if (state_ != State::running || !request) return;
  const std::int32_t distance = packet.bth.psn.distance_from(expected_);
  if (distance < 0) return on_duplicate(packet, *request);
  if (distance > 0) {
    ++counters_.out_of_sequence;
    // One NAK a gap; none while earlier responses are still going out, which it would overtake.
    if (!silent_ && jobs_.empty()) send_ack(aeth_nak_sequence, expected_);
    silent_ = silent_ || jobs_.empty();
    return;
  }
  silent_ = false;
  if (!in_sequence(*request) || !right_length(packet, *request) || !permitted(*request, packet)) {
    return refuse(aeth_nak_invalid_request);
  }
  if (!established_) {
    established_ = true;
    host_.communication_established();
  }
  switch (request->kind) {
    case Kind::send: return execute_send(packet, *request);
    case Kind::write: return execute_write(packet, *request);
    case Kind::read: return execute_read(packet);
    case Kind::atomic: return execute_atomic(packet);
  }
}

bool RcQp::Responder::in_sequence(const Request& request) const {
  if (request.first) return !message_;
  return message_ && message_->kind == request.kind;
}

bool RcQp::Responder::right_length(const Packet& packet, const Request& request) const {
  const std::size_t bytes = packet.payload.size();
  switch (request.kind) {
    case Kind::read: return bytes == 0 && packet.reth->length <= message_bytes_max;
    case Kind::atomic: return bytes == 0;
    case Kind::send:
    case Kind::write: break;
  }
  if (!request.last && bytes != mtu_) return false;
  if (request.last && (bytes > mtu_ || (!request.first && bytes == 0))) return false;
  if (request.kind == Kind::send) return true;
  // What a WRITE brings must be what its first packet has announced.
  const std::uint64_t announced = request.first ? packet.reth->length : message_->reth.length;
  const std::uint64_t received = (request.first ? 0 : message_->received) + bytes;
  if (announced > message_bytes_max) return false;
  return request.last ? received == announced : received < announced;
}

// Whether the queue pair serves such requests at all; keys are looked at later.
bool RcQp::Responder::permitted(const Request& request, const Packet& packet) const {
  const auto has = [&](std::uint32_t right) { return (attributes_.remote_access & right) != 0; };
  switch (request.kind) {
    case Kind::send: return true;
    case Kind::write: return has(access::remote_write);
    case Kind::read: return has(access::remote_read) && jobs_.size() < attributes_.max_dest_rd_atomic;
    case Kind::atomic:
      return has(access::remote_atomic) && jobs_.size() < attributes_.max_dest_rd_atomic &&
             packet.atomic_eth->virtual_address % atomic_bytes == 0;
  }
  return false;
}

void RcQp::Responder::execute_send(const Packet& packet, const Request& request) {
  if (request.first) {
    auto receive = host_.take_receive();
    if (!receive) return not_ready();
    const std::uint64_t capacity = total_bytes(receive->sges);
    message_ = Message{.kind = Kind::send, .receive = std::move(*receive), .capacity = capacity};
  }
  if (packet.payload.size() > message_->capacity - message_->received) {
    return refuse(aeth_nak_invalid_request, WcStatus::loc_len_err);
  }
  if (!scatter(host_, message_->receive.sges, message_->received, packet.payload)) {
    return refuse(aeth_nak_remote_operational, WcStatus::loc_prot_err);
  }
  if (packet.ieth && !host_.invalidate(packet.ieth->rkey)) return refuse(aeth_nak_remote_access);
  message_->received += packet.payload.size();
  if (!request.last) return accept(packet, false);
  const Completion completion{.wr_id = message_->receive.wr_id,
                              .opcode = WcOpcode::recv,
                              .byte_len = static_cast<std::uint32_t>(message_->received),
                              .imm_data = packet.imm ? packet.imm->data : 0,
                              .invalidated_rkey = packet.ieth ? packet.ieth->rkey : RKey{},
                              .with_imm = packet.imm.has_value(),
                              .with_inv = packet.ieth.has_value(),
                              .solicited = packet.bth.solicited};
  accept(packet, true);
  host_.complete_receive(completion);
}

void RcQp::Responder::execute_write(const Packet& packet, const Request& request) {
  const Reth reth = request.first ? *packet.reth : message_->reth;
  const std::uint64_t offset = request.first ? 0 : message_->received;
  const auto bytes = static_cast<std::uint32_t>(packet.payload.size());
  // The whole range is checked first, so that a WRITE that may not end does not begin. No bytes need no key.
  if (request.first && reth.length > 0 &&
      host_.remote_memory(reth.rkey, reth.virtual_address, reth.length, access::remote_write) == nullptr) {
    return refuse(aeth_nak_remote_access);
  }
  std::byte* memory = nullptr;
  if (bytes > 0) {
    memory = host_.remote_memory(reth.rkey, reth.virtual_address + offset, bytes, access::remote_write);
    if (memory == nullptr) return refuse(aeth_nak_remote_access);
  }
  std::optional<RecvWork> receive;
  if (packet.imm) {
    receive = host_.take_receive();
    if (!receive) return not_ready();
  }
  if (bytes > 0) std::memcpy(memory, packet.payload.data(), bytes);
  if (request.first) message_ = Message{.kind = Kind::write, .reth = reth};
  message_->received = offset + bytes;
  accept(packet, request.last);
  if (!receive) return;
  host_.complete_receive({.wr_id = receive->wr_id,
                          .opcode = WcOpcode::recv_rdma_with_imm,
                          .byte_len = reth.length,
                          .imm_data = packet.imm->data,
                          .with_imm = true,
                          .solicited = packet.bth.solicited});
}

void RcQp::Responder::accept(const Packet& packet, bool last) {
  expected_ = expected_.plus(1);
  if (last) {
    msn_ = (msn_ + 1) & 0xFFFFFF;
    message_.reset();
  }
  if (!packet.bth.ack_request) return;
  if (ack_owed_) ++counters_.acks_coalesced;
  ack_owed_ = true;
}

void RcQp::Responder::execute_read(const Packet& packet) {
  const Reth& reth = *packet.reth;
  if (reth.length > 0 &&
      host_.remote_memory(reth.rkey, reth.virtual_address, reth.length, access::remote_read) == nullptr) {
    return refuse(aeth_nak_remote_access);
  }
  const Psn first = expected_;
  const std::uint32_t packets = packets_for(reth.length);
  expected_ = expected_.plus(packets);
  msn_ = (msn_ + 1) & 0xFFFFFF;
  ack_owed_ = false;  // the response acknowledges what came before
  remember({.first = first, .packets = packets, .kind = Kind::read, .reth = reth});
  enqueue({.next = first, .kind = Kind::read, .remaining = reth});
}

void RcQp::Responder::execute_atomic(const Packet& packet) {
  const AtomicEth& eth = *packet.atomic_eth;
  std::byte* memory = host_.remote_memory(eth.rkey, eth.virtual_address, atomic_bytes, access::remote_atomic);
  if (memory == nullptr || reinterpret_cast<std::uintptr_t>(memory) % atomic_bytes != 0) {
    return refuse(aeth_nak_remote_access);
  }
  // Atomic towards other queue pairs of this process and towards the program itself.
  const std::atomic_ref<std::uint64_t> target(*reinterpret_cast<std::uint64_t*>(memory));
  std::uint64_t original = eth.compare;
  if (packet.bth.opcode.operation == Operation::fetch_add) {
    original = target.fetch_add(eth.swap_add);
  } else {
    target.compare_exchange_strong(original, eth.swap_add);  // leaves what it found in `original`
  }
  const Psn psn = expected_;
  expected_ = expected_.plus(1);
  msn_ = (msn_ + 1) & 0xFFFFFF;
  ack_owed_ = false;
  remember({.first = psn, .packets = 1, .kind = Kind::atomic, .original = original});
  enqueue({.next = psn, .kind = Kind::atomic, .original = original});
}

// --- Repetitions: what was executed before is answered again, never executed again.

void RcQp::Responder::on_duplicate(const Packet& packet, const Request& request) {
  ++counters_.duplicates;
  switch (request.kind) {
    case Kind::send:
    case Kind::write: ack_owed_ = true; return;
    case Kind::read: return repeat_read(packet);
    case Kind::atomic: return repeat_atomic(packet);
  }
}

// A READ changes nothing, so that it may be done again, from its beginning or from where responses were lost.
void RcQp::Responder::repeat_read(const Packet& packet) {
  const Executed* known = find_executed(packet.bth.psn, Kind::read);
  if (known == nullptr) return;
  const Reth& reth = *packet.reth;
  const std::uint64_t skipped =
      static_cast<std::uint64_t>(packet.bth.psn.distance_from(known->first)) * std::uint64_t{mtu_};
  if (reth.rkey != known->reth.rkey || reth.virtual_address != known->reth.virtual_address + skipped ||
      reth.length > known->reth.length - skipped) {
    return;
  }
  const bool being_answered = std::ranges::any_of(
      jobs_, [&](const Job& job) { return job.kind == Kind::read && find_executed(job.next, Kind::read) == known; });
  if (being_answered || jobs_.size() >= attributes_.max_dest_rd_atomic) return;
  enqueue({.next = packet.bth.psn, .kind = Kind::read, .remaining = reth});
}

void RcQp::Responder::repeat_atomic(const Packet& packet) {
  const Executed* known = find_executed(packet.bth.psn, Kind::atomic);
  if (known == nullptr || jobs_.size() >= attributes_.max_dest_rd_atomic) return;
  enqueue({.next = packet.bth.psn, .kind = Kind::atomic, .original = known->original});
}

const RcQp::Responder::Executed* RcQp::Responder::find_executed(Psn psn, Kind kind) const {
  for (const Executed& executed : executed_) {
    const std::int32_t distance = psn.distance_from(executed.first);
    if (executed.kind == kind && distance >= 0 && static_cast<std::uint32_t>(distance) < executed.packets) {
      return &executed;
    }
  }
  return nullptr;
}

void RcQp::Responder::remember(const Executed& executed) {
  if (executed_.size() < attributes_.max_dest_rd_atomic) {
    executed_.push_back(executed);
    return;
  }
  executed_[executed_next_] = executed;
  executed_next_ = (executed_next_ + 1) % executed_.size();
}

// --- Answers

void RcQp::Responder::enqueue(const Job& job) {
  jobs_.push_back(job);
  if (jobs_.size() == 1) serve_jobs();
}

// Sends responses in order of their requests, a burst at a time; on_time() goes on with the rest.
void RcQp::Responder::serve_jobs() {
  for (std::uint64_t sent = 0; !jobs_.empty() && sent < response_burst_bytes; sent += mtu_) {
    Job& job = jobs_.front();
    if (job.kind == Kind::atomic) {
      Packet packet;
      packet.bth.opcode.operation = Operation::atomic_acknowledge;
      packet.bth.psn = job.next;
      packet.aeth = Aeth{aeth_ack, msn_};
      packet.atomic_ack_eth = AtomicAckEth{job.original};
      outbox_.send(packet);
      jobs_.pop_front();
    } else {
      const bool last = job.remaining.length <= mtu_;
      // The memory was there when the request came; it has been deregistered since.
      if (!send_read_response(job)) return refuse(aeth_nak_remote_access);
      if (last) jobs_.pop_front();
    }
  }
  if (!jobs_.empty()) jobs_since_ = host_.now();
}

bool RcQp::Responder::send_read_response(Job& job) {
  const std::uint32_t bytes = std::min(job.remaining.length, mtu_);
  const bool last = job.remaining.length <= mtu_;
  Packet packet;
  packet.bth.opcode.operation = last ? (job.started ? Operation::read_response_last : Operation::read_response_only)
                                     : (job.started ? Operation::read_response_middle : Operation::read_response_first);
  packet.bth.psn = job.next;
  if (last || !job.started) packet.aeth = Aeth{aeth_ack, msn_};
  const bool sent = outbox_.send(packet, bytes, [&](std::span<std::byte> out) {
    if (out.empty()) return true;
    const std::byte* memory =
        host_.remote_memory(job.remaining.rkey, job.remaining.virtual_address, bytes, access::remote_read);
    if (memory != nullptr) std::memcpy(out.data(), memory, out.size());
    return memory != nullptr;
  });
  job.started = true;
  job.next = job.next.plus(1);
  job.remaining.virtual_address += bytes;
  job.remaining.length -= bytes;
  return sent;
}

void RcQp::Responder::on_time(rt::Time now) {
  if (jobs_.empty() || now < jobs_since_) return;
  serve_jobs();
  flush_acks();
}

void RcQp::Responder::flush_acks() {
  if (state_ != State::running || !ack_owed_ || !jobs_.empty()) return;
  send_ack(aeth_ack, expected_.minus(1));
}

// ACK, NAK or RNR NAK: each acknowledges all before it, so that nothing else is owed.
void RcQp::Responder::send_ack(std::uint8_t syndrome, Psn psn) {
  Packet packet;
  packet.bth.opcode.operation = Operation::acknowledge;
  packet.bth.psn = psn;
  packet.aeth = Aeth{syndrome, msn_};
  ack_owed_ = false;
  if (aeth_kind(syndrome) == AethKind::nak) {
    ++counters_.naks_sent;
    silent_ = true;
  }
  outbox_.send(packet);
}

// No receive is posted: the requester shall come back with this very packet.
void RcQp::Responder::not_ready() {
  ++counters_.rnr_naks_sent;
  silent_ = true;
  send_ack(aeth_rnr_nak(attributes_.min_rnr_timer), expected_);
}

// The request cannot be executed, and no later one will be: both ends enter the error state.
void RcQp::Responder::refuse(std::uint8_t nak, WcStatus receive_status) {
  jobs_.clear();
  send_ack(nak, expected_);
  const auto interrupted = std::move(message_);
  reset();
  state_ = State::failed;
  const bool has_receive = interrupted && interrupted->kind == Kind::send;
  if (has_receive) {
    host_.complete_receive(
        {.wr_id = interrupted->receive.wr_id, .status = receive_status, .opcode = WcOpcode::recv, .vendor_err = nak});
  }
  const auto why = nak == aeth_nak_remote_access ? ResponderError::access_violation : ResponderError::invalid_request;
  host_.entered_error(has_receive ? std::nullopt : std::optional(why));
}

std::uint32_t RcQp::Responder::packets_for(std::uint64_t bytes) const {
  return std::max(1U, static_cast<std::uint32_t>((bytes + mtu_ - 1) / mtu_));
}

}  // namespace hawser::roce
