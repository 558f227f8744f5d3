// Who is meant by a MAD: the tables of one Manager [spec 5.5, 5.6]. Lookups give a counted reference. Thread-safe.
//
// Every entry keeps its own copy of its key, and only its owner's erase takes it out.
#pragma once

#include <memory>
#include <unordered_map>
#include <utility>

#include "base/types.hpp"
#include "runtime/sync.hpp"

namespace hawser::cm {

class Endpoint;

class Tables {
 public:
  using Ref = std::shared_ptr<Endpoint>;

  void insert_local(CommId id, Ref endpoint);
  void erase_local(CommId id);
  [[nodiscard]] Ref find_local(CommId id) const;

  // The peer by its communication id and CA GUID (duplicates), and by its QPN and CA GUID (stale connections). Inserted
  // by the dispatcher only, after both finds said no.
  void insert_remote(CommId remote_id, Qpn remote_qpn, Guid remote_guid, const Ref& endpoint);
  void erase_remote(CommId remote_id, Qpn remote_qpn, Guid remote_guid, const Endpoint* owner);
  [[nodiscard]] Ref find_remote_id(CommId remote_id, Guid remote_guid) const;
  [[nodiscard]] Ref find_remote_qpn(Qpn remote_qpn, Guid remote_guid) const;

  // Connections that sent a REP and wait for the RTU, by our own QPN: whom COMM_EST may establish.
  void insert_awaiting_rtu(Qpn local_qpn, Ref endpoint);
  void erase_awaiting_rtu(Qpn local_qpn, const Endpoint* owner);
  [[nodiscard]] Ref find_awaiting_rtu(Qpn local_qpn) const;

  struct Sizes {
    std::size_t local{}, remote_id{}, remote_qpn{}, awaiting_rtu{};
    bool operator==(const Sizes&) const = default;
  };
  [[nodiscard]] Sizes sizes() const;

 private:
  struct RemoteKey {
    std::uint32_t number{};
    Guid guid;
    bool operator==(const RemoteKey&) const = default;
  };
  struct RemoteHash {
    std::size_t operator()(const RemoteKey& key) const noexcept {
      return std::hash<std::uint64_t>{}(key.guid.value * 0x9E3779B97F4A7C15 + key.number);
    }
  };
  using RemoteMap = std::unordered_map<RemoteKey, Ref, RemoteHash>;
  static Ref find(const RemoteMap& map, const RemoteKey& key);

  mutable rt::Mutex mutex_{rt::LockRank::cm_tables};
  std::unordered_map<CommId, Ref> local_ HW_GUARDED_BY(mutex_);
  RemoteMap remote_id_ HW_GUARDED_BY(mutex_);
  RemoteMap remote_qpn_ HW_GUARDED_BY(mutex_);
  std::unordered_map<Qpn, Ref> awaiting_rtu_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::cm
