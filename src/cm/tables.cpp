#include "cm/tables.hpp"

#include "base/assert.hpp"

namespace hawser::cm {
namespace {

// The reference is dropped by the caller's caller, outside the tables' mutex: it may be the last.
template <class Map, class Key>
Tables::Ref take_if_owned(Map& map, const Key& key, const Endpoint* owner) {
  const auto at = map.find(key);
  if (at == map.end() || at->second.get() != owner) return nullptr;
  Tables::Ref ref = std::move(at->second);
  map.erase(at);
  return ref;
}

}  // namespace

void Tables::insert_local(CommId id, Ref endpoint) {
  rt::Lock lock(mutex_);
  const bool inserted = local_.emplace(id, std::move(endpoint)).second;
  HW_ASSERT(inserted, "cm-comm-id-twice");
}

void Tables::erase_local(CommId id) {
  Ref ref;
  rt::Lock lock(mutex_);
  const auto at = local_.find(id);
  if (at == local_.end()) return;
  ref = std::move(at->second);
  local_.erase(at);
}

Tables::Ref Tables::find_local(CommId id) const {
  rt::Lock lock(mutex_);
  const auto at = local_.find(id);
  return at == local_.end() ? nullptr : at->second;
}

// [spec 5.6.4]
void Tables::insert_remote(CommId remote_id, Qpn remote_qpn, Guid remote_guid, const Ref& endpoint) {
  rt::Lock lock(mutex_);
  const bool id_inserted = remote_id_.emplace(RemoteKey{remote_id.value, remote_guid}, endpoint).second;
  const bool qpn_inserted = remote_qpn_.emplace(RemoteKey{remote_qpn.value, remote_guid}, endpoint).second;
  HW_ASSERT(id_inserted && qpn_inserted, "cm-remote-endpoint-twice");
}

// [spec 5.6.5]
void Tables::erase_remote(CommId remote_id, Qpn remote_qpn, Guid remote_guid, const Endpoint* owner) {
  Ref by_id, by_qpn;
  rt::Lock lock(mutex_);
  by_id = take_if_owned(remote_id_, RemoteKey{remote_id.value, remote_guid}, owner);
  by_qpn = take_if_owned(remote_qpn_, RemoteKey{remote_qpn.value, remote_guid}, owner);
}

Tables::Ref Tables::find(const RemoteMap& map, const RemoteKey& key) {
  const auto at = map.find(key);
  return at == map.end() ? nullptr : at->second;
}

Tables::Ref Tables::find_remote_id(CommId remote_id, Guid remote_guid) const {
  rt::Lock lock(mutex_);
  return find(remote_id_, {remote_id.value, remote_guid});
}

Tables::Ref Tables::find_remote_qpn(Qpn remote_qpn, Guid remote_guid) const {
  rt::Lock lock(mutex_);
  return find(remote_qpn_, {remote_qpn.value, remote_guid});
}

// A program that accepts twice with one QP gets what it asked for: the later connection is the one found.
void Tables::insert_awaiting_rtu(Qpn local_qpn, Ref endpoint) {
  rt::Lock lock(mutex_);
  std::swap(awaiting_rtu_[local_qpn], endpoint);
}

void Tables::erase_awaiting_rtu(Qpn local_qpn, const Endpoint* owner) {
  Ref ref;
  rt::Lock lock(mutex_);
  ref = take_if_owned(awaiting_rtu_, local_qpn, owner);
}

Tables::Ref Tables::find_awaiting_rtu(Qpn local_qpn) const {
  rt::Lock lock(mutex_);
  const auto at = awaiting_rtu_.find(local_qpn);
  return at == awaiting_rtu_.end() ? nullptr : at->second;
}

Tables::Sizes Tables::sizes() const {
  rt::Lock lock(mutex_);
  return {local_.size(), remote_id_.size(), remote_qpn_.size(), awaiting_rtu_.size()};
}

}  // namespace hawser::cm
