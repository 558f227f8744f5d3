#include "roce/ud_qp.hpp"

#include <cstring>
#include <utility>

#include "base/assert.hpp"
#include "roce/network_header.hpp"
#include "roce/sge.hpp"

namespace hawser::roce {
namespace {

// A work request whose Q_Key has this bit set sends the queue pair's own one (IBTA 10.2.5): only who may set that one,
// may use it.
constexpr std::uint32_t own_qkey_bit = 0x80000000;

}  // namespace

void UdQp::reset() {
  sending_ = Sending::stopped;
  receiving_ = false;
  held_.clear();
}

void UdQp::ready_to_receive(const UdAttributes& attributes) {
  attributes_ = attributes;
  receiving_ = true;
}

void UdQp::ready_to_send(const UdAttributes& attributes, Psn first) {
  attributes_ = attributes;
  psn_ = first;
  sending_ = Sending::running;
}

void UdQp::update(const UdAttributes& attributes) { attributes_ = attributes; }

// What was posted before has been sent: a datagram waits for nobody.
void UdQp::drain_sends() {
  sending_ = Sending::draining;
  host_.send_queue_drained();
}

void UdQp::resume_sends() {
  sending_ = Sending::running;
  std::vector<SendWork> held;
  held.swap(held_);
  for (SendWork& work : held) post_send(std::move(work));
}

void UdQp::flush() {
  sending_ = Sending::failed;
  receiving_ = false;
  std::vector<SendWork> held;
  held.swap(held_);
  for (const SendWork& work : held) complete_send(work, WcStatus::wr_flush_err);
}

bool UdQp::acceptable(const SendWork& work) {
  return (work.op == WorkOp::send || work.op == WorkOp::send_with_imm) && work.ud.address != nullptr;
}

void UdQp::post_send(SendWork&& work) {
  switch (sending_) {
    case Sending::running: return execute(std::move(work));
    case Sending::draining: held_.push_back(std::move(work)); return;
    case Sending::stopped:
    case Sending::failed: return complete_send(work, WcStatus::wr_flush_err);
  }
}

void UdQp::execute(SendWork&& work) {
  const std::uint64_t length = work.inlined ? work.inline_data.size() : total_bytes(work.sges);
  if (length > mtu_bytes(attributes_.mtu)) {
    host_.send_too_long(length);
  } else if (!transmit(work, length)) {
    sending_ = Sending::failed;
    complete_send(work, WcStatus::loc_prot_err);
    return host_.send_failed();
  }
  if (work.signaled) complete_send(work, WcStatus::success);
}

// False if local memory is not what the work request said.
bool UdQp::transmit(const SendWork& work, std::uint64_t length) {
  const bool own_qkey = (work.ud.qkey.value & own_qkey_bit) != 0;
  Packet packet;
  packet.bth.opcode = {Transport::ud, work.op == WorkOp::send ? Operation::send_only : Operation::send_only_imm};
  packet.bth.solicited = work.solicited;
  packet.bth.pkey = attributes_.pkey;
  packet.bth.destination = work.ud.qpn;
  packet.bth.psn = psn_;
  packet.deth = Deth{.qkey = own_qkey ? attributes_.qkey : work.ud.qkey, .source = attributes_.local_qpn};
  if (work.op == WorkOp::send_with_imm) packet.imm = ImmDt{work.imm_data};

  std::span<std::byte> buffer = host_.datagram_buffer();
  if (buffer.empty()) {
    if (!own_buffer_) own_buffer_ = std::make_unique<std::array<std::byte, fabric::datagram_bytes_max>>();
    buffer = *own_buffer_;
  }
  const std::span<std::byte> payload = encode_headers(packet, static_cast<std::size_t>(length), buffer);
  if (work.inlined) {
    if (!payload.empty()) std::memcpy(payload.data(), work.inline_data.data(), payload.size());
  } else if (!gather(host_, work.sges, 0, payload)) {
    return false;
  }
  const UdAddress& to = *work.ud.address;
  const std::size_t unpadded = *header_bytes(packet.bth.opcode) + payload.size();
  const std::size_t bytes =
      seal(buffer, unpadded, {.source = to.local, .destination = to.remote, .source_port = host_.source_port()});
  host_.transmit({.source = to.local,
                  .destination = to.remote,
                  .interface = to.interface,
                  .traffic_class = to.traffic_class,
                  .hop_limit = to.hop_limit,
                  .payload = buffer.first(bytes)});
  psn_ = psn_.plus(1);
  return true;
}

void UdQp::complete_send(const SendWork& work, WcStatus status) {
  host_.complete_send({.wr_id = work.wr_id, .status = status, .opcode = WcOpcode::send});
}

UdQp::Received UdQp::on_packet(const Packet& packet, const fabric::InDatagram& datagram) {
  if (packet.bth.opcode.transport != Transport::ud || !receiving_) return Received::wrong_transport;
  if (packet.deth->qkey != attributes_.qkey) return Received::bad_qkey;
  std::optional<RecvWork> receive = host_.take_receive();
  if (!receive) return Received::no_receive;

  Completion completion{.wr_id = receive->wr_id, .opcode = WcOpcode::recv};
  if (total_bytes(receive->sges) < network_header_bytes + packet.payload.size()) {
    // Class D: dropped, and the receive stays. From a shared queue it is gone: then somebody must be told (class E).
    if (!host_.put_back(std::move(*receive))) {
      completion.status = WcStatus::loc_len_err;
      host_.complete_receive(completion);
    }
    return Received::too_long;
  }
  const auto header = network_header(datagram);
  if (!scatter(host_, receive->sges, 0, header) ||
      !scatter(host_, receive->sges, network_header_bytes, packet.payload)) {
    completion.status = WcStatus::loc_prot_err;
    host_.complete_receive(completion);
    host_.receive_failed();
    return Received::taken;
  }
  completion.byte_len = static_cast<std::uint32_t>(network_header_bytes + packet.payload.size());
  completion.with_network_header = true;
  completion.source = packet.deth->source;
  completion.with_imm = packet.imm.has_value();
  completion.imm_data = packet.imm ? packet.imm->data : 0;
  completion.solicited = packet.bth.solicited;
  host_.complete_receive(completion);
  return Received::taken;
}

}  // namespace hawser::roce
