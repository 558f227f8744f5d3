#include "agent/client.hpp"

#include <unistd.h>

#include <array>
#include <utility>

#include "agent/id_space.hpp"
#include "agent/ledger_memory.hpp"
#include "agent/peers.hpp"
#include "agent/session.hpp"
#include "agent/steering.hpp"
#include "base/log.hpp"
#include "fabric/udp_posix.hpp"

namespace hawser::agent {
namespace {

class LeasedQpns final : public verbs::QpnSpace {
 public:
  explicit LeasedQpns(IdSpace& ids) : ids_(ids) {}
  Result<Qpn> allocate() override {
    const auto number = ids_.allocate();
    if (!number) return fail(number.error());
    return Qpn(*number);
  }
  void release(Qpn qpn) override { ids_.release(qpn.value); }
  [[nodiscard]] bool owns(Qpn qpn) const override { return ids_.owns(qpn.value); }

 private:
  IdSpace& ids_;
};

class LeasedCommIds final : public cm::CommIdSpace {
 public:
  explicit LeasedCommIds(IdSpace& ids) : ids_(ids) {}
  Result<CommId> allocate() override {
    const auto number = ids_.allocate();
    if (!number) return fail(number.error());
    return CommId(*number);
  }
  void release(CommId id) override { ids_.release(id.value); }

 private:
  IdSpace& ids_;
};

// The port tables are the agent's; this asks. A binding's handle is ours, so that it outlives an agent.
class AgentPorts final : public cma::PortArbiter {
 public:
  explicit AgentPorts(Session& session) : session_(session) {}

  Result<cma::PortBinding> bind(const cma::PortRequest& request) override {
    const cma::PortHandle handle = next_handle_.fetch_add(1);
    auto answer = session_.request(MessageType::bind, [&](MessageWriter& m) { m.put(handle).port_request(request); });
    if (!answer) return fail(answer.error());
    const auto port = answer->reader().get<std::uint16_t>();
    Session::Binding binding{request, request.source.port == 0, false};
    binding.request.source.port = port;
    session_.remember(handle, binding);
    return cma::PortBinding{handle, port};
  }

  Status listen(cma::PortHandle handle) override {
    if (auto status = ask(MessageType::listen, handle); !status) return status;
    session_.change(handle, [](Session::Binding& binding) {
      binding.listening = true;
      binding.request.reuse = false;
    });
    return {};
  }

  void unlisten(cma::PortHandle handle) override {
    session_.change(handle, [](Session::Binding& binding) { binding.listening = false; });
    (void)ask(MessageType::unlisten, handle);
  }

  Status set_option(cma::PortHandle handle, cma::PortOption option, bool value) override {
    auto answer = session_.request(MessageType::set_option, [&](MessageWriter& m) {
      m.put(handle).put(static_cast<std::uint8_t>(option)).put(static_cast<std::uint8_t>(value));
    });
    if (!answer) return fail(answer.error());
    session_.change(handle, [=](Session::Binding& binding) { binding.request.set(option, value); });
    return {};
  }

  // Who frees a port that has a number for others may tell them so: it must be free when this returns. Nobody waits for
  // an ephemeral one.
  void release(cma::PortHandle handle) override {
    const Session::Binding binding = session_.forget(handle);
    if (binding.ephemeral && !binding.listening) {
      session_.notify(MessageType::release_quietly, [handle](MessageWriter& m) { m.put(handle); });
    } else {
      (void)ask(MessageType::release, handle);
    }
  }

 private:
  Status ask(MessageType type, cma::PortHandle handle) {
    auto answer = session_.request(type, [handle](MessageWriter& m) { m.put(handle); });
    if (!answer) return fail(answer.error());
    return {};
  }

  Session& session_;
  rt::Atomic<cma::PortHandle> next_handle_{1};
};

class AgentClient final : public Client {
 public:
  AgentClient() = default;
  ~AgentClient() override = default;

  Status open(const ClientOptions& options) {
    auto welcome = session_.open(options);
    if (!welcome) return fail(welcome.error());
    slot_ = welcome->slot;
    host_identity_ = welcome->host_identity;
    auto ledger = LedgerMemory::map(welcome->ledger.get());
    if (!ledger) return fail(ledger.error());
    ledger_ = std::move(*ledger);
    socket_.set(std::move(welcome->socket));
    fabric_ = std::make_unique<fabric::UdpFabric>(socket_.get());
    add_chunk(welcome->chunk);
    return {};
  }

