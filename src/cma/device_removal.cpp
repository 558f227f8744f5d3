// Devices come and go [spec 2.7] (DESIGN 7).
//
// A device stays usable as an object as long as an id holds it, so a removal need not wait for the ids to let go
// [spec 7 I20, 2.7.3]: each learns of it once, and keeps DEVICE_REMOVAL until its owner destroys it.
#include "base/probe.hpp"
#include "cma/core.hpp"
#include "cma/id.hpp"

namespace hawser::cma {

// [spec 1.7.7]
Status Core::attach(Id& id, const verbs::DevicePtr& device) {
  rt::Lock lock(mutex_);
  // Gone devices say so before their removal is told: either the pass below finds the id, or the id is refused here.
  if (device->gone()) return fail(ENODEV);
  HW_ASSERT(!id.DeviceHook::is_linked(), "cma-attached-twice");
  attached_[device.get()].push_back(id);
  rt::Lock data(id.data_mutex_);
  id.device_ = device;
  return {};
}

void Core::detach(Id& id) {
  verbs::DevicePtr device;  // released outside the locks
  rt::Lock lock(mutex_);
  rt::Lock data(id.data_mutex_);
  device.swap(id.device_);
  // A removal pass may have taken it off the list already.
  if (device == nullptr || !id.DeviceHook::is_linked()) return;
  const auto ids = attached_.find(device.get());
  ids->second.erase(ids->second.iterator_to(id));
  if (ids->second.empty()) attached_.erase(ids);
}

// From the device table. Handlers are the dispatcher's affair, so this only queues.
void Core::on_device_change(const verbs::DevicePtr& device, verbs::DeviceChange change) {
  if (change == verbs::DeviceChange::mac_change) return on_address_change(device->interface_index());
  if (change != verbs::DeviceChange::added && change != verbs::DeviceChange::removed) return;
  {
    rt::Lock lock(mutex_);
    device_changes_.emplace_back(device, change);
  }
  static_cast<void>(services.dispatcher.post(device_work_));
}

void Core::run_device_changes() {
  std::vector<std::pair<verbs::DevicePtr, verbs::DeviceChange>> changes;
  {
    rt::Lock lock(mutex_);
    changes.swap(device_changes_);
  }
  for (const auto& [device, change] : changes) {
    if (change == verbs::DeviceChange::added) {
      extend_wildcards(device);
    } else {
      remove_device(device);
    }
  }
}

// [spec 1.9.5, 7 I20]
void Core::remove_device(const verbs::DevicePtr& device) {
  Listeners done;
  {
    rt::Lock lock(mutex_);
    // Wildcard listeners lose this device and nothing else; a listener that is bound to it is told below.
    for (auto service = listening_.begin(); service != listening_.end();) {
      if (service->first.first == device.get()) {
        done.push_back(std::move(service->second.listener));
        service = listening_.erase(service);
      } else {
        ++service;
      }
    }
  }
  unlisten(done);
  for (;;) {
    Id* id = nullptr;
    {
      rt::Lock lock(mutex_);
      const auto ids = attached_.find(device.get());
      if (ids == attached_.end()) return;
      id = &ids->second.front();
      ids->second.pop_front();
      if (ids->second.empty()) attached_.erase(ids);
      id->get();
    }
    remove_id(id);
  }
}

// [spec 1.5.29, 2.7.1, 2.7.2]
void Core::remove_id(Id* id) {
  id->handler_mutex_.lock();
  const std::optional<State> old = id->claim<State::device_removal>();
  if (!old) HW_PROBE("cma-removal-of-claimed");
  const int result = old ? id->deliver({.type = EventType::device_removal}) : 0;
  if (result != 0) {
    // We own the cancelling of `old`: DESTROYING follows on our own DEVICE_REMOVAL.
    static_cast<void>(id->claim<State::destroying>());
    id->contract_.ended_by_handler();
    id->handler_mutex_.unlock();
    id->put();
    return Id::destroy(id, old);
  }
  id->handler_mutex_.unlock();
  if (old) id->cancel_operation(*old);
  id->put();
}

}  // namespace hawser::cma
