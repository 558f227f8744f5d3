// How to test your own connection code: on a simulated network, in virtual time, under loss, reordering and the removal
// of a device; a thousand cases a second, and every one of them can be repeated from its seed.
//
//   deterministic_test [SEED]        one case, told event by event; without a seed: many cases, and only what failed
//
// Under test is KeepConnected, below: the kind of class that every RDMA program has. It knows nothing of the
// simulation.
#include <memory>
#include <sstream>

#include "example.hpp"

namespace {

using namespace std::chrono_literals;
using hawser::CmEvent;
using hawser::CmEventType;
using hawser::errno_of;
using hawser::IdRef;

// ---- the code under test ----------------------------------------------------------------------------------------

// Connects, and connects again whenever the connection is lost, until it has been told to stop or the device is gone.
class KeepConnected {
 public:
  using Log = std::function<void(const std::string&)>;
  KeepConnected(hawser::Stack& stack, const hawser::SocketAddress& to, Log log)
      : stack_(stack), to_(to), log_(std::move(log)) {
    start();
  }

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] bool device_gone() const { return device_gone_; }
  [[nodiscard]] int attempts() const { return attempts_; }
  // An attempt has come to its end, and the id of it wants to be replaced: not in its own handler.
  [[nodiscard]] bool wants_another() const { return failed_ && !device_gone_; }
  void start() {
    failed_ = false;
    ++attempts_;
    id_ = need(stack_.create_id([this](IdRef id, CmEvent& event) { return handle(id, event); }), "create_id");
    if (const auto begun = id_.resolve_addr(nullptr, to_, 2s); !begun) {
      log_(begun.error().message());
      device_gone_ = begun.error() == std::errc::no_such_device;
      failed_ = true;
    }
  }

 private:
  int handle(IdRef id, CmEvent& event) {
    log_(event.text());
    switch (event.type) {
      case CmEventType::addr_resolved: return -errno_of(id.resolve_route(2s));
      case CmEventType::route_resolved: {
        if (const auto prepared = prepare(id); !prepared) return -errno_of(prepared);
        return -errno_of(id.connect_locked({}));
      }
      case CmEventType::established: connected_ = true; return 0;
      case CmEventType::timewait_exit: return 0;
      case CmEventType::device_removal: device_gone_ = true; [[fallthrough]];
      default:
        connected_ = false;
        failed_ = true;
        return 0;
    }
  }
  hawser::Status prepare(IdRef id) {
    auto pd = hawser::Pd::create(stack_, id.device());
    if (!pd) return std::unexpected(pd.error());
    auto cq = hawser::Cq::create(stack_, id.device(), 4);
    if (!cq) return std::unexpected(cq.error());
    auto qp = id.create_qp(*pd, {.send_cq = *cq, .recv_cq = *cq});
    if (!qp) return std::unexpected(qp.error());
    return {};
  }

  hawser::Stack& stack_;
  const hawser::SocketAddress to_;
  const Log log_;
  bool connected_ = false, failed_ = false, device_gone_ = false;
  int attempts_ = 0;
  hawser::Id id_;
};

// ---- its world --------------------------------------------------------------------------------------------------

// Accepts the first connection, ends it after a while, and accepts the next.
class Moody {
 public:
  explicit Moody(hawser::Stack& stack) : stack_(stack) {
    listener_ = need(hawser::Listener::listen(stack, address_of("0.0.0.0", "7471"),
                                              [this](IdRef id, CmEvent& event) { return handle(id, event); }),
                     "listen");
  }
  [[nodiscard]] int established() const { return established_; }
  void hang_up() { static_cast<void>(child_.disconnect()); }

 private:
  int handle(IdRef id, CmEvent& event) {
    if (event.type == CmEventType::established) ++established_;
    if (event.type != CmEventType::connect_request) return 0;
    hawser::Id child = event.take_id();
    auto pd = need(hawser::Pd::create(stack_, id.device()), "pd");
    auto cq = need(hawser::Cq::create(stack_, id.device(), 4), "cq");
    need(id.create_qp(pd, {.send_cq = cq, .recv_cq = cq}), "qp");
    const int error = errno_of(id.accept({}));
    child_ = std::move(child);
    return -error;
  }

  hawser::Stack& stack_;
  int established_ = 0;
  hawser::Id child_;
  std::optional<hawser::Listener> listener_;
};

// One case. The reason why it failed, or "".
std::string run_case(std::uint64_t seed, std::ostream& log) {
  hawser::Simulation simulation({.seed = seed, .delay_min = 10us, .delay_max = 2ms});  // datagrams overtake one another
  const std::string faults = "loss=25%,duplicate=10%,seed=" + std::to_string(seed);
  auto here =
      need(simulation.add_host({.addresses = {*hawser::IpAddress::parse("10.0.0.1")}, .faults = faults}), "host");
  auto there =
      need(simulation.add_host({.addresses = {*hawser::IpAddress::parse("10.0.0.2")}, .faults = faults}), "host");
  Moody server(there);
  KeepConnected client(here, address_of("10.0.0.2", "7471"), [&](const std::string& what) {
    log << std::chrono::duration<double>(simulation.now()).count() << " s  " << what << "\n";
  });
  // Until `done`, giving the client its next attempt whenever it wants one.
  const auto reaches = [&](const std::function<bool()>& done) {
    for (int attempt = 0; attempt < 50; ++attempt) {
      if (simulation.run([&] { return done() || client.wants_another(); }) && done()) return true;
      if (client.wants_another()) client.start();
    }
    return false;
  };
  if (!reaches([&] { return client.connected() && server.established() > 0; })) return "it never connected";
  server.hang_up();
  if (!reaches([&] { return client.attempts() > 1 && client.connected(); })) return "it did not come back";
  if (!here.remove_device("hw_eth0")) return "there was no device";
  if (!reaches([&] { return client.device_gone(); })) return "it did not notice that the device went";
  if (client.connected()) return "it believes in a connection without a device";
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    const std::string failure = run_case(std::stoull(argv[1]), std::cout);
    std::cout << (failure.empty() ? "as it should be" : failure) << std::endl;
    return failure.empty() ? 0 : 1;
  }
  constexpr std::uint64_t cases = 200;
  int failures = 0;
  for (std::uint64_t seed = 1; seed <= cases; ++seed) {
    std::ostringstream log;
    const std::string failure = run_case(seed, log);
    if (failure.empty()) continue;
    ++failures;
    std::cout << "seed " << seed << ": " << failure << "\n" << log.str();
  }
  std::cout << cases - static_cast<std::uint64_t>(failures) << " of " << cases << " cases passed" << std::endl;
  return failures == 0 ? 0 : 1;
}
