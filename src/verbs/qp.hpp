// A queue pair as programs know it: its state machine and queues around a protocol engine (roce::RcQp,
// roce::UdQp).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <variant>

#include <boost/container/small_vector.hpp>
#include <boost/intrusive/set.hpp>

#include "base/result.hpp"
#include "base/types.hpp"
#include "roce/rc_qp.hpp"
#include "roce/ud_qp.hpp"
#include "runtime/sync.hpp"
#include "verbs/address.hpp"
#include "verbs/async_events.hpp"
#include "verbs/context.hpp"
#include "verbs/cq.hpp"
#include "verbs/qp_states.hpp"
#include "verbs/ring.hpp"
#include "verbs/srq.hpp"
#include "verbs/transmit_batch.hpp"

namespace hawser::verbs {

struct QpCapabilities {
  std::uint32_t max_send_wr{}, max_recv_wr{}, max_send_sge{}, max_recv_sge{}, max_inline_bytes{};
};

struct QpInit {
  std::shared_ptr<Pd> pd;
  std::shared_ptr<Cq> send_cq, recv_cq;
  QpCapabilities capabilities;
  bool signal_all{};
  QpType type{QpType::rc};
  std::shared_ptr<Srq> srq{};  // null: receives of its own
};

// struct ibv_qp_attr.
struct QpAttributes {
  QpState state{QpState::reset}, current_state{QpState::reset};
  std::uint8_t path_mtu{};  // IBTA's encoding; 0 while not set
  std::uint8_t path_migration_state{};
  QKey qkey;
  Psn receive_psn, send_psn;
  Qpn destination_qpn;
  std::uint32_t access_flags{};
  AddressVector address;
  std::uint16_t pkey_index{};
  bool sqd_async_notify{}, sq_draining{};
  std::uint8_t max_rd_atomic{}, max_dest_rd_atomic{}, min_rnr_timer{}, port{}, timeout{}, retry_count{}, rnr_retry{};
};

// Hooks of DataPath's timer structure.
class QpTimer : public boost::intrusive::set_base_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>> {
 public:
  bool operator<(const QpTimer& other) const { return deadline < other.deadline; }
  rt::Time deadline{};  // guarded by the DataPath's timer mutex
};

// Thread-safe. Lives until destroy() was called and nobody in the data path holds it any more.
class Qp final : public AsyncSource,
                 public QpTimer,
                 public std::enable_shared_from_this<Qp>,
                 private roce::RcHost,
                 private roce::UdHost {
 public:
  // EINVAL: beyond the device's limits. ENOMEM: no QPN is left.
  [[nodiscard]] static Result<std::shared_ptr<Qp>> create(Context& context, QpInit init);
  ~Qp() override;

  [[nodiscard]] Qpn qpn() const { return qpn_; }
  [[nodiscard]] Context& context() const { return context_; }
  [[nodiscard]] const QpInit& init() const { return init_; }
  [[nodiscard]] QpState state() const { return published_state_.load(std::memory_order_relaxed); }

  // `mask` of qp_attr. EINVAL as the kernel: no such transition, an attribute missing, not allowed there or out of
  // range.
  Status modify(const QpAttributes& attributes, std::uint32_t mask);
  [[nodiscard]] QpAttributes query();

  // `produce(SendWork&)` fills the next work request or returns false when there is none; all leave in one batch.
  // EINVAL: wrong state, too many SGEs, too much inline data, no work for a QP of this type. ENOMEM: the queue is full.
  // Ends at the first error.
  template <class Produce>
  Status post_send(Produce&& produce) {
    const Call call(*this, nullptr);
    for (roce::SendWork work; produce(work); work = {}) {
      if (const Status status = post_one(std::move(work)); !status) return status;
    }
    return {};
  }
  // All of `works` or, on an error, none of them (ibv_wr_complete). Errors as above.
  Status post_sends_or_none(std::span<roce::SendWork> works);
  // EINVAL also when receives come from an SRQ.
  template <class Produce>
  Status post_receive(Produce&& produce) {
    const rt::Lock lock(mutex_);
    for (roce::RecvWork work; produce(work); work = {}) {
      if (const Status status = post_one(std::move(work)); !status) return status;
    }
    return {};
  }

  // Datagrams to this group on the QP's device arrive here as well. Attaching twice is attaching once. EINVAL: no
  // datagram QP, no multicast address; otherwise what MulticastGroups::join() says.
  Status attach(const Gid& group);
  Status detach(const Gid& group);      // EINVAL: not attached
  [[nodiscard]] bool attached() const;  // to any

  // Not while attached(). The QPN is free again; events of the QP that were taken are waited for. Work requests vanish.
  void destroy();

  // For the data path.
  enum class Delivery : std::uint8_t {
    taken,
    unknown_address,
    not_ready,
    wrong_transport,
    bad_qkey,
    no_receive,
    too_long
  };
  Delivery on_packet(const roce::Packet& packet, const fabric::InDatagram& datagram, TransmitBatch& batch);
  void on_time(rt::Time now, TransmitBatch& batch);
  void end_of_round(TransmitBatch& batch);  // held-back acknowledgements leave
  void on_device_gone(TransmitBatch& batch);

 private:
  // Holds the lock for one call of the engine, and settles what the engine asked for before it lets go.
  class HW_SCOPED_CAPABILITY Call {
   public:
    // Without a batch of its own the call takes one from the DataPath and empties it.
    Call(Qp& qp, TransmitBatch* batch) HW_ACQUIRE(qp.mutex_);
    ~Call() HW_RELEASE();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    Qp& qp_;
    std::unique_ptr<TransmitBatch> own_batch_;
  };

  Qp(Context& context, QpInit init, Qpn qpn);

  [[nodiscard]] Status check(const roce::SendWork& work, std::size_t before_it) HW_REQUIRES(mutex_);
  Status post_one(roce::SendWork&& work) HW_REQUIRES(mutex_);
  void post_checked(roce::SendWork&& work) HW_REQUIRES(mutex_);
  Status post_one(roce::RecvWork&& work) HW_REQUIRES(mutex_);
  struct DeviceView {
    std::optional<Gid> source_gid;  // at the index that the address vector names
    std::uint8_t path_mtu_max{};
    bool gone{};
    bool peer_is_here{};  // the address vector's destination is one of this host's addresses
  };
  [[nodiscard]] static int check(QpType type, const QpAttributes& attributes, std::uint32_t mask, QpState from,
                                 QpState to, const DeviceView& device);
  void store(const QpAttributes& attributes, std::uint32_t mask) HW_REQUIRES(mutex_);
  void enter(QpState from, QpState to) HW_REQUIRES(mutex_);
  void enter(roce::RcQp& rc, QpState from, QpState to) HW_REQUIRES(mutex_);
  void enter(roce::UdQp& ud, QpState from, QpState to) HW_REQUIRES(mutex_);
  void enter_error() HW_REQUIRES(mutex_);
  void set_state(QpState state) HW_REQUIRES(mutex_);
  void flush_everything() HW_REQUIRES(mutex_);
  void settle() HW_REQUIRES(mutex_);
  [[nodiscard]] roce::RcAttributes rc_attributes() const HW_REQUIRES(mutex_);
  [[nodiscard]] roce::UdAttributes ud_attributes() const HW_REQUIRES(mutex_);
  Delivery deliver(roce::RcQp& rc, const roce::Packet& packet, const fabric::InDatagram& datagram) HW_REQUIRES(mutex_);
  static Delivery deliver(roce::UdQp& ud, const roce::Packet& packet, const fabric::InDatagram& datagram);
  void complete(Cq& cq, const roce::Completion& completion) HW_REQUIRES(mutex_);
  template <class Key>
  std::byte* pinned_memory(Key key, std::uint64_t addr, std::uint32_t length, std::uint32_t rights) HW_REQUIRES(mutex_);

  using Engine = std::variant<roce::RcQp, roce::UdQp>;
  [[nodiscard]] Engine make_engine();
  template <class Visit>
  decltype(auto) engine(Visit visit) HW_REQUIRES(mutex_) {
    return std::visit(visit, engine_);
  }
  [[nodiscard]] std::size_t sends_outstanding() HW_REQUIRES(mutex_) {
    return engine([](const auto& e) { return e.sends_outstanding(); });
  }

  // roce::RcHost and roce::UdHost, called under mutex_.
  std::byte* local_memory(LKey key, std::uint64_t addr, std::uint32_t length, std::uint32_t access_flags) override;
  std::byte* remote_memory(RKey key, std::uint64_t addr, std::uint32_t length, std::uint32_t access_flags) override;
  bool invalidate(RKey key) override;
  std::optional<roce::RecvWork> take_receive() override;
  void complete_send(const roce::Completion& completion) override;
  void complete_receive(const roce::Completion& completion) override;
  std::span<std::byte> datagram_buffer() override;
  void transmit(const fabric::OutDatagram& datagram) override;
  void communication_established() override;
  void entered_error(std::optional<roce::ResponderError> untold) override;
  void send_queue_drained() override;
  bool put_back(roce::RecvWork&& receive) override;
  void send_too_long(std::uint64_t bytes) override;
  void send_failed() override;
  void receive_failed() override;
  [[nodiscard]] roce::PeerActivity peer_activity() const override;
  [[nodiscard]] rt::Time now() const override;
  [[nodiscard]] std::uint16_t source_port() const override;

  Context& context_;
  DataPath::Impl& path_;
  const QpInit init_;
  const Qpn qpn_;
  rt::Atomic<QpState> published_state_{QpState::reset};
  rt::Mutex mutex_{rt::LockRank::qp};
  QpAttributes attributes_ HW_GUARDED_BY(mutex_);
  Gid source_gid_ HW_GUARDED_BY(mutex_);
  Mtu port_mtu_ HW_GUARDED_BY(mutex_){};
  Engine engine_ HW_GUARDED_BY(mutex_);
  bool peer_is_here_ HW_GUARDED_BY(mutex_) = false;
  Ring<roce::RecvWork> receives_ HW_GUARDED_BY(mutex_);
  boost::container::small_vector<MemoryRegion*, 8> pinned_ HW_GUARDED_BY(mutex_);
  TransmitBatch* batch_ HW_GUARDED_BY(mutex_) = nullptr;
  rt::Time armed_ HW_GUARDED_BY(mutex_) = rt::time_never;
  bool error_pending_ HW_GUARDED_BY(mutex_) = false;
  bool established_pending_ HW_GUARDED_BY(mutex_) = false;
  bool timer_notify_pending_ HW_GUARDED_BY(mutex_) = false;
  bool destroyed_ HW_GUARDED_BY(mutex_) = false;
};

}  // namespace hawser::verbs
