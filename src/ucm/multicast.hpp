// Memberships by handle: what JOIN_MCAST gives and LEAVE_MCAST takes [spec 6.2 #16, #17, 4 #44].
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "cma/types.hpp"
#include "runtime/sync.hpp"
#include "ucm/event.hpp"

namespace hawser::ucm {

// What a membership's events say about it; constant.
struct Multicast {
  Handle handle{};
  Handle owner{};  // the user id
  std::uint64_t uid{};
};

// Thread-safe. A membership is here from its join until somebody takes it to leave it, or its id ends; the connection
// manager, which has a pointer to it for its events, has given that up before.
class MulticastTable {
 public:
  struct Entry {
    std::unique_ptr<Multicast> multicast;
    cma::MembershipHandle membership{};
  };
  void insert(Entry entry);
  [[nodiscard]] std::optional<Handle> owner_of(Handle multicast) const;
  // One caller wins [spec 7 I21]; nullopt for all others.
  [[nodiscard]] std::optional<Entry> take(Handle multicast);
  void erase_all_of(Handle owner);

 private:
  mutable rt::Mutex mutex_{rt::LockRank::ucm_table};
  std::map<Handle, Entry> entries_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::ucm