  fabric::Fabric& fabric() override { return *fabric_; }
  verbs::QpnSpace& qpns() override { return leased_qpns_; }
  cm::CommIdSpace& comm_ids() override { return leased_comm_ids_; }
  cma::PortArbiter& ports() override { return ports_; }
  cm::Ledger& ledger() override { return *ledger_; }
  [[nodiscard]] std::uint64_t host_identity() const override { return host_identity_; }
  [[nodiscard]] std::uint32_t slot() const override { return slot_; }
  void set_observer(Observer observer) override { observer_ = std::move(observer); }
  [[nodiscard]] int poll_fd() const override { return session_.poll_fd(); }
  void poll() override {
    session_.read_events([this](MessageReader& message) { on_event(message); });
    const std::uint64_t agents = session_.agents();
    if (std::exchange(agents_, agents) != agents && agents > 1 && observer_.agent_changed) observer_.agent_changed();
  }
  roce::PeerActivity activity(Qpn qpn) override {
    if (qpn_numbers_.owns(qpn.value)) return roce::PeerActivity::running;
    return peers_.activity(qpn.value >> qpn_chunk_bits);
  }
  roce::PeerActivity activity(CommId id) override {
    if (comm_id_numbers_.owns(id.value)) return roce::PeerActivity::running;
    return peers_.activity(id.value >> comm_id_chunk_bits);
  }
  // A forked child has no ledger.
  void publish(const ProcessCounters& counters) override {
    if (socket_.is_ours()) ledger_->publish(to_block(counters));
  }
  void report_fault(std::uint32_t number, std::uint64_t effects, const FaultTarget& target,
                    std::string_view fault) override {
    session_.notify(MessageType::fault_state, [&](MessageWriter& m) {
      m.put(number).put(effects).put(target.pid).text(target.program).long_text(fault);
    });
  }

 private:
  void add_chunk(std::uint32_t chunk) {
    qpn_numbers_.add_chunk(chunk);
    comm_id_numbers_.add_chunk(chunk);
  }

  void on_event(MessageReader& message) {
    switch (message.type()) {
      case MessageType::relay: {
        const fabric::InDatagram datagram = message.datagram();
        if (message.complete() && observer_.relayed) observer_.relayed(datagram);
        return;
      }
      case MessageType::set_fault: {
        const auto number = message.get<std::uint32_t>();
        FaultTarget target;
        target.pid = message.get<std::int32_t>();
        target.program = message.text();
        const std::string fault = message.long_text();
        if (message.complete() && observer_.set_fault) observer_.set_fault(number, target, fault);
        return;
      }
      case MessageType::clear_fault: {
        const auto number = message.get<std::uint32_t>();
        if (message.complete() && observer_.clear_fault) observer_.clear_fault(number);
        return;
      }
      case MessageType::peer_state: {
        const auto chunk = message.get<std::uint32_t>();
        const bool stopped = message.get<std::uint8_t>() != 0;
        if (message.complete()) peers_.on_answer(chunk, stopped);
        return;
      }
      default: return;
    }
  }

  Status lease_chunk() {
    auto answer = session_.request(MessageType::lease_chunk, [](MessageWriter&) {});
    if (!answer) return fail(answer.error());
    MessageReader reader = answer->reader();
    const auto chunk = reader.get<std::uint32_t>();
    if (!reader.complete() || chunk >= chunk_count) return fail(EPROTO);
    add_chunk(chunk);
    return {};
  }

  rt::World world_;
  std::unique_ptr<LedgerMemory> ledger_;
  PrivateDescriptor socket_;
  std::unique_ptr<fabric::Fabric> fabric_;
  std::uint32_t slot_ = 0;
  std::uint64_t host_identity_ = 0;
  Observer observer_;
  std::uint64_t agents_ = 1;
  IdSpace qpn_numbers_{world_, qpn_chunk_bits, [this] { return lease_chunk(); }};
  IdSpace comm_id_numbers_{world_, comm_id_chunk_bits, [this] { return lease_chunk(); }};
  LeasedQpns leased_qpns_{qpn_numbers_};
  LeasedCommIds leased_comm_ids_{comm_id_numbers_};
  Session session_;  // says goodbye first of all: the ledger is complete until then
  AgentPorts ports_{session_};
  Peers peers_{world_, [this](std::uint32_t chunk) { session_.ask_peer(chunk); }};
};

}  // namespace

Result<std::unique_ptr<Client>> Client::connect(const ClientOptions& options) {
  auto client = std::make_unique<AgentClient>();
  if (auto status = client->open(options); !status) return fail(status.error());
  return client;
}

}  // namespace hawser::agent
