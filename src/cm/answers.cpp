#include "cm/answers.hpp"

#include "cm/endpoint.hpp"

namespace hawser::cm {

void answer_rej(Core& core, Answered answered, std::uint64_t tid, CommId their_id, CommId our_id, RejectReason reason,
                std::span<const std::byte> additional_info, const verbs::MadAddress& to) {
  Rej rej;
  rej.local_comm_id = our_id;
  rej.remote_comm_id = their_id;
  rej.answered = answered;
  rej.reason = static_cast<std::uint16_t>(reason);
  rej.additional_info_length = static_cast<std::uint8_t>(additional_info.size());
  fill(rej.additional_info, additional_info);
  core.counters.rejects_sent.count();
  core.sender.send(to, encode({.tid = tid}, rej));
}

void answer_stale(Core& core, Answered answered, std::uint64_t tid, CommId their_id, CommId our_id, Qpn their_qpn,
                  Guid their_guid, const verbs::MadAddress& to) {
  core.counters.stale.count();
  answer_rej(core, answered, tid, their_id, our_id, RejectReason::stale_connection, {}, to);
  // EINVAL unless it is established: the others have timers of their own.
  if (const auto old = core.tables.find_remote_qpn(their_qpn, their_guid)) static_cast<void>(old->send_dreq({}));
}

// [spec 5.6.10]
void answer_drep(Core& core, const MadHeader& header, const Dreq& dreq, const verbs::MadAddress& to) {
  const Drep drep{.local_comm_id = dreq.remote_comm_id, .remote_comm_id = dreq.local_comm_id};
  core.counters.unmatched.count();
  core.sender.send(to, encode({.tid = header.tid}, drep));
}

void answer_sidr(Core& core, const MadHeader& header, const SidrReq& req, SidrStatus status,
                 const verbs::MadAddress& to) {
  SidrRep rep;
  rep.request_id = req.request_id;
  rep.status = static_cast<std::uint8_t>(status);
  rep.service_id = req.service_id;
  core.counters.rejects_sent.count();
  core.sender.send(to, encode({.tid = header.tid}, rep));
}

}  // namespace hawser::cm
