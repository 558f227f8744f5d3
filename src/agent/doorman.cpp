#include "agent/doorman.hpp"

#include "base/wire.hpp"
#include "cma/private_header.hpp"

namespace hawser::agent {
namespace {

// A duplicate comes seconds after its original: the index may be this old.
constexpr auto index_age_max = std::chrono::milliseconds(50);

// The communication id of the receiver that a message names; 0 if it names none.
struct ReceiverId {
  CommId operator()(const cm::Req&) const { return CommId(0); }
  CommId operator()(const cm::SidrReq&) const { return CommId(0); }
  CommId operator()(const cm::SidrRep& m) const { return m.request_id; }
  template <class Message>
  CommId operator()(const Message& m) const {
    return m.remote_comm_id;
  }
};

}  // namespace

void Doorman::on_datagram(const fabric::InDatagram& datagram, rt::Time now) {
  ++counters_.received;
  const auto packet = roce::decode(datagram);
  if (!packet) {
    ++(packet.error() == roce::DecodeError::bad_icrc ? counters_.bad_icrc : counters_.malformed);
    return;
  }
  if (packet->bth.destination.value > 1 && packet->bth.destination != qpn_multicast) {
    // Ours to relay if the steering program was too small for all leases; else its owner is gone.
    const std::uint32_t owner = leases_.slot_of_chunk(chunk_of_qpn(packet->bth.destination.value));
    if (owner != 0 && is_live(owner)) {
      relay(owner, datagram);
    } else {
      ++counters_.unknown_qp;
    }
    return;
  }
  const auto mad = parse_mad(datagram, *packet);
  if (!mad) {
    ++counters_.dropped;
    return;
  }
  if (const auto* request = std::get_if<cm::Req>(&mad->message.body)) return on_request(*mad, *request, datagram, now);
  if (const auto* sidr = std::get_if<cm::SidrReq>(&mad->message.body))
    return on_service_request(*mad, *sidr, datagram, now);
  const CommId id = std::visit(ReceiverId(), mad->message.body);
  const auto* reject = std::get_if<cm::Rej>(&mad->message.body);
  if (reject != nullptr && id.value == 0) return on_timeout_reject(*reject, datagram);
  on_message_to_id(*mad, id, datagram);
}

// A duplicate must reach the process that has taken the request even if nobody listens any more: a refusal would kill a
// handshake in progress [spec 5.6].
std::optional<std::uint32_t> Doorman::destination_of(const Known& known, ServiceId service,
                                                     const IpAddress& destination, std::uint32_t interface,
                                                     rt::Time now) {
  ++counters_.requests;
  const auto refresh = [&] {
    connections_.refresh();
    refreshed_ = now;
  };
  const auto taken_by = [&]() -> std::optional<std::uint32_t> {
    const auto slot = known();
    if (!slot || !is_live(*slot)) return std::nullopt;
    ++counters_.duplicates;
    return slot;
  };
  if (now - refreshed_ > index_age_max) refresh();
  if (const auto slot = taken_by()) return slot;
  if (const auto listener = ports_.listener(service, destination, interface); listener && is_live(*listener))
    return listener;
  refresh();
  return taken_by();
}

void Doorman::on_request(const ArrivedMad& mad, const cm::Req& request, const fabric::InDatagram& datagram,
                         rt::Time now) {
  const auto header = cma::PrivateHeader::parse(request.private_data);
  const IpAddress destination = header ? header->destination : request.primary.remote_gid;
  const auto known = [&] {
    const auto slot = connections_.by_comm_id(request.local_ca_guid, request.local_comm_id);
    return slot ? slot : connections_.by_qpn(request.local_ca_guid, request.local_qpn);
  };
  if (const auto slot = destination_of(known, request.service_id, destination, datagram.interface, now))
    return relay(*slot, datagram);
  ++counters_.rejected;
  send_mad(fabric_, mad.from, reject_request(mad.message.header, request, cm::RejectReason::invalid_service_id));
}

void Doorman::on_service_request(const ArrivedMad& mad, const cm::SidrReq& request, const fabric::InDatagram& datagram,
                                 rt::Time now) {
  const auto header = cma::PrivateHeader::parse(request.private_data);
  const IpAddress destination = header ? header->destination : mad.from.local;
  const auto known = [&] {
    return connections_.by_sidr_request(mad.from.remote, request.request_id, mad.message.header.tid);
  };
  if (const auto slot = destination_of(known, request.service_id, destination, datagram.interface, now))
    return relay(*slot, datagram);
  ++counters_.rejected;
  send_mad(fabric_, mad.from, unsupported_service(mad.message.header, request));
}

// The sender gave up on its REQ before it knew our id: it names itself, in the message and by the GUID that it adds.
void Doorman::on_timeout_reject(const cm::Rej& reject, const fabric::InDatagram& datagram) {
  if (reject.reason == static_cast<std::uint16_t>(cm::RejectReason::timeout) && reject.additional_info_length >= 8) {
    connections_.refresh();
    const Guid sender(read_bits(reject.additional_info, 0, 0, 64));
    if (const auto slot = connections_.by_comm_id(sender, reject.local_comm_id); slot && is_live(*slot)) {
      return relay(*slot, datagram);
    }
  }
  ++counters_.dropped;
}

void Doorman::on_message_to_id(const ArrivedMad& mad, CommId id, const fabric::InDatagram& datagram) {
  const std::uint32_t owner = leases_.slot_of_chunk(chunk_of_comm_id(id.value));
  if (owner != 0 && is_live(owner)) return relay(owner, datagram);
  if (const auto answer = answer_for_nobody(mad.message)) {
    ++counters_.answered;
    send_mad(fabric_, mad.from, *answer);
    return;
  }
  ++counters_.dropped;
}

void Doorman::relay(std::uint32_t slot, const fabric::InDatagram& datagram) {
  ++(relay_(slot, datagram) ? counters_.relayed : counters_.relay_failed);
}

}  // namespace hawser::agent
