#include "calls_queue.hpp"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include <fmt/format.h>

namespace hawser::fuzz {
namespace {

constexpr std::uint32_t message_bytes = 16;
constexpr std::size_t destinations_max = 4;
constexpr unsigned inline_bytes = 32;

ibv_gid gid_of(const IpAddress& ip) {
  ibv_gid gid;
  std::ranges::copy(ip.bytes, gid.raw);
  return gid;
}

ibv_qp_init_attr attributes_of(Queue kind, bool datagrams, std::uint32_t depth) {
  ibv_qp_init_attr attributes{};
  attributes.qp_type = datagrams ? IBV_QPT_UD : IBV_QPT_RC;
  attributes.cap = {.max_send_wr = depth,
                    .max_recv_wr = depth,
                    .max_send_sge = 1,
                    .max_recv_sge = 1,
                    .max_inline_data = inline_bytes};
  switch (kind) {
    case Queue::none_asked: attributes.cap = {}; break;
    case Queue::too_large: attributes.cap.max_send_wr = 1U << 24; break;
    case Queue::too_many_sges: attributes.cap.max_recv_sge = 1000; break;
    case Queue::datagrams: attributes.qp_type = IBV_QPT_UD; break;
    case Queue::unconnected: attributes.qp_type = IBV_QPT_UC; break;
    default: break;
  }
  return attributes;
}

int create_extended(rdma_cm_id* id, const ibv_qp_init_attr& plain) {
  ibv_qp_init_attr_ex attributes{};
  attributes.qp_type = plain.qp_type;
  attributes.cap = plain.cap;
  return rdma_create_qp_ex(id, &attributes);
}

// What is special about `work` in a request that sends one plain message.
void shape(ibv_send_wr& wr, Work work, ibv_sge& sge) {
  switch (work) {
    case Work::unsignaled: wr.send_flags = 0; return;
    case Work::inlined: wr.send_flags |= IBV_SEND_INLINE; return;
    case Work::inlined_too_long:
      wr.send_flags |= IBV_SEND_INLINE;
      sge.length = 2 * inline_bytes;
      return;
    case Work::immediate: wr.opcode = IBV_WR_SEND_WITH_IMM; return;
    case Work::rdma_write: wr.opcode = IBV_WR_RDMA_WRITE; return;
    case Work::rdma_read: wr.opcode = IBV_WR_RDMA_READ; return;
    case Work::wrong_remote_key:
      wr.opcode = IBV_WR_RDMA_WRITE;
      wr.wr.rdma.rkey ^= 0x4321;
      return;
    case Work::nothing: wr.num_sge = 0; return;
    case Work::wrong_key: sge.lkey ^= 0x1234; return;
    case Work::too_many_sges: wr.num_sge = 2; return;
    default: return;
  }
}

}  // namespace

// --- Creation and end

int WorkQueue::create(rdma_cm_id* id, Queue kind, bool datagrams, RemoteWindow& window) {
  const std::unique_lock lock(mutex_);
  if (qp_ != nullptr) return rdma_create_qp(id, nullptr, nullptr) == 0 ? 0 : errno;
  ibv_qp_init_attr attributes = attributes_of(kind, datagrams, depth);
  const std::uint32_t wanted_sends = attributes.cap.max_send_wr, wanted_receives = attributes.cap.max_recv_wr;
  const int result =
      kind == Queue::extended ? create_extended(id, attributes) : rdma_create_qp(id, nullptr, &attributes);
  if (result != 0) return errno;
  qp_ = id->qp;
  send_depth_ = std::min(wanted_sends, depth);
  receive_depth_ = std::min(wanted_receives, depth);
  for (const ibv_cq* cq : {qp_->send_cq, qp_->recv_cq}) ::fcntl(cq->channel->fd, F_SETFL, O_NONBLOCK);
  return register_memory(window);
}

int WorkQueue::register_memory(RemoteWindow& window) {
  memory_ = ibv_reg_mr(qp_->pd, &bytes_, sizeof bytes_,
                       IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ);
  if (memory_ == nullptr) return errno;
  window.address.store(reinterpret_cast<std::uintptr_t>(bytes_.window.data()));
  window.rkey.store(memory_->rkey);
  return 0;
}

int WorkQueue::create_shared(rdma_cm_id* id) {
  const std::unique_lock lock(mutex_);
  ibv_srq_init_attr attributes{.srq_context = nullptr, .attr = {.max_wr = depth, .max_sge = 1, .srq_limit = 0}};
  if (rdma_create_srq(id, nullptr, &attributes) != 0) return errno;
  srq_ = id->srq;
  return 0;
}

int WorkQueue::destroy_shared(rdma_cm_id* id) {
  const std::unique_lock lock(mutex_);
  if (srq_ == nullptr || (qp_ != nullptr && qp_->srq == srq_)) return EBUSY;
  rdma_destroy_srq(id);
  srq_ = nullptr;
  const std::lock_guard account(account_);
  std::erase_if(posted_, [](const auto& entry) { return entry.second.direction == Direction::shared_receive; });
  return 0;
}

int WorkQueue::destroy(rdma_cm_id* id, Diary& diary) {
  const std::unique_lock lock(mutex_);
  if (qp_ == nullptr) return EINVAL;
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_ERR;
  if (ibv_modify_qp(qp_, &attributes, IBV_QP_STATE) == 0) drain(diary);
  ibv_ack_cq_events(qp_->recv_cq, unacknowledged_.exchange(0));
  for (auto& [group, count] : attached_) {
    const ibv_gid gid = gid_of(group);
    for (; count > 0; --count) (void)ibv_detach_mcast(qp_, &gid, 0);
  }
  attached_.clear();
  for (const Destination& to : destinations_) ibv_destroy_ah(to.handle);
  destinations_.clear();
  rdma_destroy_qp(id);
  qp_ = nullptr;
  if (memory_ != nullptr && ibv_dereg_mr(memory_) != 0) diary.note_wrong("ibv_dereg_mr fails");
  memory_ = nullptr;
  const std::lock_guard account(account_);
  std::erase_if(posted_, [](const auto& entry) { return entry.second.direction != Direction::shared_receive; });
  return 0;
}

std::size_t WorkQueue::awaited() {
  const std::lock_guard lock(account_);
  return static_cast<std::size_t>(std::ranges::count_if(posted_, [](const auto& entry) {
    return entry.second.signaled && entry.second.direction != Direction::shared_receive;
  }));
}

// A liveness bound: in the state ERR everything completes.
void WorkQueue::drain(Diary& diary) {
  constexpr int tries = 20'000;
  for (int i = 0; i < tries; ++i) {
    poll_locked(diary);
    if (awaited() == 0) return;
    ::poll(nullptr, 0, 1);
  }
  diary.note_wrong(fmt::format("{} work requests never complete in the state ERR", awaited()));
}

int WorkQueue::modify(int state) {
  const std::unique_lock lock(mutex_);
  if (qp_ == nullptr) return EINVAL;
  ibv_qp_attr attributes{};
  std::memcpy(&attributes.qp_state, &state, sizeof state);
  const int error = ibv_modify_qp(qp_, &attributes, IBV_QP_STATE);
  if (error == 0 && state == IBV_QPS_RESET) {  // what was posted need not complete
    const std::lock_guard account(account_);
    for (auto& [number, posted] : posted_) posted.signaled = false;
  }
  return error;
}

// While work that names the old key is under way.
int WorkQueue::reregister(RemoteWindow& window) {
  const std::unique_lock lock(mutex_);
  if (qp_ == nullptr || memory_ == nullptr) return EINVAL;
  if (const int error = ibv_dereg_mr(memory_); error != 0) return error;
  return register_memory(window);
}

// --- Work

bool WorkQueue::account(Direction direction, bool signaled, std::uint64_t& number) {
  const std::lock_guard lock(account_);
  const auto same = [direction](const auto& entry) { return entry.second.direction == direction; };
  const auto limit = direction == Direction::send      ? send_depth_
                     : direction == Direction::receive ? receive_depth_
                                                       : depth;
  if (std::ranges::count_if(posted_, same) >= limit) return false;
  do {
    number = ++last_number_;
  } while (std::ranges::any_of(posted_, [&](const auto& entry) { return entry.first % slots == number % slots; }));
  posted_.emplace(number, Posted{direction, signaled});
  return true;
}

void WorkQueue::never_posted(std::uint64_t number) {
  const std::lock_guard lock(account_);
  posted_.erase(number);
}

// Nobody else's as long as the work with this number is under way.
ibv_sge WorkQueue::slot(std::uint64_t number, std::uint32_t bytes) {
  return {.addr = reinterpret_cast<std::uintptr_t>(bytes_.messages.data() + number % slots * slot_bytes),
          .length = bytes,
          .lkey = memory_ == nullptr ? 0 : memory_->lkey};
}

int WorkQueue::post_receive(Work work) {
  const std::shared_lock lock(mutex_);
  if (qp_ == nullptr) return EINVAL;
  ibv_srq* const shared = qp_->srq;
  std::uint64_t number = 0;
  if (!account(shared != nullptr ? Direction::shared_receive : Direction::receive, true, number)) return EAGAIN;
  std::array<ibv_sge, 2> sges{slot(number, slot_bytes), {}};
  ibv_recv_wr wr{.wr_id = number, .next = nullptr, .sg_list = sges.data(), .num_sge = 1};
  if (work == Work::wrong_key) sges[0].lkey ^= 0x1234;
  if (work == Work::nothing) wr.num_sge = 0;
  if (work == Work::too_many_sges) wr.num_sge = 2;
  ibv_recv_wr* bad = nullptr;
  const int error = shared != nullptr ? ibv_post_srq_recv(shared, &wr, &bad) : ibv_post_recv(qp_, &wr, &bad);
  if (error != 0) never_posted(number);
  return error;
}

bool WorkQueue::set_destination(ibv_send_wr& wr, std::uint64_t number) const {
  const std::lock_guard lock(account_);
  if (destinations_.empty()) return false;
  const Destination& to = destinations_[number % destinations_.size()];
  wr.wr.ud = {.ah = to.handle, .remote_qpn = to.qpn, .remote_qkey = to.qkey};
  return true;
}

int WorkQueue::post_send(Work work, const RemoteWindow& window) {
  const std::shared_lock lock(mutex_);
  if (qp_ == nullptr) return EINVAL;
  std::uint64_t number = 0, second = 0;
  if (!account(Direction::send, work != Work::unsignaled, number)) return EAGAIN;
  std::array<ibv_sge, 2> sges{slot(number, message_bytes), slot(number, message_bytes)};
  ibv_send_wr wr{}, wrong{};
  wr.wr_id = number;
  wr.sg_list = sges.data();
  wr.num_sge = 1;
  wr.opcode = IBV_WR_SEND;
  wr.send_flags = IBV_SEND_SIGNALED;
  wr.wr.rdma = {.remote_addr = window.address.load(), .rkey = window.rkey.load()};
  if (qp_->qp_type == IBV_QPT_UD && !set_destination(wr, number)) wr.wr.ud = {};
  shape(wr, work, sges[0]);
  if (work == Work::list_with_a_wrong_one && account(Direction::send, true, second)) {
    wrong = wr;
    wrong.wr_id = second;
    wrong.num_sge = 100;
    wr.next = &wrong;
  }
  ibv_send_wr* bad = nullptr;
  const int error = ibv_post_send(qp_, &wr, &bad);
  if (error != 0) {
    if (bad != &wrong) never_posted(number);
    if (second != 0) never_posted(second);
  }
  return error;
}

int WorkQueue::poll(Diary& diary) {
  const std::shared_lock lock(mutex_);
  return qp_ == nullptr ? EINVAL : poll_locked(diary);
}

int WorkQueue::poll_locked(Diary& diary) {
  for (ibv_cq* cq : {qp_->send_cq, qp_->recv_cq}) {
    std::array<ibv_wc, 4> completions{};
    const int count = ibv_poll_cq(cq, completions.size(), completions.data());
    if (count < 0 || count > static_cast<int>(completions.size())) {
      diary.note_wrong(fmt::format("ibv_poll_cq answers {}", count));
      continue;
    }
    for (int i = 0; i < count; ++i) note(completions[static_cast<std::size_t>(i)], diary);
  }
  return 0;
}

void WorkQueue::note(const ibv_wc& completion, Diary& diary) {
  Posted posted;
  {
    const std::lock_guard lock(account_);
    const auto found = posted_.find(completion.wr_id);
    if (found == posted_.end()) {
      return diary.note_wrong(fmt::format("work {} completes that was not posted, or completes twice (status {})",
                                          completion.wr_id, static_cast<int>(completion.status)));
    }
    posted = found->second;
    posted_.erase(found);
  }
  if (completion.qp_num != qp_->qp_num) diary.note_wrong("a completion of another queue pair");
  if (completion.status == IBV_WC_WR_FLUSH_ERR) return diary.reach("flushed");
  if (completion.status != IBV_WC_SUCCESS) return diary.reach("completed with an error");
  const bool received = (completion.opcode & IBV_WC_RECV) != 0;
  if (received != (posted.direction != Direction::send)) diary.note_wrong("a completion of the other kind");
  if (!received && !posted.signaled) diary.note_wrong("unsignaled work completes without an error");
  if (received && completion.byte_len > slot_bytes) diary.note_wrong("more was received than there was room for");
  switch (completion.opcode) {
    case IBV_WC_RDMA_WRITE: return diary.reach("written by RDMA");
    case IBV_WC_RDMA_READ: return diary.reach("read by RDMA");
    case IBV_WC_RECV: return diary.reach(qp_->qp_type == IBV_QPT_UD ? "datagram received" : "message received");
    default: return;
  }
}

int WorkQueue::completion_event(Diary& diary) {
  const std::shared_lock lock(mutex_);
  if (qp_ == nullptr) return EINVAL;
  if (const int error = ibv_req_notify_cq(qp_->recv_cq, 0); error != 0) return error;
  ibv_comp_channel* const channel = qp_->recv_cq->channel;
  pollfd readable{.fd = channel->fd, .events = POLLIN, .revents = 0};
  ::poll(&readable, 1, 1);
  ibv_cq* cq = nullptr;
  void* context = nullptr;
  if (ibv_get_cq_event(channel, &cq, &context) != 0) return errno;
  if (cq != qp_->recv_cq || context != cq->cq_context) diary.note_wrong("an event of another completion queue");
  diary.reach("completion event");
  ++unacknowledged_;
  if (unacknowledged_.load() % 2 == 0) ibv_ack_cq_events(cq, unacknowledged_.exchange(0));
  return 0;
}

// --- Groups and destinations

int WorkQueue::attach(const IpAddress& group) {
  const std::unique_lock lock(mutex_);
  if (qp_ == nullptr) return EINVAL;
  const ibv_gid gid = gid_of(group);
  const int error = ibv_attach_mcast(qp_, &gid, 0);
  if (error == 0) ++attached_[group];
  return error;
}

int WorkQueue::detach(const IpAddress& group) {
  const std::unique_lock lock(mutex_);
  if (qp_ == nullptr || attached_[group] == 0) return EINVAL;
  const ibv_gid gid = gid_of(group);
  --attached_[group];
  return ibv_detach_mcast(qp_, &gid, 0);
}

void WorkQueue::add_destination(const rdma_ud_param& to) {
  const std::shared_lock lock(mutex_);
  if (qp_ == nullptr || qp_->qp_type != IBV_QPT_UD) return;
  ibv_ah_attr address = to.ah_attr;
  ibv_ah* const handle = ibv_create_ah(qp_->pd, &address);
  if (handle == nullptr) return;
  const std::lock_guard account(account_);
  if (destinations_.size() < destinations_max) {
    destinations_.push_back({handle, to.qp_num, to.qkey});
  } else {
    ibv_destroy_ah(handle);
  }
}

}  // namespace hawser::fuzz
