// An open event channel: what a descriptor of /dev/infiniband/rdma_cm is in the kernel. It holds the events that the
// program has not fetched yet and, for each of its user ids, what belongs to the queue: backlog and reported events.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "runtime/sync.hpp"
#include "ucm/event.hpp"
#include "ucm/notifier.hpp"

namespace hawser::ucm {

// Thread-safe. The mutex is innermost but for the table's (in join) and the notifier's [spec 2.1].
class File {
 public:
  explicit File(std::unique_ptr<Notifier> notifier);
  ~File();  // no member may be left

  [[nodiscard]] Notifier& notifier() { return *notifier_; }

  // GET_EVENT without blocking: takes the oldest event and counts it as reported to its owner; a CONNECT_REQUEST gives
  // its place in the backlog back [spec 6.3.1, 6.3.2].
  std::optional<EventRecord> pop();
  [[nodiscard]] bool pending() const;

  // What an id takes along when it leaves.
  struct Departure {
    unsigned reported{};  // events the program fetched so far, for the acks it has to wait for [spec 2.8.7, 4 #42]
    std::map<Handle, unsigned> multicast_reported;
    int backlog{};
    std::deque<EventRecord> events;
  };
  // False once the channel is closed: the id is not a member then. `then` is called under the mutex if it became one.
  [[nodiscard]] bool join(Handle id, const std::function<void()>& then);
  [[nodiscard]] bool join(Handle id, Departure luggage);
  // Also a stranger may leave: then nothing is taken along.
  Departure leave(Handle id);
  [[nodiscard]] unsigned reported(Handle id) const;
  // A membership of `id` has been left: its queued events go. How many of them were fetched.
  unsigned forget_multicast(Handle id, Handle multicast);

  void set_backlog(Handle listener, int backlog);
  // One place of the backlog, or false if there is none.
  [[nodiscard]] bool take_backlog(Handle listener);
  // Queues an event of a member; dropped if its owner is none.
  void append(EventRecord event);
  // A CONNECT_REQUEST and the id that it brings: the child joins after its listener.
  void append_request(EventRecord event);

  // For the one that closes the channel: no more joins by create or migrate, then one member after the other.
  void mark_closed();
  [[nodiscard]] std::optional<Handle> first_member() const;
  void wait_until_left(Handle id);

 private:
  struct Member {
    unsigned reported{};
    unsigned queued{};
    int backlog{};
    std::map<Handle, unsigned> multicast_reported;  // of its memberships
  };
  void queue(EventRecord event, Member& owner) HW_REQUIRES(mutex_);
  void tell(bool was_pending) HW_REQUIRES(mutex_);

  const std::unique_ptr<Notifier> notifier_;
  mutable rt::Mutex mutex_{rt::LockRank::ucm_channel};
  rt::CondVar left_;
  bool closed_ HW_GUARDED_BY(mutex_) = false;
  std::deque<EventRecord> events_ HW_GUARDED_BY(mutex_);
  // By handle, so in order of creation: a child is always behind its listener [spec 2.8].
  std::map<Handle, Member> members_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::ucm
