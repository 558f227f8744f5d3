#include "cm/connection.hpp"

#include "cm/endpoint.hpp"

namespace hawser::cm {

State Connection::state() const { return endpoint_->state(); }
CommId Connection::local_id() const { return endpoint_->local_id(); }
CommId Connection::remote_id() const { return endpoint_->remote_id(); }
void Connection::set_handler(Handler handler) {
  endpoint_->set_handler(std::make_shared<const Handler>(std::move(handler)));
}
void Connection::attach_ledger(LedgerHold record) { endpoint_->attach_ledger(std::move(record)); }
Status Connection::send_req(const ReqParam& param) { return endpoint_->send_req(param); }
Status Connection::send_rep(const RepParam& param) { return endpoint_->send_rep(param); }
Status Connection::send_rtu(std::span<const std::byte> private_data) { return endpoint_->send_rtu(private_data); }
Status Connection::send_rej(std::uint16_t reason, std::span<const std::byte> additional_info,
                            std::span<const std::byte> private_data) {
  return endpoint_->send_rej(reason, additional_info, private_data);
}
Status Connection::prepare_mra(std::uint8_t service_timeout) { return endpoint_->prepare_mra(service_timeout); }
Status Connection::send_dreq(std::span<const std::byte> private_data) { return endpoint_->send_dreq(private_data); }
Status Connection::send_drep(std::span<const std::byte> private_data) { return endpoint_->send_drep(private_data); }
Status Connection::send_sidr_req(const SidrReqParam& param) { return endpoint_->send_sidr_req(param); }
Status Connection::send_sidr_rep(const SidrRepParam& param) { return endpoint_->send_sidr_rep(param); }
Status Connection::notify_established() { return endpoint_->notify_established(); }
Result<QpAttributes> Connection::qp_attributes(QpTarget target) const { return endpoint_->qp_attributes(target); }

}  // namespace hawser::cm
