// The ports of all processes of a host: cma::PortTable decides, this remembers whose they are. Single-threaded.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "agent/steering.hpp"
#include "base/ip.hpp"
#include "base/types.hpp"
#include "cma/port_arbiter.hpp"

namespace hawser::agent {

class PortRegistry {
 public:
  explicit PortRegistry(cma::PortArbiter& arbiter) : arbiter_(arbiter) {}

  // Processes name their bindings themselves, so that the names outlive an agent. EINVAL: such a name exists.
  Result<std::uint16_t> bind(std::uint32_t slot, std::uint64_t handle, const cma::PortRequest& request);
  // After a succession: the binding was granted by the agent before.
  Status restore(std::uint32_t slot, std::uint64_t handle, const cma::PortRequest& request, bool listening);
  Status listen(std::uint32_t slot, std::uint64_t handle);
  Status unlisten(std::uint32_t slot, std::uint64_t handle);
  Status set_option(std::uint32_t slot, std::uint64_t handle, cma::PortOption option, bool value);
  Status release(std::uint32_t slot, std::uint64_t handle);
  void release_all(std::uint32_t slot);

  // The services that one process alone listens for, at whatever address; sorted.
  [[nodiscard]] std::vector<ServiceOwner> sole_listeners() const;
  // Whether somebody began or ceased to listen since the last call of settle().
  [[nodiscard]] bool listeners_changed() const { return listeners_changed_; }
  void settle() { listeners_changed_ = false; }

  // Who listens for this service id, asked for at `destination` (of the interface that the request came in by, if the
  // address is link-local): the one whose address matches best; if nobody's does, anybody who listens on the
  // port at another address (that process then rejects with 28, as the kernel would [spec 5.6]).
  [[nodiscard]] std::optional<std::uint32_t> listener(ServiceId service, const IpAddress& destination,
                                                      std::uint32_t interface) const;

 private:
  using Name = std::pair<std::uint32_t, std::uint64_t>;  // slot, handle
  struct Binding {
    cma::PortHandle arbiter_handle{};  // 0: restored, but the arbiter knows better
    cma::PortRequest request;          // with the port that was granted
    bool listening{};
  };
  using Service = std::pair<cma::PortSpace, std::uint16_t>;

  static void erase(std::multimap<Service, Name>& from, const Binding& binding, const Name& name);
  Binding* find(std::uint32_t slot, std::uint64_t handle);
  void stop_listening(const Name& name, Binding& binding);
  void start_listening(const Name& name, Binding& binding);

  cma::PortArbiter& arbiter_;
  std::map<Name, Binding> bindings_;
  std::multimap<Service, Name> ports_;      // of every binding
  std::multimap<Service, Name> listeners_;  // of those that listen
  bool listeners_changed_ = false;
};

}  // namespace hawser::agent
