// The control connection of a process to the agent, request by request, across a succession: when the agent dies, the
// process finds or starts the next one, says what it has, and asks again. Thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/channel.hpp"
#include "agent/client.hpp"
#include "agent/private_descriptor.hpp"
#include "agent/protocol.hpp"
#include "base/result.hpp"
#include "runtime/sync.hpp"
#include "runtime/time.hpp"

namespace hawser::agent {

// An answer of the agent: its reader stands behind the errno, which was 0.
struct Answer {
  std::vector<std::byte> bytes;
  std::vector<Descriptor> descriptors;
  [[nodiscard]] MessageReader reader();
};

class Session {
 public:
  struct Welcome {
    std::uint32_t slot{};
    std::uint64_t host_identity{};
    std::uint32_t chunk{};
    Descriptor socket, ledger;
  };

  Session() = default;
  ~Session();

  // Introduces this process; starts an agent if there is none.
  [[nodiscard]] Result<Welcome> open(const ClientOptions& options);

  using Fill = std::function<void(MessageWriter&)>;
  [[nodiscard]] Result<Answer> request(MessageType type, const Fill& fill) HW_EXCLUDES(mutex_);
  // No answer, and none is waited for.
  void notify(MessageType type, const Fill& fill) HW_EXCLUDES(mutex_);

  // Port bindings as the next agent will have to know them.
  struct Binding {
    cma::PortRequest request;  // with the port that was granted
    bool ephemeral{};
    bool listening{};
  };
  void remember(std::uint64_t handle, const Binding& binding) HW_EXCLUDES(mutex_);
  void change(std::uint64_t handle, const std::function<void(Binding&)>& change) HW_EXCLUDES(mutex_);
  // The binding that was forgotten; a default one if there was none.
  Binding forget(std::uint64_t handle) HW_EXCLUDES(mutex_);

  // Readable when read_event() has something to do; the same descriptor (and description) for ever.
  [[nodiscard]] int poll_fd() const { return poll_.get(); }
  // Takes what the agent has sent unasked; follows it into a succession. One thread at a time. The reader stands at the
  // first field.
  void read_events(const std::function<void(MessageReader&)>& sink) HW_EXCLUDES(mutex_, event_mutex_);
  // How many agents there have been.
  [[nodiscard]] std::uint64_t agents() const HW_EXCLUDES(event_mutex_) {
    rt::Lock lock(event_mutex_);
    return event_generation_;
  }
  // Whether the process of a chunk runs: read_events() brings the answer. Never blocks; not asked while there is no
  // agent, or it does not read.
  void ask_peer(std::uint32_t chunk) HW_EXCLUDES(event_mutex_);

 private:
  [[nodiscard]] Result<Answer> exchange(MessageType type, const Fill& fill, std::span<const int> descriptors = {})
      HW_REQUIRES(mutex_);
  [[nodiscard]] Status find_agent() HW_REQUIRES(mutex_);
  [[nodiscard]] Status succeed() HW_REQUIRES(mutex_);
  [[nodiscard]] Status resume_once() HW_REQUIRES(mutex_);
  void set_event_channel(Descriptor event) HW_EXCLUDES(event_mutex_);
  void on_event_channel_lost(std::uint64_t generation) HW_EXCLUDES(mutex_, event_mutex_);

  ClientOptions options_;
  std::uint32_t slot_ = 0;
  PrivateDescriptor poll_;  // an epoll with the event channel in it, so that the channel can be exchanged
  PrivateDescriptor flight_in_, flight_out_;
  mutable rt::Mutex mutex_{rt::LockRank::agent_client};
  PrivateDescriptor channel_ HW_GUARDED_BY(mutex_);
  std::uint32_t sequence_ HW_GUARDED_BY(mutex_) = 0;
  std::map<std::uint64_t, Binding> bindings_ HW_GUARDED_BY(mutex_);
  rt::Time retry_at_ HW_GUARDED_BY(mutex_){};
  // Held for system calls that do not block: the data path asks with a QP's lock held, whatever requests wait for.
  mutable rt::Mutex event_mutex_{rt::LockRank::agent_event};
  PrivateDescriptor event_ HW_GUARDED_BY(event_mutex_);
  std::uint64_t event_generation_ HW_GUARDED_BY(event_mutex_) = 0;
};

}  // namespace hawser::agent
