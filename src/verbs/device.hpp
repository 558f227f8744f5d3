// The soft device as the rooms above see it: an identity, one port, a GID table. One Device per network interface;
// DeviceTable follows the interfaces (DESIGN 7).
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "base/types.hpp"
#include "runtime/sync.hpp"

namespace hawser::verbs {

enum class PortState : std::uint8_t { down = 1, active = 4 };  // enum ibv_port_state

// What addr's network monitor (or a test) says about one network interface.
struct InterfaceSnapshot {
  std::uint32_t index{};
  std::string name;
  std::array<std::uint8_t, 6> mac{};
  std::uint32_t mtu_bytes{};
  bool up{};  // administratively up and carrier present
  bool loopback{};
  std::vector<IpAddress> addresses;  // in the kernel's order
  bool operator==(const InterfaceSnapshot&) const = default;

  // Whether this interface has the address: a link-local one is another on each interface, so it must be meant
  // (`scope`, 0: whichever). All of 127/8 belongs to the loopback interface.
  [[nodiscard]] bool owns(const IpAddress& address, std::uint32_t scope) const;
};

// Largest IB MTU that fits an interface MTU after RoCE's headers (mtu - 96) [spec 1.7.4]; nullopt below 352 bytes.
[[nodiscard]] std::optional<Mtu> roce_mtu(std::uint32_t interface_mtu_bytes);

struct GidEntry {
  std::uint32_t index{};  // stable while the address exists; a removed entry's index may be used again
  Gid gid;                // type RoCE v2
  bool operator==(const GidEntry&) const = default;
};

// mac_change: the interface goes on with another MAC, as a bond that fails over does.
enum class DeviceChange : std::uint8_t {
  added,
  removed,
  port_active,
  port_error,
  gid_change,
  lid_mtu_change,
  mac_change
};

// Thread-safe; lives as long as somebody holds it. After its interface went it stays usable as an object, is no longer
// listed, and says gone().
class Device {
 public:
  Device(std::string name, Guid guid, const InterfaceSnapshot& interface);

  [[nodiscard]] const std::string& name() const { return name_; }  // "hw_eth0"
  [[nodiscard]] Guid guid() const { return guid_; }                // node GUID = CA GUID of its connections
  [[nodiscard]] std::uint32_t interface_index() const { return interface_index_; }
  [[nodiscard]] const std::string& interface_name() const { return interface_name_; }
  [[nodiscard]] bool is_loopback() const { return loopback_; }
  [[nodiscard]] bool gone() const { return gone_.load(); }

  [[nodiscard]] PortState port_state() const;
  [[nodiscard]] std::uint32_t interface_mtu() const;
  [[nodiscard]] Mtu active_mtu() const;  // of the interface; mtu_256 if that is too small for RoCE
  [[nodiscard]] std::vector<GidEntry> gids() const;
  [[nodiscard]] std::optional<std::uint32_t> gid_index(const Gid& gid) const;
  [[nodiscard]] std::optional<Gid> gid(std::uint32_t index) const;
  // Whether datagrams to this address are for this device: one of its GIDs, or for the loopback device all of 127/8.
  [[nodiscard]] bool has_address(const IpAddress& address) const;

 private:
  friend class DeviceTable;
  // What changed, in the order in which it should be told. Called under the table's mutex.
  std::vector<DeviceChange> update(const InterfaceSnapshot& interface);

  const std::string name_;
  const Guid guid_;
  const std::uint32_t interface_index_;
  const std::string interface_name_;
  const bool loopback_;
  rt::Atomic<bool> gone_{false};
  mutable rt::Mutex mutex_{rt::LockRank::device_table};  // nests inside the table's
  PortState port_state_ HW_GUARDED_BY(mutex_);
  std::uint32_t interface_mtu_ HW_GUARDED_BY(mutex_);
  std::array<std::uint8_t, 6> mac_ HW_GUARDED_BY(mutex_);
  std::vector<GidEntry> gids_ HW_GUARDED_BY(mutex_);
};

using DevicePtr = std::shared_ptr<Device>;

// All devices of one Stack. Thread-safe. Observers are called with no lock held, one at a time, in the order of the
// changes; a change may be told by another thread that is telling earlier ones.
class DeviceTable {
 public:
  // `host_identity` makes node GUIDs of this host (network namespace) differ from those of others; equal for all
  // processes of the host. GUID = prefix 02:48:57 ("HW") + 40 bits of hash(host_identity, interface name, MAC).
  explicit DeviceTable(std::uint64_t host_identity);
  ~DeviceTable();  // no observer may be left
  DeviceTable(const DeviceTable&) = delete;
  DeviceTable& operator=(const DeviceTable&) = delete;

  // Makes the table equal to the interfaces given: adds, changes and removes devices and tells the observers. An
  // interface is the same one while index and name are.
  void apply(const std::vector<InterfaceSnapshot>& interfaces);
  // Takes one device away as if its interface had gone (`hawser fault remove`). It comes back when apply() has once
  // been called without that interface. False if there is no such device.
  bool remove(const std::string& name);

  [[nodiscard]] std::vector<DevicePtr> list() const;
  [[nodiscard]] DevicePtr find(const std::string& name) const;
  // The device that owns this address; for a link-local one the interface must match if `interface_index` is not 0.
  // All of 127/8 belongs to the loopback device, as it does to the interface.
  [[nodiscard]] DevicePtr find_by_address(const IpAddress& address, std::uint32_t interface_index = 0) const;

  using Observer = std::function<void(const DevicePtr&, DeviceChange)>;
  // Returns a token for remove_observer(), which waits until the observer is not running (unless it is the caller).
  [[nodiscard]] std::uint64_t add_observer(Observer observer);
  void remove_observer(std::uint64_t token);

 private:
  struct Change {
    DevicePtr device;
    DeviceChange change;
  };
  using InterfaceKey = std::pair<std::uint32_t, std::string>;

  void retire(std::size_t position) HW_REQUIRES(mutex_);
  void tell_pending();

  const std::uint64_t host_identity_;
  mutable rt::Mutex mutex_{rt::LockRank::device_table};
  rt::CondVar told_;
  std::vector<DevicePtr> devices_ HW_GUARDED_BY(mutex_);  // by interface index
  std::vector<InterfaceKey> removed_ HW_GUARDED_BY(mutex_);
  std::deque<Change> pending_ HW_GUARDED_BY(mutex_);
  std::vector<std::pair<std::uint64_t, std::shared_ptr<Observer>>> observers_ HW_GUARDED_BY(mutex_);
  std::uint64_t next_token_ HW_GUARDED_BY(mutex_) = 1;
  bool telling_ HW_GUARDED_BY(mutex_) = false;
  std::uint64_t running_token_ HW_GUARDED_BY(mutex_) = 0;
  rt::ThreadId teller_ HW_GUARDED_BY(mutex_){};
};

}  // namespace hawser::verbs
