// Answers that no connection stands behind: they go back the way the MAD came [spec 5.8.2].
#pragma once

#include "cm/core.hpp"
#include "cm/messages.hpp"

namespace hawser::cm {

// REJ to a REQ or REP. `our_id` is 0 for a REQ.
void answer_rej(Core& core, Answered answered, std::uint64_t tid, CommId their_id, CommId our_id, RejectReason reason,
                std::span<const std::byte> additional_info, const verbs::MadAddress& to);
// The sender's QP is known as another connection's peer: REJ 10, and a DREQ for what that connection was [spec 5.6].
// [spec 5.6.4]
void answer_stale(Core& core, Answered answered, std::uint64_t tid, CommId their_id, CommId our_id, Qpn their_qpn,
                  Guid their_guid, const verbs::MadAddress& to);
// DREP to a DREQ for a connection that we do not know (any more).
void answer_drep(Core& core, const MadHeader& header, const Dreq& dreq, const verbs::MadAddress& to);

// SIDR_REP without a QP.
void answer_sidr(Core& core, const MadHeader& header, const SidrReq& req, SidrStatus status,
                 const verbs::MadAddress& to);

}  // namespace hawser::cm
