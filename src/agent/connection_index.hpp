// Whose connection is meant, by what the other side calls itself: an index over the ledgers of all processes.
// Single-threaded.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "agent/ledger_memory.hpp"
#include "base/types.hpp"
#include "cm/types.hpp"
#include "runtime/time.hpp"

namespace hawser::agent {

class ConnectionIndex {
 public:
  // `view` stays valid until remove(slot).
  void add(std::uint32_t slot, const LedgerView& view);
  void remove(std::uint32_t slot);

  // Reads again what processes have changed since the last refresh. A process writes its ledger without telling us.
  void refresh();

  // The slot that has a connection with this remote side. Exact for what was refreshed.
  [[nodiscard]] std::optional<std::uint32_t> by_comm_id(Guid remote, CommId remote_id) const;
  [[nodiscard]] std::optional<std::uint32_t> by_qpn(Guid remote, Qpn remote_qpn) const;
  // The slot that has taken this SIDR_REQ.
  [[nodiscard]] std::optional<std::uint32_t> by_sidr_request(const Gid& remote, CommId request,
                                                             std::uint64_t tid) const;

 private:
  struct Key {
    std::uint64_t peer;  // its GUID; of a SIDR_REQ a digest of address and transaction
    std::uint32_t number;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const {
      return std::hash<std::uint64_t>()(key.peer * 0x9E3779B97F4A7C15 ^ key.number);
    }
  };
  using Map = std::unordered_multimap<Key, std::uint32_t, KeyHash>;  // → slot
  struct Seen {
    std::uint32_t sequence{};
    Key comm_id{}, qpn{}, sidr_request{};
  };
  struct Source {
    const LedgerView* view;
    std::vector<Seen> seen;
  };
  void reindex(std::uint32_t slot, Source& source, std::uint32_t record);
  static void change(Map& map, Key& key, Key now, std::uint32_t slot);

  std::map<std::uint32_t, Source> sources_;
  // A digest may fit two: then a request takes the way round by a process that does not know it either.
  static std::uint64_t digest(std::span<const std::uint8_t, 16> gid, std::uint64_t tid);
  static std::optional<std::uint32_t> find(const Map& map, const Key& key);

  Map comm_ids_, qpns_, sidr_requests_;
};

}  // namespace hawser::agent
