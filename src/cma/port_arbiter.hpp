// Who may use which port [spec 1.8]: the port tables of one network namespace. Across processes the agent keeps them
// (agent::Client implements this by asking it), for a Stack on its own PortTable does.
#pragma once

#include <cstdint>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "cma/types.hpp"

namespace hawser::cma {

// What a binding may be told after it was granted; the numbers are the agent protocol's.
enum class PortOption : std::uint8_t { reuse = 0, v6_only = 1 };

struct PortRequest {
  PortSpace space{PortSpace::tcp};
  SocketAddress source;       // port 0: any of the local port range
  SocketAddress destination;  // if already known; decides whether an ephemeral port may be shared
  bool reuse{};               // REUSEADDR
  bool v6_only{};             // AFONLY
  bool may_bind_privileged{};

  void set(PortOption option, bool value) { (option == PortOption::reuse ? reuse : v6_only) = value; }
};

// Names one binding in the arbiter; 0 is none.
using PortHandle = std::uint64_t;

struct PortBinding {
  PortHandle handle{};
  std::uint16_t port{};
};

// Thread-safe.
class PortArbiter {
 public:
  virtual ~PortArbiter() = default;
  // EACCES, EADDRINUSE, EADDRNOTAVAIL as [spec 1.8].
  virtual Result<PortBinding> bind(const PortRequest& request) = 0;
  // In one step: proves that a reuse-bound binding is alone on its port, clears its reuse flag, and lets the agent
  // direct connection requests for its service id here. EADDRINUSE, EADDRNOTAVAIL [spec 3.3].
  virtual Status listen(PortHandle handle) = 0;
  // No more requests are directed here (unwind of listen).
  virtual void unlisten(PortHandle handle) = 0;
  // An option of a binding that does not listen: those who bind later are held against it [spec 1.1.3, 1.8.4].
  virtual Status set_option(PortHandle handle, PortOption option, bool value) = 0;
  virtual void release(PortHandle handle) = 0;
};

}  // namespace hawser::cma
