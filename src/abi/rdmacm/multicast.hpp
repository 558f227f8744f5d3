// Memberships of an id in multicast groups, as its program has them: joined and left by address.
#pragma once

#include <sys/socket.h>

#include <memory>
#include <set>
#include <vector>

#include "abi/rdmacm/public.hpp"
#include "base/ip.hpp"
#include "runtime/sync.hpp"
#include "ucm/event.hpp"

namespace hawser::abi::rdmacm {

struct CmId;

struct Multicast {
  // ucm's name for it is the address of this.
  struct Public {
  } pub;
  std::weak_ptr<CmId> owner;
  SocketAddress address;
  void* context{};
  bool send_only{};
  ucm::Handle handle{};

  // Events that the program acknowledged; leaving waits for all that it fetched.
  void acknowledge();
  void wait_until_acknowledged(unsigned fetched);

 private:
  friend class Memberships;
  rt::Mutex mutex_{rt::LockRank::process};
  rt::CondVar acknowledged_;
  unsigned completed_ HW_GUARDED_BY(mutex_) = 0;
  bool attached_ = false, left_ = false;  // guarded by the mutex of the id's Memberships
};

// Those of one id. Thread-safe; queue pairs are attached and detached with no lock held.
class Memberships {
 public:
  void add(std::shared_ptr<Multicast> multicast);
  // The oldest one of this address, which from now on is left. Null if there is none.
  std::shared_ptr<Multicast> take(const SocketAddress& address);
  std::vector<std::shared_ptr<Multicast>> take_all();
  // For whoever fetched the event: false if it has been left meanwhile, and what was attached must be detached.
  [[nodiscard]] bool attached(Multicast& multicast);
  // Whether the queue pair must be detached: no other membership wants what is sent to that address.
  [[nodiscard]] bool must_detach(const Multicast& left);
  // The queue pair ends: what it is attached to, each group once; afterwards nothing is.
  [[nodiscard]] std::set<IpAddress> forget_attachments();

 private:
  rt::Mutex mutex_{rt::LockRank::process};
  std::vector<std::shared_ptr<Multicast>> all_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::abi::rdmacm
