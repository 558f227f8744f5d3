#include "agent/connection_index.hpp"

#include <cstring>

namespace hawser::agent {
namespace {

// States in which the connection is in ib_cm's tables of remote ids and remote QPs [spec 5.6].
[[nodiscard]] bool is_known(std::uint8_t state) {
  const auto s = static_cast<cm::State>(state);
  return s >= cm::State::req_sent && s <= cm::State::dreq_rcvd;
}

// An id that was born for a SIDR_REQ: it is meant by repetitions, answered or not, for as long as it lives.
[[nodiscard]] bool has_sidr_request(const cm::LedgerRecord& record) {
  constexpr std::uint8_t ud = 4;  // IBV_QPT_UD
  const auto s = static_cast<cm::State>(record.cm_state);
  return record.qp_type == ud && (s == cm::State::sidr_req_rcvd || s == cm::State::idle);
}

}  // namespace

void ConnectionIndex::add(std::uint32_t slot, const LedgerView& view) { sources_[slot] = {&view, {}}; }

void ConnectionIndex::remove(std::uint32_t slot) {
  const auto found = sources_.find(slot);
  if (found == sources_.end()) return;
  for (Seen& seen : found->second.seen) {
    change(comm_ids_, seen.comm_id, {}, slot);
    change(qpns_, seen.qpn, {}, slot);
    change(sidr_requests_, seen.sidr_request, {}, slot);
  }
  sources_.erase(found);
}

// A key with number 0 stands for none.
void ConnectionIndex::change(Map& map, Key& key, Key now, std::uint32_t slot) {
  if (key == now) return;
  if (key.number != 0) {
    const auto [first, last] = map.equal_range(key);
    for (auto at = first; at != last; ++at) {
      if (at->second != slot) continue;
      map.erase(at);
      break;
    }
  }
  if (now.number != 0) map.emplace(now, slot);
  key = now;
}

void ConnectionIndex::refresh() {
  for (auto& [slot, source] : sources_) {
    const std::uint32_t size = source.view->size();
    if (source.seen.size() < size) source.seen.resize(size);
    for (std::uint32_t i = 0; i < size; ++i) {
      // An odd sequence is being written: it will have changed again at the next refresh.
      if (source.view->sequence(i) != source.seen[i].sequence) reindex(slot, source, i);
    }
  }
}

void ConnectionIndex::reindex(std::uint32_t slot, Source& source, std::uint32_t record) {
  Seen& seen = source.seen[record];
  seen.sequence = source.view->sequence(record);
  cm::LedgerRecord read{};
  const bool in_use = source.view->read(record, read);
  const bool known = in_use && is_known(read.cm_state);
  change(comm_ids_, seen.comm_id, known ? Key{read.remote_guid, read.remote_comm_id} : Key{}, slot);
  change(qpns_, seen.qpn, known ? Key{read.remote_guid, read.remote_qpn} : Key{}, slot);
  const bool asked = in_use && has_sidr_request(read);
  change(sidr_requests_, seen.sidr_request,
         asked ? Key{digest(read.remote_gid, read.remote_tid), read.remote_comm_id} : Key{}, slot);
}

std::uint64_t ConnectionIndex::digest(std::span<const std::uint8_t, 16> gid, std::uint64_t tid) {
  std::uint64_t halves[2];
  std::memcpy(halves, gid.data(), sizeof halves);
  return (halves[0] * 0x9E3779B97F4A7C15 ^ halves[1]) * 0x9E3779B97F4A7C15 ^ tid;
}

std::optional<std::uint32_t> ConnectionIndex::find(const Map& map, const Key& key) {
  const auto found = map.find(key);
  return found == map.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::uint32_t> ConnectionIndex::by_comm_id(Guid remote, CommId remote_id) const {
  return find(comm_ids_, {remote.value, remote_id.value});
}

std::optional<std::uint32_t> ConnectionIndex::by_qpn(Guid remote, Qpn remote_qpn) const {
  return find(qpns_, {remote.value, remote_qpn.value});
}

std::optional<std::uint32_t> ConnectionIndex::by_sidr_request(const Gid& remote, CommId request,
                                                              std::uint64_t tid) const {
  return find(sidr_requests_, {digest(remote.bytes, tid), request.value});
}

}  // namespace hawser::agent
