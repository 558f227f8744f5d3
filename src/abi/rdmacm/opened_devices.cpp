#include "abi/rdmacm/opened_devices.hpp"

#include <algorithm>
#include <string>

namespace hawser::abi::rdmacm {
namespace {

ibv_context* open_verbs(const std::string& name) {
  int count = 0;
  ibv_device** const list = ibv_get_device_list(&count);
  if (list == nullptr) return nullptr;
  ibv_context* verbs = nullptr;
  errno = ENODEV;
  for (int i = 0; i < count; ++i) {
    if (name == ibv_get_device_name(list[i])) {
      verbs = ibv_open_device(list[i]);
      break;
    }
  }
  const int error = errno;
  ibv_free_device_list(list);
  errno = error;
  return verbs;
}

}  // namespace

const VerbsDevice* OpenedDevices::find(const verbs::DevicePtr& device) {
  for (const auto& known : devices_) {
    if (known->device == device) return known.get();
  }
  return nullptr;
}

// Opens without holding the mutex, so that libibverbs may take any lock of its own; the loser of a race closes again.
Result<const VerbsDevice*> OpenedDevices::open(const verbs::DevicePtr& device) {
  {
    rt::Lock lock(mutex_);
    if (const VerbsDevice* known = find(device)) return known;
  }
  auto opened = std::make_unique<VerbsDevice>();
  opened->device = device;
  opened->verbs = open_verbs(device->name());
  if (opened->verbs == nullptr) return fail(errno);
  ibv_device_attr attributes{};
  int error = ibv_query_device(opened->verbs, &attributes);
  // Its interface may have gone and come again: then what has its name, and was opened, is another device.
  if (device->gone()) error = ENODEV;
  if (error == 0) {
    opened->max_initiator_depth = static_cast<std::uint8_t>(std::min(attributes.max_qp_init_rd_atom, 0xFF));
    opened->max_responder_resources = static_cast<std::uint8_t>(std::min(attributes.max_qp_rd_atom, 0xFF));
    opened->pd = ibv_alloc_pd(opened->verbs);
    if (opened->pd == nullptr) error = errno;
  }
  if (error != 0) {
    ibv_close_device(opened->verbs);
    return fail(error);
  }
  {
    rt::Lock lock(mutex_);
    if (find(device) == nullptr) return devices_.emplace_back(std::move(opened)).get();
  }
  ibv_dealloc_pd(opened->pd);
  ibv_close_device(opened->verbs);
  return open(device);
}

}  // namespace hawser::abi::rdmacm
