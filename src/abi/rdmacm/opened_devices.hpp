// The devices that ids are on, as contexts of libibverbs: opened once, and never closed.
#pragma once

#include <memory>
#include <vector>

#include "abi/rdmacm/objects.hpp"
#include "base/result.hpp"
#include "runtime/sync.hpp"

namespace hawser::abi::rdmacm {

// Thread-safe.
class OpenedDevices {
 public:
  // The same for every call with the same device. ENODEV: it has gone before it was opened.
  Result<const VerbsDevice*> open(const verbs::DevicePtr& device);

 private:
  [[nodiscard]] const VerbsDevice* find(const verbs::DevicePtr& device) HW_REQUIRES(mutex_);

  rt::Mutex mutex_{rt::LockRank::process};
  std::vector<std::unique_ptr<VerbsDevice>> devices_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::abi::rdmacm
