// A process's side of the agent (DESIGN 2, 3): finds or starts hawserd, leases a slot, QPNs and communication ids,
// arbitrates ports, receives relayed datagrams, keeps the ledger, and moves to a successor when the agent dies.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/counters.hpp"
#include "base/result.hpp"
#include "cm/ledger.hpp"
#include "cm/manager.hpp"
#include "cma/port_arbiter.hpp"
#include "fabric/fabric.hpp"
#include "roce/rc_qp.hpp"
#include "verbs/data_path.hpp"

namespace hawser::agent {

struct ClientOptions {
  std::string daemon_path;  // hawserd; empty: HAWSER_AGENT, else beside libhawser (../bin/hawserd)
  std::string program;      // for `hawser ids`; empty: from /proc/self
};

// An agent numbers its faults from 1 to this; above are those that processes set themselves.
inline constexpr std::uint32_t fault_numbers_max = 0x7FFFFFFF;
// Whom a fault concerns.
struct FaultTarget {
  std::int32_t pid{};   // 0: every process
  std::string program;  // empty: every program
};

// Thread-safe. poll() is called by whoever watches poll_fd(), one thread at a time; requests (bind …) may run
// concurrently with it.
class Client {
 public:
  // Connects to the agent of this network namespace and uid, starting it if there is none. Errors explain themselves on
  // stderr (UDP 4791 held by somebody else: by whom, and what to do) and come back as EADDRINUSE, EACCES, ENOENT ….
  [[nodiscard]] static Result<std::unique_ptr<Client>> connect(const ClientOptions& options);
  virtual ~Client() = default;

  [[nodiscard]] virtual fabric::Fabric& fabric() = 0;  // over the slot's socket
  [[nodiscard]] virtual verbs::QpnSpace& qpns() = 0;
  [[nodiscard]] virtual cm::CommIdSpace& comm_ids() = 0;
  [[nodiscard]] virtual cma::PortArbiter& ports() = 0;
  [[nodiscard]] virtual cm::Ledger& ledger() = 0;
  // Equal for all processes of this host (network namespace): DeviceTable's host_identity.
  [[nodiscard]] virtual std::uint64_t host_identity() const = 0;
  [[nodiscard]] virtual std::uint32_t slot() const = 0;

  // What the agent sends unasked; called by poll().
  struct Observer {
    std::function<void(const fabric::InDatagram&)> relayed;  // taken on slot 0 (connection requests, strays)
    std::function<void(std::uint32_t number, const FaultTarget& target, std::string_view fault)> set_fault;
    std::function<void(std::uint32_t number)> clear_fault;  // 0: all
    std::function<void()> agent_changed;                    // a successor, which knows of no faults
  };
  virtual void set_observer(Observer observer) = 0;
  [[nodiscard]] virtual int poll_fd() const = 0;  // stays the same descriptor across a succession
  virtual void poll() = 0;

  // What is known of the process that a QPN or communication id of this host belongs to. Never blocks.
  [[nodiscard]] virtual roce::PeerActivity activity(Qpn qpn) = 0;
  [[nodiscard]] virtual roce::PeerActivity activity(CommId id) = 0;

  // Writes what this process has counted where the agent can read it. Costs no system call to speak of; one thread at a
  // time.
  virtual void publish(const ProcessCounters& counters) = 0;
  // Tells the agent what a fault that it has set has done so far.
  virtual void report_fault(std::uint32_t number, std::uint64_t effects, const FaultTarget& target,
                            std::string_view fault) = 0;
};

// What `hawser ids` and `hawser devices -v` print; asked of the agent, which reads the ledgers.
struct IdInfo {
  std::int32_t pid{};
  std::string program;
  cm::LedgerRecord record{};
};
struct ProcessInfo {
  std::int32_t pid{};
  std::string program;
  std::uint32_t slot{};
  std::vector<NamedCount> counters;
};
struct HostReport {
  std::int32_t agent_pid{};  // 0: there is none
  std::vector<NamedCount> agent_counters;
  std::vector<ProcessInfo> processes;
  std::vector<IdInfo> ids;
};
// ENOENT if no agent runs. Starts nothing.
[[nodiscard]] Result<HostReport> query_host();

// `hawser fault`. ENOENT if no agent runs. A fault holds for the processes that match, and for those that come, until
// it is cleared or the agent leaves with its last client.
struct FaultSet {
  std::uint32_t number{}, processes{};
};
[[nodiscard]] Result<FaultSet> set_fault(const FaultTarget& target, std::string_view fault);
[[nodiscard]] Result<std::uint32_t> clear_faults(std::uint32_t number);  // 0: all; how many there were
struct FaultInfo {
  std::uint32_t number{};
  FaultTarget target;
  std::uint32_t processes{};
  std::uint64_t effects{};
  std::string fault;
};
[[nodiscard]] Result<std::vector<FaultInfo>> query_faults();

}  // namespace hawser::agent
