// The devices as contexts: the same ones that the ids use.
#include <cstdlib>

#include "abi/rdmacm/process.hpp"

using namespace hawser::abi::rdmacm;

ibv_context** rdma_get_devices(int* count) {
  Process& process = Process::current();
  if (const auto ucm = process.ucm(); !ucm) {
    errno = hawser::errno_of(ucm);
    return nullptr;
  }
  const auto devices = process.stack().devices().list();
  auto** const list = static_cast<ibv_context**>(std::calloc(devices.size() + 1, sizeof(ibv_context*)));
  if (list == nullptr) return nullptr;
  int opened = 0;
  for (const auto& device : devices) {
    if (const auto known = process.devices.open(device)) list[opened++] = (*known)->verbs;
  }
  if (count != nullptr) *count = opened;
  return list;
}

void rdma_free_devices(ibv_context** list) { std::free(static_cast<void*>(list)); }
