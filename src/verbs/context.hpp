// An opened device: what its objects have in common.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.hpp"
#include "runtime/world.hpp"
#include "verbs/async_events.hpp"
#include "verbs/data_path.hpp"
#include "verbs/device.hpp"
#include "verbs/mr.hpp"

namespace hawser::verbs {

// Thread-safe. Outlives its objects.
class Context {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Context>> create(rt::World& world, DeviceTable& devices,
                                                               DataPath& data_path, DevicePtr device);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  [[nodiscard]] const DevicePtr& device() const { return device_; }
  [[nodiscard]] rt::World& world() { return world_; }
  [[nodiscard]] DataPath& data_path() { return data_path_; }
  [[nodiscard]] MemoryTable& memory() { return memory_; }
  [[nodiscard]] AsyncEvents& events() { return events_; }

  // Objects alive, for the limits.
  rt::Atomic<std::uint32_t> pds{0}, cqs{0}, qps{0}, srqs{0}, ahs{0};

 private:
  Context(rt::World& world, DeviceTable& devices, DataPath& data_path, DevicePtr device, EventFd fd);
  void on_change(DeviceChange change);

  rt::World& world_;
  DeviceTable& devices_;
  DataPath& data_path_;
  const DevicePtr device_;
  MemoryTable memory_;
  AsyncEvents events_;
  std::uint64_t observer_;
};

}  // namespace hawser::verbs
