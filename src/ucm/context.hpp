// One user id [spec 2.8]. Owned by the Table's entry; found by handle, never by pointer, except from the id's handler.
#pragma once

#include "cma/id.hpp"
#include "runtime/dispatcher.hpp"
#include "ucm/manager.hpp"

namespace hawser::ucm {

class Context {
 public:
  Context(Manager& manager, Handle own_handle, std::uint64_t user_id)
      : handle(own_handle), uid(user_id), close_work([this, &manager] { manager.close_id(*this); }) {}

  const Handle handle;
  // Serialises the entry points of the id. Never held while its destroyer waits, nor taken by its handler.
  rt::Mutex mutex{rt::LockRank::user_id};
  // Set before the id is published; null once it is destroyed. A reference keeps it from changing.
  cma::Id* id = nullptr;
  // What the program knows the id by; 0 until it has accepted. Written and read with the id's handler_mutex held.
  std::uint64_t uid;
  // After DEVICE_REMOVAL: destroys the id below, so that the device can go, and leaves the handle.
  rt::Work close_work;
};

}  // namespace hawser::ucm
