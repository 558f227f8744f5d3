#include "agent/mad_port.hpp"

#include <algorithm>
#include <array>

namespace hawser::agent {

std::optional<ArrivedMad> parse_mad(const fabric::InDatagram& datagram, const roce::Packet& packet) {
  if (packet.bth.destination != qpn_gsi || !packet.deth || packet.deth->qkey != qkey_gsi || packet.imm ||
      (packet.bth.pkey.value & 0x7FFF) != 0x7FFF || packet.payload.size() != verbs::mad_bytes) {
    return std::nullopt;
  }
  verbs::Mad mad;
  std::ranges::copy(packet.payload, mad.begin());
  auto message = cm::decode(mad);
  if (!message) return std::nullopt;
  ArrivedMad arrived;
  arrived.from = {datagram.destination, datagram.source, datagram.interface, datagram.traffic_class, 64};
  // Everything between two addresses of this host comes in through `lo`; only link-local addresses need an interface.
  if (!fabric::needs_interface(datagram.destination, datagram.source)) arrived.from.interface = 0;
  arrived.message = *message;
  return arrived;
}

void send_mad(fabric::Fabric& fabric, const verbs::MadAddress& to, const verbs::Mad& mad) {
  static thread_local std::uint32_t next_psn = 0;
  roce::Packet packet;
  packet.bth.opcode = {roce::Transport::ud, roce::Operation::send_only};
  packet.bth.destination = qpn_gsi;
  packet.bth.psn = Psn(next_psn++);
  packet.deth = roce::Deth{qkey_gsi, 0, qpn_gsi};
  packet.payload = mad;
  std::array<std::byte, 512> bytes{};
  const std::size_t size = roce::encode(packet, to.local, to.remote, fabric.source_port(), bytes);
  const fabric::OutDatagram datagram{to.local,         to.remote,    to.interface,
                                     to.traffic_class, to.hop_limit, std::span(bytes).first(size)};
  fabric.send({&datagram, 1});
}

std::optional<verbs::Mad> answer_for_nobody(const cm::Message& message) {
  const auto reject = [&message](CommId local, CommId remote, cm::Answered answered) {
    cm::Rej rej;
    rej.local_comm_id = local;
    rej.remote_comm_id = remote;
    rej.answered = answered;
    rej.reason = static_cast<std::uint16_t>(cm::RejectReason::consumer_defined);
    return cm::encode({0, 0, message.header.tid, 0}, rej);
  };
  if (const auto* dreq = std::get_if<cm::Dreq>(&message.body)) {
    cm::Drep drep;
    drep.local_comm_id = dreq->remote_comm_id;
    drep.remote_comm_id = dreq->local_comm_id;
    return cm::encode({0, 0, message.header.tid, 0}, drep);
  }
  if (const auto* rep = std::get_if<cm::Rep>(&message.body)) {
    return reject(rep->remote_comm_id, rep->local_comm_id, cm::Answered::rep);
  }
  if (const auto* rtu = std::get_if<cm::Rtu>(&message.body)) {
    return reject(rtu->remote_comm_id, rtu->local_comm_id, cm::Answered::other);
  }
  return std::nullopt;
}

verbs::Mad reject_request(const cm::MadHeader& header, const cm::Req& request, cm::RejectReason reason) {
  cm::Rej rej;
  rej.remote_comm_id = request.local_comm_id;
  rej.answered = cm::Answered::req;
  rej.reason = static_cast<std::uint16_t>(reason);
  return cm::encode({0, 0, header.tid, 0}, rej);
}

verbs::Mad unsupported_service(const cm::MadHeader& header, const cm::SidrReq& request) {
  cm::SidrRep reply;
  reply.request_id = request.request_id;
  reply.status = static_cast<std::uint8_t>(cm::SidrStatus::unsupported);
  reply.service_id = request.service_id;
  return cm::encode({0, 0, header.tid, 0}, reply);
}

}  // namespace hawser::agent
