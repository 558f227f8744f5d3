// A Hawser in this process: devices, connection manager and everything under them.
//
// A process may have several Stacks: with_agent() beside all other programs of the host, alone() without an agent,
// Simulation::add_host() on a simulated network. They share nothing; each looks to the others like another process.
// Programs that use librdmacm and libibverbs have one more, which those libraries make.
//
// Ownership: a Stack outlives everything that was made with it; its end with ids alive is a bug, and aborts.
// Threading: every function may be called from any thread. A Stack works by itself: its service thread receives and
// runs handlers unless a thread of the program does (run(), poll(), EventChannel::get_event(), Cq::wait()). A child of
// fork() makes its own Stacks and leaves its parent's alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hawser/error.hpp"
#include "hawser/faults.hpp"
#include "hawser/id.hpp"
#include "hawser/verbs.hpp"

namespace hawser {

class StackImpl;

struct AloneOptions {
  // One address of this host, whose UDP port 4791 the Stack then owns: others may have the other addresses. Not given:
  // all of them.
  std::optional<IpAddress> address{};
  // What goes wrong on purpose, as the environment variable HAWSER_FAULT says it: "loss=5%,drop=REP:nth=2,seed=42". A
  // wrong one is EINVAL, and stderr says which part. Stack::faults() is the same with types, and at any time.
  std::string faults{};
};

class Stack {
 public:
  // Beside other programs: UDP 4791, queue pair numbers and ports are shared out by the agent of this network namespace
  // and user, which starts by itself. Errors are explained on stderr too.
  [[nodiscard]] static Result<Stack> with_agent();
  // Owns UDP 4791. EADDRINUSE: somebody else holds it (stderr says who, and what to do). EADDRNOTAVAIL: no interface of
  // this host has the address.
  [[nodiscard]] static Result<Stack> alone(const AloneOptions& options = {});

  Stack(Stack&&) noexcept;
  Stack& operator=(Stack&&) noexcept;
  ~Stack();

  // rdma_create_id(): an id in IDLE whose events go to `handler`. The type of its queue pair follows from the port
  // space (tcp: rc; udp and ipoib: ud); port space ib serves every type, rc unless said otherwise. EINVAL: no handler,
  // or a type that is not the port space's.
  [[nodiscard]] Result<Id> create_id(Handler handler, void* context = nullptr, PortSpace port_space = PortSpace::tcp,
                                     std::optional<QpType> qp_type = {});

  // The devices of this host, or of the one address.
  [[nodiscard]] std::vector<Device> devices() const;
  // For tests: takes a device away for good, as if its interface had gone: DEVICE_REMOVAL on its ids, flushed queue
  // pairs. False if there is none of this name. Not in a handler.
  bool remove_device(const std::string& name);
  // For tests: what else goes wrong on purpose, and comes right again (hawser/faults.hpp).
  [[nodiscard]] Faults faults();

  // Does what is due now, handlers included, on the calling thread. Whether there was anything to do.
  bool poll();
  // Makes this thread the one that receives and runs handlers, until `done()` is true (asked after each thing that
  // happened) or interrupt() is called: no other thread has to be woken for an event. EINTR when a signal handler
  // without SA_RESTART ran. On a simulated network it makes time pass, and fails with EDEADLK when nothing will happen
  // any more.
  Status run(const std::function<bool()>& done = {});
  // Ends the run() under way, or else the next one. Safe in signal handlers.
  void interrupt();

  explicit Stack(std::unique_ptr<StackImpl> impl);
  [[nodiscard]] StackImpl& impl() { return *impl_; }

 private:
  std::unique_ptr<StackImpl> impl_;
};

}  // namespace hawser
