// What a C program of the fuzzer has, and the discipline of its threads, which is all that librdmacm asks for: any
// number of them may call one id at once, but nobody touches it once rdma_destroy_id() was called. Who ends an id has
// it alone. Ids without a channel (synchronous mode) are called by one thread at a time, as id->event wants it. Objects
// stay until the program is over, so that what is stale can be told from what is wrong.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <shared_mutex>

#include "abi/rdmacm/public.hpp"
#include "calls_c.hpp"
#include "calls_queue.hpp"

namespace hawser::fuzz {

struct CallsId {
  std::uint64_t number{};   // in diaries
  rdma_cm_id* raw{};        // its context is this
  bool datagrams{};         // by its port space
  std::shared_mutex use;    // held by calls; alone: by whoever ends it
  bool alive = true;        // guarded by `use`
  bool synchronous{};       // guarded by `use`
  std::mutex turn;          // of calls in synchronous mode
  std::atomic<bool> ended;  // rdma_destroy_id() has returned
  WorkQueue queue;
};

struct CallsChannel {
  rdma_event_channel* raw{};
  CallsId* bell{};        // an id that is there to have an event written to, for whoever waits in vain
  std::shared_mutex use;  // held by whoever fetches, or puts ids there; alone: by whoever closes it
  bool open = true;       // guarded by `use`
};

struct CallsMember {
  std::uint64_t number{};  // the context given
  CallsId* id{};
  SocketAddress address;
};

}  // namespace hawser::fuzz
