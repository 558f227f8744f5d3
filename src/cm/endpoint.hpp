// The state machine of one connection [spec 5.5]: what is behind a Connection.
//
// Threads: the public entry points may come from any thread; on_*() come from the dispatcher only, with a reference
// held. No lock is held while a handler runs. The endpoint may outlive its Connection for as long as somebody works on
// it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "cm/comm_id.hpp"
#include "cm/connection.hpp"
#include "cm/core.hpp"
#include "cm/messages.hpp"

namespace hawser::cm {

class Endpoint : public std::enable_shared_from_this<Endpoint> {
 public:
  // In IDLE, known by its local id, with its Connection. ENOMEM without a communication id.
  [[nodiscard]] static Result<std::shared_ptr<Endpoint>> create(Core& core, std::shared_ptr<const Handler> handler);
  Endpoint(Core& core, std::unique_ptr<CommIdLease> id, std::shared_ptr<const Handler> handler);
  ~Endpoint();

  [[nodiscard]] Connection& connection() const { return *connection_; }
  [[nodiscard]] CommId local_id() const { return id_->id; }

  // Entry points; see Connection.
  [[nodiscard]] State state() const;
  [[nodiscard]] CommId remote_id() const;
  void set_handler(std::shared_ptr<const Handler> handler);
  void attach_ledger(LedgerHold record);
  Status send_req(const ReqParam& param);
  Status send_rep(const RepParam& param);
  Status send_rtu(std::span<const std::byte> private_data);
  Status send_rej(std::uint16_t reason, std::span<const std::byte> additional_info,
                  std::span<const std::byte> private_data);
  Status prepare_mra(std::uint8_t service_timeout);
  Status send_dreq(std::span<const std::byte> private_data);
  Status send_drep(std::span<const std::byte> private_data);
  Status send_sidr_req(const SidrReqParam& param);
  Status send_sidr_rep(const SidrRepParam& param);
  Status notify_established();
  [[nodiscard]] Result<QpAttributes> qp_attributes(QpTarget target) const;
  void destroy(int reason);

  // A REQ that matches no connection made this endpoint: → REQ_RCVD, known by the peer's id and QPN.
  void become_req_rcvd(const MadHeader& header, const Req& req, const Path& path);
  // A SIDR_REQ that has not come before made this endpoint: → SIDR_REQ_RCVD.
  void become_sidr_req_rcvd(const SidrRequests::Key& request, ServiceId service, const Path& path);
  // The handler of a request is called by the caller, between these two. `result` as the handler's.
  void begin_req_handler();
  void end_req_handler(int result) { end_handler(result); }

  void on_duplicate_req(const verbs::MadAddress& from);
  void on_rep(const MadHeader& header, const Rep& rep, const verbs::MadAddress& from);
  void on_rtu(const Rtu& rtu);
  void on_mra(const Mra& mra);
  void on_rej(const Rej& rej);
  void on_dreq(const MadHeader& header, const Dreq& dreq, const verbs::MadAddress& from);
  void on_drep(const Drep& drep);
  void on_sidr_rep(const MadHeader& header, const SidrRep& rep);
  void on_request_expired(RequestToken token);
  // Our REQ or SIDR_REQ met no receiver.
  void on_unreachable(const Gid& remote);
  void on_timewait_over(Qpn remote_qpn);
  void on_established_posted() { deliver_pending_established(); }

 private:
  // endpoint.cpp
  void become(State next) HW_REQUIRES(mutex_);
  // As if in `state`. Before a message that makes it so leaves: once the peer can have heard of it the agent must know
  // what to say for a process that dies at this very moment.
  void write_ledger(State state) HW_REQUIRES(mutex_);
  void leave_tables() HW_REQUIRES(mutex_);
  void become_idle() HW_REQUIRES(mutex_);
  void enter_timewait() HW_REQUIRES(mutex_);
  void request_answered() HW_REQUIRES(mutex_);
  void cancel_request() HW_REQUIRES(mutex_);
  [[nodiscard]] bool awaits_rtu() const HW_REQUIRES(mutex_) {
    return state_ == State::rep_sent || state_ == State::mra_rep_rcvd;
  }
  void deliver(const Event& event);
  void deliver_pending_established();
  void run_handler(const Event& event);
  void end_handler(int result);
  void finish(int reason);
  void keep_farewell() HW_REQUIRES(mutex_);

