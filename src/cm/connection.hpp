// One communication identifier of the IB connection manager: what the kernel calls struct ib_cm_id.
#pragma once

#include <functional>
#include <memory>

#include "base/result.hpp"
#include "cm/ledger.hpp"
#include "cm/types.hpp"

namespace hawser::cm {

class Manager;
class Connection;
class Endpoint;  // the state machine behind a Connection; private to the room

// Called by the dispatcher, one event at a time per connection, with no lock of cm held. A result ≠ 0 destroys the
// connection after the handler returned (a negative errno; for req_received -ENOMEM means "drop silently", everything
// else REJ 28; for sidr_req_received SIDR_REP "reject"). For these two `connection` is the new one, born for the
// request, and the handler is a listener's: it may install another handler on the connection with set_handler() before
// it returns 0, else its own stays. There the result -EADDRNOTAVAIL says "not for my address" and offers the request to
// the next listener that shares the service, if any; such a handler must have kept no pointer to the connection.
using Handler = std::function<int(Connection& connection, const Event& event)>;

// Thread-safe: entry points may run concurrently with the handler; among each other they are the caller's duty.
// Created by Manager::create() or for a received REQ, ended by Manager::destroy() or by a handler's result.
class Connection {
 public:
  [[nodiscard]] State state() const;
  [[nodiscard]] CommId local_id() const;
  [[nodiscard]] CommId remote_id() const;
  void set_handler(Handler handler);
  // Where this connection's part of the ledger is written from now on; nullptr: nowhere. When the connection is
  // destroyed before the peer has answered its DREQ, the record stays through timewait: should the process end, the
  // agent repeats the DREQ.
  void attach_ledger(LedgerHold record);
  // Free for the owner (cma::Id).
  void* context{};

  // Each: EINVAL in a wrong state [spec 5.5], EINVAL for private data that does not fit.
  Status send_req(const ReqParam& param);
  Status send_rep(const RepParam& param);
  Status send_rtu(std::span<const std::byte> private_data);
  Status send_rej(std::uint16_t reason, std::span<const std::byte> additional_info,
                  std::span<const std::byte> private_data);
  // Nothing on the wire until a duplicate REQ/REP arrives (the deferred MRA) [spec 1.12].
  Status prepare_mra(std::uint8_t service_timeout);
  Status send_dreq(std::span<const std::byte> private_data);
  Status send_drep(std::span<const std::byte> private_data);
  Status send_sidr_req(const SidrReqParam& param);
  Status send_sidr_rep(const SidrRepParam& param);
  // COMM_EST: EISCONN if already established. The event user_established follows from the dispatcher.
  Status notify_established();
  // EINVAL in a state that has no such attributes yet [spec 5.9].
  [[nodiscard]] Result<QpAttributes> qp_attributes(QpTarget target) const;

 private:
  friend class Manager;
  friend class Endpoint;
  explicit Connection(std::shared_ptr<Endpoint> endpoint) : endpoint_(std::move(endpoint)) {}
  ~Connection() = default;
  const std::shared_ptr<Endpoint> endpoint_;
};

}  // namespace hawser::cm
