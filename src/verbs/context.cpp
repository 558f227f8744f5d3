#include "verbs/context.hpp"

namespace hawser::verbs {

Result<std::unique_ptr<Context>> Context::create(rt::World& world, DeviceTable& devices, DataPath& data_path,
                                                 DevicePtr device) {
  if (device->gone()) return fail(ENODEV);
  auto fd = EventFd::create();
  if (!fd) return fail(fd.error());
  return std::unique_ptr<Context>(new Context(world, devices, data_path, std::move(device), std::move(*fd)));
}

Context::Context(rt::World& world, DeviceTable& devices, DataPath& data_path, DevicePtr device, EventFd fd)
    : world_(world),
      devices_(devices),
      data_path_(data_path),
      device_(std::move(device)),
      memory_(world),
      events_(std::move(fd)),
      observer_(devices.add_observer([this](const DevicePtr& changed, DeviceChange change) {
        if (changed == device_) on_change(change);
      })) {}

Context::~Context() { devices_.remove_observer(observer_); }

void Context::on_change(DeviceChange change) {  // DESIGN 7
  switch (change) {
    case DeviceChange::added:
    case DeviceChange::mac_change:
    case DeviceChange::lid_mtu_change: return;
    case DeviceChange::port_active: return events_.push({.type = AsyncEventType::port_active, .source = nullptr});
    case DeviceChange::port_error: return events_.push({.type = AsyncEventType::port_err, .source = nullptr});
    case DeviceChange::gid_change: return events_.push({.type = AsyncEventType::gid_change, .source = nullptr});
    case DeviceChange::removed:
      events_.push({.type = AsyncEventType::device_fatal, .source = nullptr});
      return data_path_.fail_device(*device_);
  }
}

}  // namespace hawser::verbs