  // endpoint_send.cpp
  void send_now(const MadHeader& header, const Body& body) HW_REQUIRES(mutex_);
  void send_request(Request request, const MadHeader& header, const Body& body) HW_REQUIRES(mutex_);
  Status reject(std::uint16_t reason, std::span<const std::byte> additional_info,
                std::span<const std::byte> private_data) HW_REQUIRES(mutex_);
  Status disconnect(std::span<const std::byte> private_data) HW_REQUIRES(mutex_);
  [[nodiscard]] Dreq make_dreq(std::span<const std::byte> private_data) const HW_REQUIRES(mutex_);
  [[nodiscard]] Drep make_drep() const HW_REQUIRES(mutex_);
  [[nodiscard]] Rtu make_rtu() const HW_REQUIRES(mutex_);
  void end_by_destroy(int reason) HW_REQUIRES(mutex_);

  // endpoint_sidr.cpp
  Status resolve_service(const SidrRepParam& param) HW_REQUIRES(mutex_);

  // endpoint_receive.cpp
  enum class RepOutcome : std::uint8_t { dropped, stale, accepted };
  RepOutcome take_rep(const MadHeader& header, const Rep& rep, const verbs::MadAddress& from) HW_REQUIRES(mutex_);
  void on_duplicate_rep(const Rep& rep, const verbs::MadAddress& from) HW_REQUIRES(mutex_);
  void send_mra(Answered answered, const verbs::MadAddress& to) HW_REQUIRES(mutex_);
  [[nodiscard]] bool take_dreq(const MadHeader& header, const Dreq& dreq, const verbs::MadAddress& from)
      HW_REQUIRES(mutex_);
  [[nodiscard]] bool take_rej(const Rej& rej) HW_REQUIRES(mutex_);
  [[nodiscard]] std::optional<EventKind> give_up() HW_REQUIRES(mutex_);

  Core& core_;
  const std::shared_ptr<const CommIdLease> id_;
  Connection* connection_ = nullptr;  // deleted by finish()

  mutable rt::Mutex mutex_{rt::LockRank::cm_connection};
  rt::CondVar handler_done_;
  State state_ HW_GUARDED_BY(mutex_) = State::idle;
  std::shared_ptr<const Handler> handler_ HW_GUARDED_BY(mutex_);
  LedgerHold ledger_ HW_GUARDED_BY(mutex_);
  LedgerHold farewell_ HW_GUARDED_BY(mutex_);   // on its way into timewait; see keep_farewell()
  bool claimed_ HW_GUARDED_BY(mutex_) = false;  // destroy() or a handler's result ends it: no handler any more
  bool handler_running_ HW_GUARDED_BY(mutex_) = false;
  bool established_pending_ HW_GUARDED_BY(mutex_) = false;  // user_established is owed to the handler
  bool in_remote_tables_ HW_GUARDED_BY(mutex_) = false;
  bool active_ HW_GUARDED_BY(mutex_) = false;  // we sent the REQ

  Path path_ HW_GUARDED_BY(mutex_);
  verbs::MadAddress address_ HW_GUARDED_BY(mutex_);
  // [spec 5.5.10]
  CommId remote_id_ HW_GUARDED_BY(mutex_);  // 0 on the active side until the REP [spec 5.6]; of a SIDR_REQ its id
  Guid remote_guid_ HW_GUARDED_BY(mutex_);
  Qpn local_qpn_ HW_GUARDED_BY(mutex_), remote_qpn_ HW_GUARDED_BY(mutex_);
  Psn receive_psn_ HW_GUARDED_BY(mutex_), send_psn_ HW_GUARDED_BY(mutex_);
  std::uint64_t answer_tid_ HW_GUARDED_BY(mutex_) = 0;  // of the request that our next answer belongs to
  std::uint64_t own_tid_ HW_GUARDED_BY(mutex_) = 0, peer_tid_ HW_GUARDED_BY(mutex_) = 0;
  RequestToken request_ HW_GUARDED_BY(mutex_);  // 0: nothing outstanding
  rt::Duration request_timeout_ HW_GUARDED_BY(mutex_){};
  std::uint8_t max_cm_retries_ HW_GUARDED_BY(mutex_) = 0;
  std::uint8_t mra_service_timeout_ HW_GUARDED_BY(mutex_) = 0;
  std::uint8_t ack_timeout_ HW_GUARDED_BY(mutex_) = 0;
  std::uint8_t responder_resources_ HW_GUARDED_BY(mutex_) = 0, initiator_depth_ HW_GUARDED_BY(mutex_) = 0;
  std::uint8_t retry_count_ HW_GUARDED_BY(mutex_) = 0, rnr_retry_count_ HW_GUARDED_BY(mutex_) = 0;
  SidrRequests::Key sidr_request_ HW_GUARDED_BY(mutex_);  // that we are here to answer
  ServiceId sidr_service_ HW_GUARDED_BY(mutex_);
  std::vector<std::byte> answer_data_ HW_GUARDED_BY(mutex_);  // of the RTU or DREP, which may be asked for again
};

}  // namespace hawser::cm
