#include "roce/rc_requester.hpp"

#include <algorithm>
#include <cstring>

#include "base/assert.hpp"
#include "roce/aeth.hpp"
#include "roce/sge.hpp"

namespace hawser::roce {
namespace {

// What a packet costs of a peer's socket buffer besides its payload, roughly.
constexpr std::uint64_t packet_overhead_bytes = 256;
constexpr std::uint32_t ack_request_interval_packets = 16;
constexpr unsigned rnr_retry_for_ever = 7;

bool is_atomic(WorkOp op) { return op == WorkOp::atomic_cmp_and_swp || op == WorkOp::atomic_fetch_and_add; }
// Answered by data, not by an ACK.
bool expects_response(WorkOp op) { return op == WorkOp::rdma_read || is_atomic(op); }

WcOpcode completion_opcode(WorkOp op) {
  switch (op) {
    case WorkOp::rdma_write:
    case WorkOp::rdma_write_with_imm: return WcOpcode::rdma_write;
    case WorkOp::rdma_read: return WcOpcode::rdma_read;
    case WorkOp::atomic_cmp_and_swp: return WcOpcode::comp_swap;
    case WorkOp::atomic_fetch_and_add: return WcOpcode::fetch_add;
    case WorkOp::send:
    case WorkOp::send_with_imm:
    case WorkOp::send_with_inv: break;
  }
  return WcOpcode::send;
}

Operation send_operation(WorkOp op, bool first, bool last) {
  if (!last) return first ? Operation::send_first : Operation::send_middle;
  switch (op) {
    case WorkOp::send_with_imm: return first ? Operation::send_only_imm : Operation::send_last_imm;
    case WorkOp::send_with_inv: return first ? Operation::send_only_inv : Operation::send_last_inv;
    default: return first ? Operation::send_only : Operation::send_last;
  }
}

Operation write_operation(WorkOp op, bool first, bool last) {
  if (!last) return first ? Operation::write_first : Operation::write_middle;
  if (op == WorkOp::rdma_write_with_imm) return first ? Operation::write_only_imm : Operation::write_last_imm;
  return first ? Operation::write_only : Operation::write_last;
}

// Opcode and extended headers of the segment at `offset` of a message.
Packet request_packet(const SendWork& work, std::uint64_t length, std::uint64_t offset, std::uint64_t bytes, bool first,
                      bool last) {
  Packet packet;
  Operation& operation = packet.bth.opcode.operation;
  switch (work.op) {
    case WorkOp::send:
    case WorkOp::send_with_imm:
    case WorkOp::send_with_inv:
      operation = send_operation(work.op, first, last);
      packet.bth.solicited = last && work.solicited;
      if (last && work.op == WorkOp::send_with_imm) packet.imm = ImmDt{work.imm_data};
      if (last && work.op == WorkOp::send_with_inv) packet.ieth = Ieth{work.invalidate_rkey};
      break;
    case WorkOp::rdma_write:
    case WorkOp::rdma_write_with_imm:
      operation = write_operation(work.op, first, last);
      if (first) packet.reth = Reth{work.remote_addr, work.rkey, static_cast<std::uint32_t>(length)};
      if (last && work.op == WorkOp::rdma_write_with_imm) {
        packet.imm = ImmDt{work.imm_data};
        packet.bth.solicited = work.solicited;
      }
      break;
    case WorkOp::rdma_read:
      operation = Operation::read_request;
      packet.reth = Reth{work.remote_addr + offset, work.rkey, static_cast<std::uint32_t>(bytes)};
      break;
    case WorkOp::atomic_cmp_and_swp:
      operation = Operation::cmp_swap;
      packet.atomic_eth = AtomicEth{work.remote_addr, work.rkey, work.swap, work.compare_add};
      break;
    case WorkOp::atomic_fetch_and_add:
      operation = Operation::fetch_add;
      packet.atomic_eth = AtomicEth{work.remote_addr, work.rkey, work.compare_add, 0};
      break;
  }
  return packet;
}

}  // namespace

// --- States

void RcQp::Requester::reset() {
  queue_.clear();
  reads_.clear();
  state_ = State::stopped;
  deadline_ = rt::time_never;
  rnr_waiting_ = loss_handled_ = unknown_forgiven_ = false;
  front_acked_ = cursor_packet_ = packets_since_ack_request_ = 0;
  cursor_wqe_ = 0;
  in_flight_ = 0;
}

void RcQp::Requester::start() {
  mtu_ = mtu_bytes(attributes_.path_mtu);
  unacked_ = sent_end_ = end_ = attributes_.send_psn;
  window_ = limits_.in_flight_bytes_max;
  retries_left_ = attributes_.retry_count;
  rnr_retries_left_ = attributes_.rnr_retry;
  state_ = State::running;
  pump();
}

void RcQp::Requester::drain() {
  if (state_ != State::running) return;
  state_ = State::draining;
  drain_reported_ = false;
  settle();
}

void RcQp::Requester::resume() {
  if (state_ != State::draining) return;
  state_ = State::running;
  pump();
}

void RcQp::Requester::flush() {
  std::deque<Wqe> flushed;
  flushed.swap(queue_);
  reset();
  state_ = State::failed;
  for (const Wqe& wqe : flushed) {
    host_.complete_send(
        {.wr_id = wqe.work.wr_id, .status = WcStatus::wr_flush_err, .opcode = completion_opcode(wqe.work.op)});
  }
}

void RcQp::Requester::post(SendWork&& work) {
  const std::uint64_t length = work.inlined ? work.inline_data.size() : total_bytes(work.sges);
  queue_.push_back({.work = std::move(work), .length = length});
  pump();
}

// --- Sending

void RcQp::Requester::pump() {
  while (send_next()) {
  }
  settle();
}

// True if something was sent, so that more may follow.
bool RcQp::Requester::send_next() {
  if (state_ != State::running && state_ != State::draining) return false;
  if (rnr_waiting_ || cursor_wqe_ == queue_.size()) return false;
  Wqe& wqe = queue_[cursor_wqe_];
  if (wqe.failure != WcStatus::success) return false;
  if (!wqe.started && !begin(wqe)) return false;
  const Segment segment = segment_at(wqe, cursor_packet_);
  if (!may_go_out(wqe, segment)) return false;
  if (!transmit(wqe, segment)) {
    wqe.failure = WcStatus::loc_prot_err;
    return false;
  }
  const Psn after = wqe.first.plus(segment.index + segment.packets);
  if (expects_response(wqe.work.op)) reads_.push_back(after);
  if (after.after(sent_end_)) sent_end_ = after;
  in_flight_ += cost(wqe, segment.index, segment.packets);
  cursor_packet_ += segment.packets;
  if (cursor_packet_ == wqe.packets) {
    ++cursor_wqe_;
    cursor_packet_ = 0;
  }
  if (deadline_ == rt::time_never) restart_timer();
  return true;
}

// Gives the work its PSNs. False if it may not start now, or never (then it has a failure).
bool RcQp::Requester::begin(Wqe& wqe) {
  if (state_ == State::draining) return false;
  if (wqe.length > message_bytes_max || (is_atomic(wqe.work.op) && wqe.length != atomic_bytes)) {
    wqe.failure = WcStatus::loc_len_err;
  } else if (expects_response(wqe.work.op) && (attributes_.max_rd_atomic == 0 || wqe.work.inlined)) {
    wqe.failure = WcStatus::loc_qp_op_err;
  }
  if (wqe.failure != WcStatus::success) return false;
  if (wqe.work.fence && !reads_.empty()) return false;
  wqe.packets = is_atomic(wqe.work.op) ? 1 : std::max(1U, static_cast<std::uint32_t>((wqe.length + mtu_ - 1) / mtu_));
  wqe.first = end_;
  wqe.started = true;
  end_ = end_.plus(wqe.packets);
  return true;
}

bool RcQp::Requester::may_go_out(const Wqe& wqe, const Segment& segment) const {
  if (expects_response(wqe.work.op) && reads_.size() >= attributes_.max_rd_atomic) return false;
  return in_flight_ == 0 || in_flight_ + cost(wqe, segment.index, segment.packets) <= window_;
}

// A long READ is asked for in parts, so that its responses stay within the in-flight cap. The parts do not depend on
// what was lost: a responder knows a repeated request only if it lies within one that it has seen.
std::uint32_t RcQp::Requester::read_chunk_packets() const {
  return std::max(1U, limits_.in_flight_bytes_max / 4 / mtu_);
}

RcQp::Requester::Segment RcQp::Requester::segment_at(const Wqe& wqe, std::uint32_t index) const {
  Segment segment{.index = index, .packets = 1};
  if (wqe.work.op == WorkOp::rdma_read) {
    const std::uint32_t chunk = read_chunk_packets();
    segment.packets = std::min(wqe.packets, (index / chunk + 1) * chunk) - index;
  }
  segment.offset = std::uint64_t{index} * mtu_;
  segment.bytes = std::min(wqe.length, segment.offset + std::uint64_t{segment.packets} * mtu_) - segment.offset;
  return segment;
}

std::uint64_t RcQp::Requester::cost(const Wqe& wqe, std::uint32_t index, std::uint32_t packets) const {
  const auto bytes_before = [&](std::uint32_t n) { return std::min(wqe.length, std::uint64_t{n} * mtu_); };
  return bytes_before(index + packets) - bytes_before(index) + packets * packet_overhead_bytes;
}

// An acknowledgement is asked for where something waits for it: at the end of signaled work, of the queue, of the
// window, at every repetition's end, and now and then in between.
bool RcQp::Requester::wants_ack(const Wqe& wqe, const Segment& segment) {
  const bool last = segment.index + segment.packets == wqe.packets;
  const bool repeated = wqe.first.plus(segment.index).before(sent_end_);
  const bool at_end =
      last && (wqe.work.signaled || repeated || cursor_wqe_ + 1 == queue_.size() || state_ == State::draining);
  const std::uint64_t next = in_flight_ + cost(wqe, segment.index, segment.packets) + mtu_ + packet_overhead_bytes;
  const bool wanted = at_end || expects_response(wqe.work.op) || next > window_ ||
                      ++packets_since_ack_request_ >= ack_request_interval_packets;
  if (wanted) packets_since_ack_request_ = 0;
  return wanted;
}

// False if local memory is not what the work request said.
bool RcQp::Requester::transmit(const Wqe& wqe, const Segment& segment) {
  const SendWork& work = wqe.work;
  const bool last = segment.index + segment.packets == wqe.packets;
  Packet packet = request_packet(work, wqe.length, segment.offset, segment.bytes, segment.index == 0, last);
  packet.bth.psn = wqe.first.plus(segment.index);
  packet.bth.ack_request = wants_ack(wqe, segment);
  if (packet.bth.psn.before(sent_end_)) ++counters_.retransmits;
  if (expects_response(work.op)) {
    outbox_.send(packet);
    return true;
  }
  return outbox_.send(packet, static_cast<std::size_t>(segment.bytes), [&](std::span<std::byte> out) {
    if (!work.inlined) return gather(host_, work.sges, segment.offset, out);
    std::memcpy(out.data(), work.inline_data.data() + segment.offset, out.size());
    return true;
  });
}

// --- Answers

void RcQp::Requester::on_response(const Packet& packet) {
  if (state_ != State::running && state_ != State::draining) return;
  const std::int32_t distance = packet.bth.psn.distance_from(unacked_);
  // Older: answered before. Newer: never asked.
  if (distance < 0 || distance >= sent_end_.distance_from(unacked_)) return;
  switch (packet.bth.opcode.operation) {
    case Operation::acknowledge: on_acknowledge(packet.aeth->syndrome, static_cast<std::uint32_t>(distance)); break;
    case Operation::atomic_acknowledge: on_atomic_response(packet, static_cast<std::uint32_t>(distance)); break;
    default: on_read_response(packet, static_cast<std::uint32_t>(distance)); break;
  }
  pump();
}

// `distance`: of the packet's PSN from unacked_.
void RcQp::Requester::on_acknowledge(std::uint8_t syndrome, std::uint32_t distance) {
  const AethKind kind = aeth_kind(syndrome);
  if (kind == AethKind::reserved) return;
  if (kind == AethKind::ack) {
    // An ACK behind a READ whose response is missing says that the response was lost (implied NAK).
    if (!acknowledge(distance + 1)) on_sequence_loss();
    return;
  }
  // NAKs acknowledge what lies before them. (The oldest work is blamed for a fatal one if it still waits for data.)
  const bool reached = acknowledge(distance);
  if (queue_.empty()) return;
  if (kind == AethKind::rnr_nak) {
    ++counters_.rnr_naks_received;
    return reached ? on_rnr(syndrome & 0x1F, syndrome) : on_sequence_loss();
  }
  ++counters_.naks_received;
  switch (syndrome) {
    case aeth_nak_sequence: return on_sequence_loss();
    case aeth_nak_invalid_request: return fail_front(WcStatus::rem_inv_req_err, syndrome);
    case aeth_nak_remote_access: return fail_front(WcStatus::rem_access_err, syndrome);
    case aeth_nak_remote_operational: return fail_front(WcStatus::rem_op_err, syndrome);
    default: return;  // reserved for others than RC
  }
}

void RcQp::Requester::on_read_response(const Packet& packet, std::uint32_t distance) {
  if (packet.aeth && aeth_kind(packet.aeth->syndrome) != AethKind::ack) return;
  if (!acknowledge(distance)) return on_sequence_loss();
  if (queue_.empty()) return;
  const Wqe& wqe = queue_.front();
  if (wqe.work.op != WorkOp::rdma_read) return fail_front(WcStatus::bad_resp_err, 0);
  const std::uint64_t offset = std::uint64_t{front_acked_} * mtu_;
  if (packet.payload.size() != std::min<std::uint64_t>(mtu_, wqe.length - offset)) {
    return fail_front(WcStatus::bad_resp_err, 0);
  }
  if (!scatter(host_, wqe.work.sges, offset, packet.payload)) return fail_front(WcStatus::loc_prot_err, 0);
  advance(1);
}

void RcQp::Requester::on_atomic_response(const Packet& packet, std::uint32_t distance) {
  if (aeth_kind(packet.aeth->syndrome) != AethKind::ack) return;
  if (!acknowledge(distance)) return on_sequence_loss();
  if (queue_.empty()) return;
  const Wqe& wqe = queue_.front();
  if (!is_atomic(wqe.work.op) || !packet.payload.empty()) return fail_front(WcStatus::bad_resp_err, 0);
  const std::uint64_t original = packet.atomic_ack_eth->original;  // the program sees it in its own byte order
  if (!scatter(host_, wqe.work.sges, 0, std::as_bytes(std::span(&original, 1)))) {
    return fail_front(WcStatus::loc_prot_err, 0);
  }
  advance(1);
}

// Takes `packets` PSNs from unacked_ on as acknowledged. False if work stands in the way that only its response
// completes.
bool RcQp::Requester::acknowledge(std::uint32_t packets) {
  while (packets > 0) {
    if (queue_.empty()) HW_BUG("rc-acknowledged-nothing");
    const Wqe& wqe = queue_.front();
    if (expects_response(wqe.work.op)) return false;
    const std::uint32_t here = std::min(packets, wqe.packets - front_acked_);
    packets -= here;
    advance(here);
  }
  return true;
}

// The next `packets` packets of the oldest work are done: progress.
void RcQp::Requester::advance(std::uint32_t packets) {
  const Wqe& wqe = queue_.front();
  // After a go-back what lies behind the cursor is not counted as in flight; answers to it may come all the same.
  const std::uint32_t sent = cursor_wqe_ > 0 ? wqe.packets : cursor_packet_;
  const std::uint32_t counted = std::min(packets, sent > front_acked_ ? sent - front_acked_ : 0);
  const std::uint64_t bytes = cost(wqe, front_acked_, counted);
  HW_ASSERT(bytes <= in_flight_ || counted == 0, "rc-in-flight-underflow");
  if (counted > 0) in_flight_ -= bytes;
  grow_window(cost(wqe, front_acked_, packets));
  front_acked_ += packets;
  unacked_ = unacked_.plus(packets);
  if (cursor_wqe_ == 0) cursor_packet_ = std::max(cursor_packet_, front_acked_);
  while (!reads_.empty() && !reads_.front().after(unacked_)) reads_.erase(reads_.begin());
  retries_left_ = attributes_.retry_count;
  rnr_retries_left_ = attributes_.rnr_retry;
  loss_handled_ = rnr_waiting_ = unknown_forgiven_ = false;
  restart_timer();
  if (front_acked_ == wqe.packets) complete_front();
}

// --- Recovery

// The oldest packet, or the response to it, was lost.
void RcQp::Requester::on_sequence_loss() {
  if (loss_handled_ || rnr_waiting_) return;
  loss_handled_ = true;
  retry();
}

void RcQp::Requester::on_rnr(std::uint8_t timer, std::uint8_t syndrome) {
  if (rnr_waiting_) return;  // the network's duplicate
  if (attributes_.rnr_retry != rnr_retry_for_ever) {
    if (rnr_retries_left_ == 0) return fail_front(WcStatus::rnr_retry_exc_err, syndrome);
    --rnr_retries_left_;
  }
  rnr_waiting_ = true;
  deadline_ = host_.now() + rnr_delay(timer);
}

void RcQp::Requester::on_time(rt::Time now) {
  if (now < deadline_) return;
  if (rnr_waiting_) {
    rnr_waiting_ = false;
    go_back();
  } else {
    ++counters_.timeouts;
    switch (host_.peer_activity()) {
      case PeerActivity::running: retry(); break;
      case PeerActivity::unknown: std::exchange(unknown_forgiven_, true) ? retry() : go_back(); break;
      case PeerActivity::stopped: restart_timer(); break;
    }
    loss_handled_ = false;
  }
  pump();
}

// Sends everything from the oldest packet on once more, if that was not done too often without progress.
void RcQp::Requester::retry() {
  if (retries_left_ == 0) return fail_front(WcStatus::retry_exc_err, 0);
  --retries_left_;
  shrink_window();
  go_back();
}

void RcQp::Requester::go_back() {
  cursor_wqe_ = 0;
  cursor_packet_ = front_acked_;
  in_flight_ = 0;
  reads_.clear();
  packets_since_ack_request_ = 0;
  restart_timer();
}

void RcQp::Requester::shrink_window() { window_ = std::max<std::uint64_t>(window_ / 2, mtu_ + packet_overhead_bytes); }

void RcQp::Requester::grow_window(std::uint64_t acknowledged_bytes) {
  const std::uint64_t increase = acknowledged_bytes * mtu_ / std::max<std::uint64_t>(window_, 1);
  window_ = std::min<std::uint64_t>(window_ + std::max<std::uint64_t>(increase, 1), limits_.in_flight_bytes_max);
}

void RcQp::Requester::restart_timer() {
  const bool waiting = sent_end_ != unacked_;
  deadline_ = waiting && attributes_.timeout != 0 ? host_.now() + ack_timeout() : rt::time_never;
}

rt::Duration RcQp::Requester::ack_timeout() const {
  const rt::Duration nominal = std::chrono::nanoseconds(4096) * (1LL << (attributes_.timeout & 31));
  const rt::Duration first = std::max(nominal, limits_.ack_timeout_min);
  // The double after each retry, up to the four times that IBTA allows.
  const unsigned doublings = std::min(attributes_.retry_count - retries_left_, 2U);
  return std::max(first, std::min(first * (1U << doublings), limits_.ack_timeout_retried_max));
}

// --- Endings

void RcQp::Requester::complete_front() {
  const Wqe& wqe = queue_.front();
  const Completion completion{.wr_id = wqe.work.wr_id,
                              .opcode = completion_opcode(wqe.work.op),
                              .byte_len = static_cast<std::uint32_t>(wqe.length)};
  const bool signaled = wqe.work.signaled;
  queue_.pop_front();
  front_acked_ = 0;
  if (cursor_wqe_ > 0) {
    --cursor_wqe_;
  } else {
    cursor_packet_ = 0;
  }
  if (signaled) host_.complete_send(completion);
}

// Ends the oldest work with an error, signaled or not, and with it the queue pair. The owner flushes the rest.
void RcQp::Requester::fail_front(WcStatus status, std::uint32_t vendor_err) {
  const Completion completion{.wr_id = queue_.front().work.wr_id,
                              .status = status,
                              .opcode = completion_opcode(queue_.front().work.op),
                              .vendor_err = vendor_err};
  queue_.pop_front();
  state_ = State::failed;
  deadline_ = rt::time_never;
  host_.complete_send(completion);
  host_.entered_error(std::nullopt);
}

// After every change: tells a local error whose turn has come, and the end of draining.
void RcQp::Requester::settle() {
  if (state_ != State::running && state_ != State::draining) return;
  if (!queue_.empty() && queue_.front().failure != WcStatus::success) return fail_front(queue_.front().failure, 0);
  if (state_ != State::draining || drain_reported_) return;
  if (!queue_.empty() && queue_.front().started) return;
  drain_reported_ = true;
  host_.send_queue_drained();
}

}  // namespace hawser::roce
