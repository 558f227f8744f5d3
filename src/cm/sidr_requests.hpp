// SIDR_REQs that arrived, so that a repeated one is known [spec 5.6]: it means the same request while the program
// thinks about its answer, and gets the same answer afterwards. Thread-safe.
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "base/ip.hpp"
#include "base/types.hpp"
#include "runtime/sync.hpp"
#include "runtime/time.hpp"
#include "verbs/gsi.hpp"

namespace hawser::cm {

class SidrRequests {
 public:
  // Who asked, with the whole address: request ids of different hosts may be equal [spec 4 #64]. A retransmission
  // carries the same transaction id; another request does not.
  struct Key {
    Gid source;
    std::uint32_t interface{};
    CommId request_id;
    std::uint64_t tid{};
    auto operator<=>(const Key&) const = default;
  };
  struct Admission {
    bool fresh{};                        // noted; whoever serves it calls answer() or forget()
    std::optional<verbs::Mad> repeated;  // the answer that it got before
  };

  [[nodiscard]] Admission admit(const Key& key, rt::Time now);
  // The answer is kept for as long as the sender may ask again.
  void answer(const Key& key, const verbs::Mad& reply, rt::Time now);
  // Not answered, or in a way that may be different next time.
  void forget(const Key& key);

  [[nodiscard]] std::size_t unanswered() const;

 private:
  struct Answered {
    verbs::Mad reply;
    rt::Time until;
  };
  void drop_old(rt::Time now) HW_REQUIRES(mutex_);

  mutable rt::Mutex mutex_{rt::LockRank::cm_tables};
  std::map<Key, std::optional<Answered>> requests_ HW_GUARDED_BY(mutex_);
  std::deque<Key> answered_ HW_GUARDED_BY(mutex_);  // the oldest first
};

}  // namespace hawser::cm
