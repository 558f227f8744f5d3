#include "agent/connection_index.hpp"

namespace hawser::agent {
namespace {

// States in which the connection is in ib_cm's tables of remote ids and remote QPs [spec 5.6].
[[nodiscard]] bool is_known(std::uint8_t state) {
  const auto s = static_cast<cm::State>(state);
  return s >= cm::State::req_sent && s <= cm::State::dreq_rcvd;
}

}  // namespace

void ConnectionIndex::add(std::uint32_t slot, const LedgerView& view) { sources_[slot] = {&view, {}}; }

void ConnectionIndex::remove(std::uint32_t slot) {
  const auto found = sources_.find(slot);
  if (found == sources_.end()) return;
  for (Seen& seen : found->second.seen) {
    change(comm_ids_, seen.comm_id, {}, slot);
    change(qpns_, seen.qpn, {}, slot);
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
  const bool known = source.view->read(record, read) && is_known(read.cm_state);
  change(comm_ids_, seen.comm_id, known ? Key{read.remote_guid, read.remote_comm_id} : Key{}, slot);
  change(qpns_, seen.qpn, known ? Key{read.remote_guid, read.remote_qpn} : Key{}, slot);
}

std::optional<std::uint32_t> ConnectionIndex::by_comm_id(Guid remote, CommId remote_id) const {
  const auto found = comm_ids_.find({remote.value, remote_id.value});
  return found == comm_ids_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::uint32_t> ConnectionIndex::by_qpn(Guid remote, Qpn remote_qpn) const {
  const auto found = qpns_.find({remote.value, remote_qpn.value});
  return found == qpns_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace hawser::agent
