// Events that are fetched instead of handled: rdma_create_event_channel() and rdma_get_cm_event().
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "hawser/id.hpp"

namespace hawser {

class ChannelImpl;

// A CmEvent that lies in a channel's queue: owns its private data, and of a CONNECT_REQUEST the new id.
class ChannelEvent : public CmEvent {
 public:
  // Whose event it is; of a CONNECT_REQUEST the new id, which ends with the event unless somebody takes it.
  [[nodiscard]] IdRef id() const { return id_; }

 private:
  friend class ChannelImpl;
  explicit ChannelEvent(CmEvent&& event) : CmEvent(std::move(event)) {}
  IdRef id_;
  std::vector<std::byte> bytes_;
};

// The events of several ids, in the order in which they came. Ids of a channel are as others, but nothing has to be
// acknowledged: the events of an id that ends are dropped with it, those of a membership when it is left, unfetched
// connection requests of a listener with the listener.
//
// Threading: every function may be called from any thread. Calls on one id stay the caller's to serialise.
// Ownership: ids may outlive the channel; their events then go nowhere.
class EventChannel {
 public:
  [[nodiscard]] static Result<EventChannel> create(Stack& stack);
  EventChannel(EventChannel&&) noexcept;
  EventChannel& operator=(EventChannel&&) noexcept;
  ~EventChannel();

  // As Stack::create_id().
  [[nodiscard]] Result<Id> create_id(PortSpace port_space = PortSpace::tcp, std::optional<QpType> qp_type = {});

  // The oldest event. Blocks until there is one; meanwhile the thread receives and, as long as the Stack has no ids
  // with handlers, dispatches, so that no other thread has to be woken. EINTR when a signal handler without SA_RESTART
  // ran. On a simulated network it makes time pass, and fails with EDEADLK when nothing will happen any more.
  [[nodiscard]] Result<ChannelEvent> get_event();
  // EAGAIN if there is none now.
  [[nodiscard]] Result<ChannelEvent> try_get_event();
  // rdma_write_cm_event(): queues an event of the program's own for an id of this channel, behind those that are there.
  // EINVAL: a type other than USER and INTERNAL, or an id that is another channel's.
  Status write_cm_event(IdRef id, CmEventType type, int status = 0, std::uint64_t arg = 0);
  // Readable while there are events, for poll() and epoll.
  [[nodiscard]] int fd() const;

 private:
  explicit EventChannel(std::shared_ptr<ChannelImpl> impl);
  std::shared_ptr<ChannelImpl> impl_;
};

}  // namespace hawser
