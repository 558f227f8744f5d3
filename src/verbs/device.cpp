#include "verbs/device.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace hawser::verbs {
namespace {

constexpr std::uint32_t roce_headers_bytes = 96;  // GRH, UDP, BTH, the largest extended headers, ICRC [spec 1.7]
constexpr std::uint64_t guid_prefix = 0x024857;   // locally administered, "HW"

// FNV-1a with a final mix: the same in every process of a host, whatever compiler built it.
class StableHash {
 public:
  void add(std::uint8_t byte) { value_ = (value_ ^ byte) * 0x100000001b3; }
  void add(std::uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) add(static_cast<std::uint8_t>(number >> shift));
  }
  [[nodiscard]] std::uint64_t bits(int count) const {
    std::uint64_t v = value_;
    v = (v ^ (v >> 33)) * 0xff51afd7ed558ccd;
    v = (v ^ (v >> 33)) * 0xc4ceb9fe1a85ec53;
    return (v ^ (v >> 33)) >> (64 - count);
  }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

Guid make_guid(std::uint64_t host_identity, const InterfaceSnapshot& interface) {
  StableHash hash;
  hash.add(host_identity);
  for (const char c : interface.name) hash.add(static_cast<std::uint8_t>(c));
  hash.add(std::uint8_t{0});
  for (const std::uint8_t byte : interface.mac) hash.add(byte);
  return Guid(guid_prefix << 40 | hash.bits(40));
}

PortState state_of(const InterfaceSnapshot& interface) { return interface.up ? PortState::active : PortState::down; }

std::uint32_t lowest_free_index(const std::vector<GidEntry>& sorted) {
  std::uint32_t index = 0;
  for (const GidEntry& entry : sorted) {
    if (entry.index != index) break;
    ++index;
  }
  return index;
}

// Drops entries whose address went, gives new addresses the lowest free indices. True if anything changed.
bool update_gids(std::vector<GidEntry>& gids, const std::vector<IpAddress>& addresses) {
  bool changed = std::erase_if(gids, [&](const GidEntry& entry) {
                   return std::ranges::find(addresses, entry.gid) == addresses.end();
                 }) > 0;
  for (const IpAddress& address : addresses) {
    if (std::ranges::find(gids, address, &GidEntry::gid) != gids.end()) continue;
    const GidEntry entry{.index = lowest_free_index(gids), .gid = address};
    gids.insert(std::ranges::upper_bound(gids, entry.index, {}, &GidEntry::index), entry);
    changed = true;
  }
  return changed;
}

}  // namespace

bool InterfaceSnapshot::owns(const IpAddress& address, std::uint32_t scope) const {
  if (loopback && address.is_v4() && address.is_loopback()) return true;
  if (address.is_link_local() && scope != 0 && scope != index) return false;
  return std::ranges::find(addresses, address) != addresses.end();
}

std::optional<Mtu> roce_mtu(std::uint32_t interface_mtu_bytes) {
  for (const Mtu mtu : {Mtu::mtu_4096, Mtu::mtu_2048, Mtu::mtu_1024, Mtu::mtu_512, Mtu::mtu_256}) {
    if (interface_mtu_bytes >= mtu_bytes(mtu) + roce_headers_bytes) return mtu;
  }
  return std::nullopt;
}

Device::Device(std::string name, Guid guid, const InterfaceSnapshot& interface)
    : name_(std::move(name)),
      guid_(guid),
      interface_index_(interface.index),
      interface_name_(interface.name),
      loopback_(interface.loopback),
      port_state_(state_of(interface)),
      interface_mtu_(interface.mtu_bytes),
      mac_(interface.mac) {
  update_gids(gids_, interface.addresses);
}

PortState Device::port_state() const {
  if (gone()) return PortState::down;
  rt::Lock lock(mutex_);
  return port_state_;
}

std::uint32_t Device::interface_mtu() const {
  rt::Lock lock(mutex_);
  return interface_mtu_;
}

Mtu Device::active_mtu() const { return roce_mtu(interface_mtu()).value_or(Mtu::mtu_256); }

std::vector<GidEntry> Device::gids() const {
  rt::Lock lock(mutex_);
  return gids_;
}

std::optional<std::uint32_t> Device::gid_index(const Gid& gid) const {
  rt::Lock lock(mutex_);
  const auto entry = std::ranges::find(gids_, gid, &GidEntry::gid);
  if (entry == gids_.end()) return std::nullopt;
  return entry->index;
}

std::optional<Gid> Device::gid(std::uint32_t index) const {
  rt::Lock lock(mutex_);
  const auto entry = std::ranges::find(gids_, index, &GidEntry::index);
  if (entry == gids_.end()) return std::nullopt;
  return entry->gid;
}

bool Device::has_address(const IpAddress& address) const {
  return gid_index(address).has_value() || (loopback_ && address.is_v4() && address.is_loopback());
}

