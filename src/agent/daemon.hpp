// The agent itself: sessions of processes, their slots and ports, and the loop in which doorman and undertaker work.
// Single-threaded; sleeps in epoll when there is nothing to do.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/channel.hpp"
#include "agent/connection_index.hpp"
#include "agent/counters.hpp"
#include "agent/doorman.hpp"
#include "agent/fault_board.hpp"
#include "agent/ledger_memory.hpp"
#include "agent/port_registry.hpp"
#include "agent/process_activity.hpp"
#include "agent/socket_group.hpp"
#include "agent/undertaker.hpp"
#include "cma/port_table.hpp"
#include "fabric/udp_posix.hpp"
#include "runtime/world.hpp"

namespace hawser::agent {

class Daemon {
 public:
  // Tells the starter how it went: 0 when clients are served, else an errno and a sentence.
  using Ready = std::function<void(int error, std::string_view explanation)>;

  // Serves until the last client has left; returns the exit status of hawserd.
  static int run(const Ready& ready);

 private:
  // A connection to the agent; a process's, once it introduced itself.
  struct Session {
    std::uint64_t id{};
    Descriptor channel;
    Peer peer;
    std::uint32_t slot{};          // 0: did not introduce itself
    bool held{};                   // not read until the state before the succession is complete
    std::vector<std::byte> first;  // a message that waits for a group to exist …
    std::deque<std::vector<std::byte>> outbox;
  };
  // A process that has a slot. Without a session if it has not (yet) come back after a succession.
  struct Process {
    std::uint32_t slot{};
    pid_t pid{};
    std::string program;
    Descriptor pidfd;
    Descriptor event;  // our end of its event channel
    std::unique_ptr<LedgerView> ledger;
    ProcessActivity activity;
    std::uint64_t session{};
    bool restored{true};
  };
  // What an epoll event is about, in the upper half of its data.
  enum class Source : std::uint32_t { listener = 1, session, process, door, grave, questions };

  Daemon(Descriptor listener, Descriptor epoll);

  int loop();
  [[nodiscard]] rt::Time next_deadline() const;
  void on_time(rt::Time now);
  void dispatch(Source source, std::uint32_t number, std::uint32_t events);
  [[nodiscard]] bool may_leave(rt::Time now) const;

  // Sessions (daemon_sessions.cpp).
  void accept_sessions();
  void admit(Descriptor channel);
  bool refuse_session();
  void read_session(std::uint64_t id);
  void end_session(std::uint64_t id);
  void hold(Session& session);
  void on_message(Session& session, std::span<std::byte> message, std::vector<Descriptor> descriptors);
  void on_hello(Session& session, MessageReader& reader);
  void on_resume(Session& session, MessageReader& reader, std::vector<Descriptor>& descriptors);
  void on_resumed(Session& session, MessageReader& reader);
  void on_lease_chunk(Session& session, MessageReader& reader);
  void on_port_message(Session& session, MessageReader& reader);
  void on_restore(Session& session, MessageReader& reader);
  void on_bind(Session& session, MessageReader& reader);
  void on_query(Session& session, MessageReader& reader);
  void read_questions(std::uint32_t slot);
  void send_counters(Session& session, std::uint32_t sequence, pid_t pid, const std::vector<NamedCount>& counts);
  [[nodiscard]] std::vector<NamedCount> own_counts() const;
  void reply(Session& session, std::uint32_t sequence, int error, std::string_view explanation = {});
  void send(Session& session, const MessageWriter& message, std::span<const int> descriptors = {});
  void flush(Session& session);

  // Faults (daemon_faults.cpp).
  void on_fault_set(Session& session, MessageReader& reader);
  void on_fault_clear(Session& session, MessageReader& reader);
  void on_fault_query(Session& session, MessageReader& reader);
  void on_fault_state(Session& session, MessageReader& reader);
  void read_last_effects(Session& session);
  bool tell_fault(const Process& process, std::uint32_t number, const FaultBoard::Fault& fault);
  void tell_faults(const Process& process);

  // Slots and processes.
  [[nodiscard]] Result<std::uint32_t> new_slot(const Peer& peer, const std::string& program);
  [[nodiscard]] Status occupy(std::uint32_t slot, const Peer& peer, const std::string& program);
  void watch(Process& process, Descriptor pidfd);
  [[nodiscard]] Result<Descriptor> open_event_channel(Process& process);
  void bury(std::uint32_t slot);
  void inter(std::uint32_t slot, rt::Time now);
  void steer();
  void steer_to_listeners();
  [[nodiscard]] std::vector<ServiceOwner> direct_services() const;

  // Succession.
  void serve(SocketGroup group);
  void adopt(SocketGroup group, rt::Time now);
  void finish_restoring();
  void give_up_adopting();

  void read_door(rt::Time now);
  std::size_t read_grave(std::uint32_t slot);  // how many datagrams it took
  bool relay(std::uint32_t slot, const fabric::InDatagram& datagram);
  void subscribe(Source source, std::uint32_t number, int fd, std::uint32_t events);
  void unsubscribe(int fd);

  rt::World world_;
  Descriptor listener_, epoll_;
  Descriptor reserve_;  // given up for a moment to refuse a session when there is no other left
  rt::Time listen_again_at_ = rt::time_never;
  rt::Time complain_at_ = rt::Time();  // not about each session that is refused
  std::optional<SocketGroup> group_;   // none while adopting
  std::unique_ptr<fabric::UdpFabric> door_;
  ConnectionIndex connections_;
  cma::PortTable port_table_{world_, &local_port_range};
  PortRegistry ports_{port_table_};
  std::optional<Doorman> doorman_;
  std::optional<Undertaker> undertaker_;
  std::map<std::uint32_t, std::unique_ptr<fabric::UdpFabric>> graves_;  // sockets of dead slots
  std::map<std::uint32_t, Process> processes_;
  std::map<std::uint64_t, Session> sessions_;
  FaultBoard faults_;
  std::uint64_t next_session_ = 1;
  rt::Time adopting_until_ = rt::time_never;   // waiting for somebody who has the flight
  rt::Time restoring_until_ = rt::time_never;  // waiting for processes to say what they have
  bool restoring_ = false;
  rt::Time idle_since_ = rt::Time();
  // Answers that must not be given before the kernel steers requests as they say: it does at the end of a turn of
  // loop().
  struct Answer {
    std::uint64_t session{};
    std::uint32_t sequence{};
    int error{};
  };
  std::vector<Answer> answers_;
  std::vector<ServiceOwner> direct_;  // listeners whose requests need no doorman
  std::string why_not_;               // why there is no group

  static std::pair<std::uint16_t, std::uint16_t> local_port_range();
};

// A number that is the same for all processes of this network namespace, and hardly for any other.
[[nodiscard]] std::uint64_t host_identity();

}  // namespace hawser::agent
