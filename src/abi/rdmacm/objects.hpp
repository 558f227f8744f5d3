// What a program holds pointers to. It sees the `pub` part of each object and may write anything there; what this
// library relies on lies behind it, and a pointer is believed only if the table knows it.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "abi/c_enum.hpp"
#include "abi/rdmacm/multicast.hpp"
#include "abi/rdmacm/public.hpp"
#include "cma/types.hpp"
#include "runtime/sync.hpp"
#include "ucm/manager.hpp"
#include "verbs/device.hpp"

namespace hawser::abi::rdmacm {

// Pointer given to the program → live object. Thread-safe.
template <class Object>
class ObjectTable {
 public:
  using Public = decltype(Object::pub);
  void insert(const std::shared_ptr<Object>& object) {
    rt::Lock lock(mutex_);
    objects_.emplace(&object->pub, object);
  }
  // Null if it is none of ours (any more).
  [[nodiscard]] std::shared_ptr<Object> find(const Public* pointer) {
    rt::Lock lock(mutex_);
    const auto found = objects_.find(pointer);
    return found == objects_.end() ? nullptr : found->second;
  }
  // All that are live now.
  [[nodiscard]] std::vector<std::shared_ptr<Object>> list() {
    rt::Lock lock(mutex_);
    std::vector<std::shared_ptr<Object>> all;
    all.reserve(objects_.size());
    for (const auto& [pointer, object] : objects_) all.push_back(object);
    return all;
  }
  // As find, and from now on it is no more; one caller wins.
  std::shared_ptr<Object> take(const Public* pointer) {
    rt::Lock lock(mutex_);
    const auto found = objects_.find(pointer);
    if (found == objects_.end()) return nullptr;
    std::shared_ptr<Object> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }

 private:
  rt::Mutex mutex_{rt::LockRank::process};
  std::unordered_map<const Public*, std::shared_ptr<Object>> objects_ HW_GUARDED_BY(mutex_);
};

// The descriptor a program polls: readable while events pend. Blocking or not is the program's choice (O_NONBLOCK).
class EventDescriptor {
 public:
  static std::shared_ptr<EventDescriptor> create();  // null: errno
  ~EventDescriptor();
  EventDescriptor(const EventDescriptor&) = delete;
  EventDescriptor& operator=(const EventDescriptor&) = delete;
  [[nodiscard]] int fd() const { return fd_; }
  void set_pending(bool pending);

 private:
  explicit EventDescriptor(int fd) : fd_(fd) {}
  const int fd_;
};

struct Channel {
  rdma_event_channel pub{};
  std::shared_ptr<EventDescriptor> descriptor;
  ucm::FilePtr file;
};

// A device that the program uses through this library: opened once per process, with the default PD of its ids.
struct VerbsDevice {
  verbs::DevicePtr device;
  ibv_context* verbs{};
  ibv_pd* pd{};
  std::uint8_t max_initiator_depth{}, max_responder_resources{};
};

// What rdma_resolve_addrinfo found, until rdma_query_addrinfo takes it. Thread-safe.
class LookupResult {
 public:
  ~LookupResult() { rdma_freeaddrinfo(take()); }
  void set(rdma_addrinfo* info);
  [[nodiscard]] rdma_addrinfo* take();
  // The argument of the INTERNAL event that ends a look-up: no program's own has it.
  [[nodiscard]] static std::uint64_t mark() {
    static const char here{};
    return reinterpret_cast<std::uintptr_t>(&here);
  }

 private:
  rt::Mutex mutex_{rt::LockRank::process};
  rdma_addrinfo* info_ HW_GUARDED_BY(mutex_) = nullptr;
};

struct CmEvent;

// Programs call one id from several threads, and fetch its events in others: whatever is kept here, the public part
// included, is read and written with `own` held, from a call's beginning to its end or until it waits. What a program
// itself reads there is its own to keep apart.
struct CmId {
  CmId(std::shared_ptr<Channel> channel, bool sync);

  rt::Mutex own{rt::LockRank::program_id};
  rdma_cm_id pub{};
  rt::Atomic<bool> sync;  // on a channel of its own; calls wait for their event
  ucm::Handle handle{};
  const VerbsDevice* device{};
  ibv_sa_path_rec path{};
  std::uint8_t initiator_depth{}, responder_resources{};
  // The library failed a connection on its own; the events that follow from it are not told [spec 6.4.21].
  bool connect_error{};
  std::optional<ibv_qp_init_attr> request_qp;  // rdma_create_ep on the passive side: for rdma_get_request
  ibv_pd* request_pd{};
  std::vector<std::byte> connect_prefix;  // ai_connect of rdma_create_ep
  cm::Ece local_ece, remote_ece;
  Memberships memberships;
  LookupResult lookup;

  // The channel that the id is on; another thread may be about to move it.
  [[nodiscard]] std::shared_ptr<Channel> channel() const;
  // `call` with that channel's file, which it stays on meanwhile: ucm answers EINVAL to calls by another one.
  template <class Call>
  auto on_file(Call&& call) const {
    rt::Lock lock(mutex_);
    return call(*channel_->file);
  }
  // Moves the id to `to`, below and here in one step. Exchanges it for the channel that it was on.
  Result<unsigned> move(ucm::Manager& ucm, std::shared_ptr<Channel>& to, bool to_sync);

  // Events that the program acknowledged; destroy and migrate wait for all that it fetched.
  void acknowledge();
  void wait_until_acknowledged(unsigned fetched);
  // As above until `deadline`; false if it came first.
  [[nodiscard]] bool acknowledged_by(unsigned fetched, rt::Time deadline);

 private:
  mutable rt::Mutex mutex_{rt::LockRank::process};
  std::shared_ptr<Channel> channel_ HW_GUARDED_BY(mutex_);
  rt::CondVar acknowledged_;
  unsigned completed_ HW_GUARDED_BY(mutex_) = 0;
};

struct CmEvent {
  rdma_cm_event pub{};
  // What the program sees; USER and INTERNAL are none that Debian's header names.
  [[nodiscard]] cma::EventType type() const { return static_cast<cma::EventType>(number_of(pub.event)); }
  std::shared_ptr<CmId> owner;           // whose acknowledgement it is: the listener's for a CONNECT_REQUEST
  std::shared_ptr<Multicast> multicast;  // MULTICAST_*: whose it is too
  ucm::PrivateData private_data;
  // With HAWSER_CHECK=1; number 0: not by the program itself.
  struct Fetched {
    std::uint64_t number{};
    pid_t thread{};
    const void* site{};
  } fetched;
};

}  // namespace hawser::abi::rdmacm
