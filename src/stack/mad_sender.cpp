#include "stack/mad_sender.hpp"

#include "base/log.hpp"
#include "stack/trace.hpp"

namespace hawser::stack {

void MadSender::send(const verbs::MadAddress& to, const verbs::Mad& mad) {
  if (log::debug_enabled()) log::debug("to {}: {}", to.remote.text(), describe(mad));
  gsi_.send(to, mad);
}

void MadSender::send_reporting(const verbs::MadAddress& to, const verbs::Mad& mad) {
  if (dispatcher_.world().is_simulated()) return send(to, mad);  // no real socket there
  fabric::ReportingSocket* const socket = reporting();
  if (socket == nullptr) return send(to, mad);
  if (log::debug_enabled()) log::debug("to {}, if it is there: {}", to.remote.text(), describe(mad));
  gsi_.send_through(socket->fabric(), to, mad);
}

fabric::ReportingSocket* MadSender::reporting() {
  if (fabric::ReportingSocket* const socket = opened_.load(std::memory_order_acquire)) return socket;
  {
    rt::Lock lock(opening_);
    if (socket_ != nullptr || failed_) return socket_.get();
    auto made = fabric::ReportingSocket::open();
    if (!made) {
      failed_ = true;
      log::warning("hosts without an RDMA stack will not be noticed at once: no socket: {}", made.error().message());
      return nullptr;
    }
    socket_ = std::move(*made);
    opened_.store(socket_.get(), std::memory_order_release);
  }
  static_cast<void>(dispatcher_.post(wake_));
  return opened_.load(std::memory_order_acquire);
}

int MadSender::report_fd() const {
  const fabric::ReportingSocket* const socket = opened_.load(std::memory_order_acquire);
  return socket == nullptr ? -1 : socket->poll_fd();
}

void MadSender::read_reports(cm::Manager& connections) {
  fabric::ReportingSocket* const socket = opened_.load(std::memory_order_acquire);
  if (socket == nullptr) return;
  while (const auto report = socket->next()) {
    log::debug("nobody receives at {}", report->destination.text());
    if (const auto mad = verbs::Gsi::quoted(report->payload)) connections.on_unreachable(report->destination, *mad);
  }
}

}  // namespace hawser::stack
