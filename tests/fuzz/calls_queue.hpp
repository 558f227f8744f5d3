// The queue pair of an id in a C program of the fuzzer, with the account of its work: whatever completes was posted,
// and completes once; whatever was to be signaled has completed before the queue pair ends.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "abi/rdmacm/public.hpp"
#include "base/ip.hpp"
#include "diary.hpp"
#include "program.hpp"

namespace hawser::fuzz {

// Memory that the other threads may write to and read by RDMA; its owner may have taken it back.
struct RemoteWindow {
  std::atomic<std::uint64_t> address{0};
  std::atomic<std::uint32_t> rkey{0};
};

// Thread-safe: any number of threads post and poll, one creates and destroys.
class WorkQueue {
 public:
  // These answer with an errno.
  int create(rdma_cm_id* id, Queue kind, bool datagrams, RemoteWindow& window);
  int create_shared(rdma_cm_id* id);
  int destroy(rdma_cm_id* id, Diary& diary);  // of work that never completed the diary says so
  int destroy_shared(rdma_cm_id* id);
  int modify(int state);
  int reregister(RemoteWindow& window);
  int post_receive(Work work);
  int post_send(Work work, const RemoteWindow& window);
  int poll(Diary& diary);
  int completion_event(Diary& diary);
  int attach(const IpAddress& group);
  int detach(const IpAddress& group);
  // From now on datagrams may go there.
  void add_destination(const rdma_ud_param& to);

 private:
  static constexpr std::uint32_t depth = 8, slots = 32, slot_bytes = 64;
  enum class Direction : std::uint8_t { send, receive, shared_receive };
  struct Posted {
    Direction direction{};
    bool signaled{};
  };
  struct Destination {
    ibv_ah* handle{};
    std::uint32_t qpn{}, qkey{};
  };

  [[nodiscard]] int register_memory(RemoteWindow& window);
  [[nodiscard]] bool account(Direction direction, bool signaled, std::uint64_t& number);
  void never_posted(std::uint64_t number);
  [[nodiscard]] ibv_sge slot(std::uint64_t number, std::uint32_t bytes);
  [[nodiscard]] bool set_destination(ibv_send_wr& wr, std::uint64_t number) const;
  int poll_locked(Diary& diary);
  void note(const ibv_wc& completion, Diary& diary);
  [[nodiscard]] std::size_t awaited();
  void drain(Diary& diary);

  std::shared_mutex mutex_;
  ibv_qp* qp_ = nullptr;
  ibv_srq* srq_ = nullptr;
  ibv_mr* memory_ = nullptr;
  std::uint32_t send_depth_ = 0, receive_depth_ = 0;
  std::atomic<unsigned> unacknowledged_{0};

  mutable std::mutex account_;
  std::uint64_t last_number_ = 0;
  std::map<std::uint64_t, Posted> posted_;
  std::vector<Destination> destinations_;
  std::map<IpAddress, unsigned> attached_;

  struct Bytes {
    std::array<std::byte, slots * slot_bytes> messages{};
    std::array<std::byte, 256> window{};
  };
  alignas(64) Bytes bytes_;
};

}  // namespace hawser::fuzz
