// A network that says what somebody wants to see happen: the decorator behind `hawser fault` and the environment's
// plan. Devices, addresses and neighbours change for this Stack as if they had changed in earnest, along the same ways.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "addr/network.hpp"
#include "runtime/sync.hpp"

namespace hawser::addr {

enum class NetworkFaultKind : std::uint8_t {
  remove_interface,   // it is gone, and its addresses and routes with it
  remove_address,     // no interface has it
  link_down,          // the interface has no carrier
  change_mac,         // the interface has another MAC (a bond failed over)
  move_neighbour,     // the neighbour answers with another MAC
  silence_neighbour,  // the neighbour does not answer
};

struct NetworkFault {
  NetworkFaultKind kind{};
  std::string interface;  // of the first, third and fourth kind
  IpAddress address;      // of the others
  bool operator==(const NetworkFault&) const = default;
};

// Thread-safe. A fault is in force from set() until clear(). `inner` outlives it.
class FaultyNetworkView final : public NetworkView {
 public:
  explicit FaultyNetworkView(NetworkView& inner);
  ~FaultyNetworkView() override;

  void set(std::uint32_t number, const NetworkFault& fault);  // tells the observer what changed
  bool clear(std::uint32_t number);                           // likewise; false if there is none
  // How often each fault has made a difference to an answer of the network.
  [[nodiscard]] std::map<std::uint32_t, std::uint64_t> effects() const;

  // Called, with no lock held, when that number has grown. It takes locks from cm_faults on only. Set before the first
  // fault.
  void set_notify(std::function<void()> notify) { notify_ = std::move(notify); }

  [[nodiscard]] std::vector<verbs::InterfaceSnapshot> interfaces() override;
  [[nodiscard]] Result<Route> route(const IpAddress& destination, const std::optional<IpAddress>& source,
                                    std::uint32_t interface) override;
  [[nodiscard]] Result<Mac> neighbour(std::uint32_t interface, const IpAddress& address) override;
  [[nodiscard]] std::pair<std::uint16_t, std::uint16_t> local_port_range() override;
  [[nodiscard]] bool may_bind_privileged() override { return inner_.may_bind_privileged(); }
  [[nodiscard]] bool bind_v6_only() override { return inner_.bind_v6_only(); }
  void set_observer(Observer observer) override;
  [[nodiscard]] int poll_fd() const override { return inner_.poll_fd(); }
  void poll() override { inner_.poll(); }

 private:
  struct Entry {
    NetworkFault fault;
    std::uint64_t effects{};
  };
  // Whether there is a fault of this kind for the interface or the address; counts that it made a difference.
  bool hits(NetworkFaultKind kind, std::string_view interface, const IpAddress& address) HW_REQUIRES(mutex_);
  Result<Mac> as_seen(const IpAddress& address, const Result<Mac>& mac, bool& hit) HW_REQUIRES(mutex_);
  void tell(const NetworkFault& fault);
  void tell_interfaces();
  void tell_neighbour(const IpAddress& address);
  void pass_on(NeighbourChange change);

  NetworkView& inner_;
  std::function<void()> notify_;
  rt::Atomic<bool> any_{false};
  mutable rt::Mutex mutex_{rt::LockRank::net_faults};
  std::map<std::uint32_t, Entry> faults_ HW_GUARDED_BY(mutex_);
  Observer observer_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::addr
