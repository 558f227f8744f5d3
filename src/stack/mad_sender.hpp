// How the connection manager's MADs leave a process: through QP 1, and those whose sender wants to hear of "port
// unreachable" through a socket of their own.
#pragma once

#include <atomic>
#include <memory>

#include "cm/manager.hpp"
#include "fabric/reporting_socket_posix.hpp"
#include "runtime/dispatcher.hpp"
#include "runtime/sync.hpp"
#include "verbs/gsi.hpp"

namespace hawser::stack {

// Thread-safe.
class MadSender final : public cm::MadSender {
 public:
  // `hears_reports`: false on a simulated network, which has no ICMP.
  MadSender(verbs::Gsi& gsi, rt::Dispatcher& dispatcher, bool hears_reports)
      : gsi_(gsi), dispatcher_(dispatcher), failed_(!hears_reports) {}
  ~MadSender() override { dispatcher_.cancel_sync(wake_); }

  void send(const verbs::MadAddress& to, const verbs::Mad& mad) override;
  void send_reporting(const verbs::MadAddress& to, const verbs::Mad& mad) override;

  // Readable (POLLERR) while there are reports; -1 until the first send_reporting().
  [[nodiscard]] int report_fd() const;
  void read_reports(cm::Manager& connections);  // one caller at a time

 private:
  fabric::ReportingSocket* reporting();

  verbs::Gsi& gsi_;
  rt::Dispatcher& dispatcher_;
  rt::Work wake_{[] {}};  // whoever sleeps must look at the new descriptor too
  rt::Mutex opening_{rt::LockRank::fabric};
  std::unique_ptr<fabric::ReportingSocket> socket_ HW_GUARDED_BY(opening_);
  bool failed_ HW_GUARDED_BY(opening_);
  std::atomic<fabric::ReportingSocket*> opened_{nullptr};
};

}  // namespace hawser::stack
