#include "agent/undertaker.hpp"

#include <algorithm>
#include <array>

#include "agent/steering.hpp"
#include "base/wire.hpp"

namespace hawser::agent {
namespace {

constexpr auto patience = std::chrono::seconds(2);
// A socket buffer at its stock size holds about 160 MADs: a crowd of connections is ended in bursts.
constexpr std::size_t burst = 64;
constexpr auto burst_pause = std::chrono::milliseconds(5);
// Pauses after the first, second … transmission. A REJ has no answer: it is sent twice against loss.
constexpr std::array<std::chrono::milliseconds, 5> pauses{
    std::chrono::milliseconds(50), std::chrono::milliseconds(100), std::chrono::milliseconds(200),
    std::chrono::milliseconds(400), std::chrono::milliseconds(400)};
constexpr unsigned reject_sends = 2;

cm::Rej make_reject(const cm::LedgerRecord& record, bool expose_id, cm::Answered answered, cm::RejectReason reason) {
  cm::Rej rej;
  if (expose_id) rej.local_comm_id = CommId(record.local_comm_id);
  rej.remote_comm_id = CommId(record.remote_comm_id);
  rej.answered = answered;
  rej.reason = static_cast<std::uint16_t>(reason);
  return rej;
}

cm::Message timeout_reject(const cm::LedgerRecord& record) {
  cm::Rej rej = make_reject(record, true, cm::Answered::other, cm::RejectReason::timeout);
  rej.remote_comm_id = CommId(0);
  write_bits(rej.additional_info, 0, 0, 64, record.local_guid);
  rej.additional_info_length = 8;
  return {{0, 0, record.tid, 0}, rej};
}

cm::Message refusal(const cm::LedgerRecord& record, bool expose_id, cm::Answered answered) {
  return {{0, 0, record.remote_tid, 0}, make_reject(record, expose_id, answered, cm::RejectReason::consumer_defined)};
}

cm::Message disconnect(const cm::LedgerRecord& record) {
  cm::Dreq dreq;
  dreq.local_comm_id = CommId(record.local_comm_id);
  dreq.remote_comm_id = CommId(record.remote_comm_id);
  dreq.remote_qpn = Qpn(record.remote_qpn & 0xFFFFFF);
  return {{0, 0, std::uint64_t{0x4857} << 32 | record.local_comm_id, 0}, dreq};
}

cm::Message disconnect_reply(const cm::LedgerRecord& record) {
  cm::Drep drep;
  drep.local_comm_id = CommId(record.local_comm_id);
  drep.remote_comm_id = CommId(record.remote_comm_id);
  return {{0, 0, record.remote_tid, 0}, drep};
}

cm::Message service_refusal(const cm::LedgerRecord& record) {
  cm::SidrRep reply;
  reply.request_id = CommId(record.remote_comm_id);
  reply.status = static_cast<std::uint8_t>(cm::SidrStatus::reject);
  reply.service_id = ServiceId(std::uint64_t{record.port_space} << 16 | record.source_port);
  return {{0, 0, record.remote_tid, 0}, reply};
}

std::optional<cm::Message> last_word(const cm::LedgerRecord& record) {
  switch (static_cast<cm::State>(record.cm_state)) {
    case cm::State::req_sent:
    case cm::State::mra_req_rcvd: return timeout_reject(record);
    case cm::State::req_rcvd:  // the other side never learnt an id of ours
      return refusal(record, false, cm::Answered::req);
    case cm::State::mra_req_sent: return refusal(record, true, cm::Answered::req);
    case cm::State::rep_sent:
    case cm::State::mra_rep_rcvd: return refusal(record, true, cm::Answered::other);
    case cm::State::rep_rcvd:
    case cm::State::mra_rep_sent: return refusal(record, true, cm::Answered::rep);
    case cm::State::established:
    case cm::State::dreq_sent: return disconnect(record);
    case cm::State::dreq_rcvd: return disconnect_reply(record);
    case cm::State::sidr_req_rcvd: return service_refusal(record);
    default: return std::nullopt;
  }
}

}  // namespace

std::optional<Debt> debt_of(const cm::LedgerRecord& record) {
  auto message = last_word(record);
  if (!message) return std::nullopt;
  Debt debt;
  std::ranges::copy(record.local_gid, debt.to.local.bytes.begin());
  std::ranges::copy(record.remote_gid, debt.to.remote.bytes.begin());
  // A connection within this host goes through `lo`, whatever device it is on.
  debt.to.interface = fabric::needs_interface(debt.to.local, debt.to.remote) ? record.device_interface : 0;
  debt.to.traffic_class = record.traffic_class;
  debt.to.hop_limit = record.hop_limit != 0 ? record.hop_limit : std::uint8_t{64};
  debt.awaits_answer = std::holds_alternative<cm::Dreq>(message->body);
  debt.message = std::move(*message);
  return debt;
}

void Undertaker::take(std::uint32_t slot, const LedgerView& ledger, std::span<const std::uint32_t> chunks,
                      rt::Time now) {
  ++counters_.processes;
  Estate estate;
  estate.ends = now + patience;
  const auto owns = [&chunks](std::uint32_t chunk) { return std::ranges::find(chunks, chunk) != chunks.end(); };
  cm::LedgerRecord record{};
  for (std::uint32_t i = 0; i < ledger.size(); ++i) {
    if (!ledger.read(i, record)) continue;
    auto debt = debt_of(record);
    if (!debt) continue;
    if (!owns(chunk_of_comm_id(record.local_comm_id)) ||
        (record.local_qpn != 0 && !owns(chunk_of_qpn(record.local_qpn)))) {
      ++counters_.invalid_records;
      continue;
    }
    ++counters_.connections;
    if (estate.items.emplace(record.local_comm_id, Item{std::move(*debt), 0, {}}).second) {
      estate.unsent.push_back(record.local_comm_id);
    }
  }
  estates_.insert_or_assign(slot, std::move(estate));
  on_time(now);
}

void Undertaker::send(Item& item, rt::Time now) {
  send_mad(fabric_, item.debt.to, cm::encode(item.debt.message));
  ++(item.debt.awaits_answer ? counters_.disconnects_sent : counters_.rejects_sent);
  item.next = now + pauses[std::min<std::size_t>(item.sent, pauses.size() - 1)];
  ++item.sent;
}

void Undertaker::on_time(rt::Time now) {
  for (auto& [slot, estate] : estates_) {
    std::size_t budget = now >= estate.next_burst ? burst : 0;
    const bool crowd = budget != 0;
    for (auto& [id, item] : estate.items) {
      if (budget == 0) break;
      if (item.sent == 0 || item.next > now) continue;
      if (!item.debt.awaits_answer && item.sent >= reject_sends) continue;
      send(item, now);
      --budget;
    }
    while (budget > 0 && !estate.unsent.empty()) {
      const auto found = estate.items.find(estate.unsent.front());
      estate.unsent.pop_front();
      if (found == estate.items.end()) continue;  // ended from the other side
      send(found->second, now);
      --budget;
    }
    if (crowd) estate.next_burst = now + burst_pause;
    std::erase_if(estate.items, [](const auto& entry) {
      return !entry.second.debt.awaits_answer && entry.second.sent >= reject_sends;
    });
  }
}

bool Undertaker::on_datagram(std::uint32_t slot, const fabric::InDatagram& datagram) {
  const auto packet = roce::decode(datagram);
  const auto mad = packet ? parse_mad(datagram, *packet) : std::nullopt;
  if (!mad) return true;
  if (std::holds_alternative<cm::Req>(mad->message.body) || std::holds_alternative<cm::SidrReq>(mad->message.body)) {
    return false;
  }
  if (const auto estate = estates_.find(slot); estate != estates_.end()) {
    settle(estate->second, *mad);
  } else if (const auto answer = answer_for_nobody(mad->message)) {
    send_mad(fabric_, mad->from, *answer);
  }
  return true;
}

// Any word about an end from the other side settles a debt; what it still asks is answered.
void Undertaker::settle(Estate& estate, const ArrivedMad& mad) {
  const auto item_of = [&estate](CommId ours, CommId theirs) {
    const auto found = estate.items.find(ours.value);
    if (found == estate.items.end()) return estate.items.end();
    const auto* dreq = std::get_if<cm::Dreq>(&found->second.debt.message.body);
    return dreq == nullptr || dreq->remote_comm_id == theirs ? found : estate.items.end();
  };
  auto found = estate.items.end();
  if (const auto* drep = std::get_if<cm::Drep>(&mad.message.body)) {
    found = item_of(drep->remote_comm_id, drep->local_comm_id);
  } else if (const auto* rej = std::get_if<cm::Rej>(&mad.message.body)) {
    found = item_of(rej->remote_comm_id, rej->local_comm_id);
  } else if (const auto* dreq = std::get_if<cm::Dreq>(&mad.message.body)) {
    found = item_of(dreq->remote_comm_id, dreq->local_comm_id);
  } else if (const auto* rep = std::get_if<cm::Rep>(&mad.message.body)) {
    // Our REQ was accepted meanwhile: the REJ that gives it up may have come too early to be understood.
    const auto asked = estate.items.find(rep->remote_comm_id.value);
    if (asked != estate.items.end()) send_mad(fabric_, asked->second.debt.to, cm::encode(asked->second.debt.message));
  }
  if (const auto answer = answer_for_nobody(mad.message)) send_mad(fabric_, mad.from, *answer);
  if (found != estate.items.end()) estate.items.erase(found);
}

rt::Time Undertaker::next_deadline() const {
  rt::Time next = rt::time_never;
  for (const auto& [slot, estate] : estates_) {
    next = std::min(next, estate.ends);
    if (!estate.unsent.empty()) next = std::min(next, estate.next_burst);
    for (const auto& [id, item] : estate.items) {
      if (item.sent != 0) next = std::min(next, std::max(item.next, estate.next_burst));
    }
  }
  return next;
}

std::vector<std::uint32_t> Undertaker::finished(rt::Time now) {
  std::vector<std::uint32_t> slots;
  for (auto at = estates_.begin(); at != estates_.end();) {
    const Estate& estate = at->second;
    if (!estate.items.empty() && now < estate.ends) {
      ++at;
      continue;
    }
    counters_.given_up += estate.items.size();
    slots.push_back(at->first);
    at = estates_.erase(at);
  }
  return slots;
}

}  // namespace hawser::agent
