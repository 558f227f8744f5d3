// MADs of the agent itself: in and out of datagrams, and the answers that need no connection.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>

#include "cm/messages.hpp"
#include "cm/types.hpp"
#include "fabric/fabric.hpp"
#include "roce/packet.hpp"
#include "verbs/gsi.hpp"

namespace hawser::agent {

struct ArrivedMad {
  verbs::MadAddress from;
  cm::Message message;
};

// A MAD of the connection manager. nullopt: it is none, or one that a kernel would drop without a word (wrong Q_Key,
// P_Key, class …). The ICRC has been verified.
[[nodiscard]] std::optional<ArrivedMad> parse_mad(const fabric::InDatagram& datagram, const roce::Packet& packet);

void send_mad(fabric::Fabric& fabric, const verbs::MadAddress& to, const verbs::Mad& mad);

// What is answered to a message for a communication id that nobody has (any more): DREQ → DREP; REP and RTU → REJ, so
// that the other side does not wait for somebody who is gone. nullopt: silence.
[[nodiscard]] std::optional<verbs::Mad> answer_for_nobody(const cm::Message& message);
// The answer to a REQ: REJ with this reason [spec 5.6].
[[nodiscard]] verbs::Mad reject_request(const cm::MadHeader& header, const cm::Req& request, cm::RejectReason reason);
// The answer to a SIDR_REQ for which nobody listens.
[[nodiscard]] verbs::Mad unsupported_service(const cm::MadHeader& header, const cm::SidrReq& request);

}  // namespace hawser::agent