// A port goes down before its addresses do, and is said to be up when they are there.
std::vector<DeviceChange> Device::update(const InterfaceSnapshot& interface) {
  std::vector<DeviceChange> changes;
  const PortState state = state_of(interface);
  mutex_.lock_nested();
  if (port_state_ == PortState::active && state == PortState::down) changes.push_back(DeviceChange::port_error);
  if (mac_ != interface.mac) changes.push_back(DeviceChange::mac_change);
  if (interface_mtu_ != interface.mtu_bytes) changes.push_back(DeviceChange::lid_mtu_change);
  if (update_gids(gids_, interface.addresses)) changes.push_back(DeviceChange::gid_change);
  if (port_state_ == PortState::down && state == PortState::active) changes.push_back(DeviceChange::port_active);
  port_state_ = state;
  interface_mtu_ = interface.mtu_bytes;
  mac_ = interface.mac;
  mutex_.unlock();
  return changes;
}

DeviceTable::DeviceTable(std::uint64_t host_identity) : host_identity_(host_identity) {}

DeviceTable::~DeviceTable() {
  rt::Lock lock(mutex_);
  HW_ASSERT(observers_.empty() && !telling_, "device-table-destroyed-with-observers");
}

void DeviceTable::retire(std::size_t position) {
  const DevicePtr device = devices_[position];
  device->gone_.store(true);
  devices_.erase(devices_.begin() + static_cast<std::ptrdiff_t>(position));
  pending_.push_back({device, DeviceChange::removed});
}

void DeviceTable::apply(const std::vector<InterfaceSnapshot>& interfaces) {
  {
    rt::Lock lock(mutex_);
    const auto snapshot_of = [&](std::uint32_t index, const std::string& name) {
      return std::ranges::find_if(interfaces, [&](const auto& i) { return i.index == index && i.name == name; });
    };
    std::erase_if(removed_,
                  [&](const InterfaceKey& key) { return snapshot_of(key.first, key.second) == interfaces.end(); });
    for (std::size_t i = devices_.size(); i-- > 0;) {
      const Device& device = *devices_[i];
      if (snapshot_of(device.interface_index(), device.interface_name()) == interfaces.end()) retire(i);
    }
    for (const InterfaceSnapshot& interface : interfaces) {
      if (std::ranges::find(removed_, InterfaceKey(interface.index, interface.name)) != removed_.end()) continue;
      const auto existing = std::ranges::find(devices_, interface.index, &Device::interface_index);
      if (existing != devices_.end()) {
        for (const DeviceChange change : (*existing)->update(interface)) pending_.push_back({*existing, change});
        continue;
      }
      const auto device =
          std::make_shared<Device>("hw_" + interface.name, make_guid(host_identity_, interface), interface);
      devices_.insert(std::ranges::upper_bound(devices_, interface.index, {}, &Device::interface_index), device);
      pending_.push_back({device, DeviceChange::added});
    }
  }
  tell_pending();
}

bool DeviceTable::remove(const std::string& name) {
  {
    rt::Lock lock(mutex_);
    const auto device = std::ranges::find(devices_, name, &Device::name);
    if (device == devices_.end()) return false;
    removed_.emplace_back((*device)->interface_index(), (*device)->interface_name());
    retire(static_cast<std::size_t>(device - devices_.begin()));
  }
  tell_pending();
  return true;
}

void DeviceTable::tell_pending() {
  rt::UniqueLock lock(mutex_);
  if (telling_) return;  // whoever tells goes on until nothing is pending
  telling_ = true;
  teller_ = rt::this_thread_id();
  while (!pending_.empty()) {
    const Change change = pending_.front();
    pending_.pop_front();
    for (std::uint64_t last = 0;;) {  // an observer may add or remove observers: no iterator is kept
      const auto next = std::ranges::find_if(observers_, [&](const auto& entry) { return entry.first > last; });
      if (next == observers_.end()) break;
      last = running_token_ = next->first;
      const std::shared_ptr<Observer> observer = next->second;
      lock.unlock();
      (*observer)(change.device, change.change);
      lock.lock();
      running_token_ = 0;
      told_.notify_all();
    }
  }
  telling_ = false;
  teller_ = {};
}

std::vector<DevicePtr> DeviceTable::list() const {
  rt::Lock lock(mutex_);
  return devices_;
}

DevicePtr DeviceTable::find(const std::string& name) const {
  rt::Lock lock(mutex_);
  const auto device = std::ranges::find(devices_, name, &Device::name);
  return device == devices_.end() ? nullptr : *device;
}

DevicePtr DeviceTable::find_by_address(const IpAddress& address, std::uint32_t interface_index) const {
  const std::vector<DevicePtr> devices = list();
  const bool scoped = address.is_link_local() && interface_index != 0;
  for (const DevicePtr& device : devices) {
    if (scoped && device->interface_index() != interface_index) continue;
    if (device->gid_index(address)) return device;
  }
  if (address.is_v4() && address.is_loopback()) {
    const auto loopback = std::ranges::find_if(devices, [](const DevicePtr& d) { return d->is_loopback(); });
    if (loopback != devices.end()) return *loopback;
  }
  return nullptr;
}

std::uint64_t DeviceTable::add_observer(Observer observer) {
  rt::Lock lock(mutex_);
  observers_.emplace_back(next_token_, std::make_shared<Observer>(std::move(observer)));
  return next_token_++;
}

void DeviceTable::remove_observer(std::uint64_t token) {
  rt::Lock lock(mutex_);
  std::erase_if(observers_, [&](const auto& entry) { return entry.first == token; });
  while (running_token_ == token && teller_ != rt::this_thread_id()) told_.wait(mutex_);
}

}  // namespace hawser::verbs
