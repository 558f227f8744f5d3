// Calls whose enums may be any int in C, under names of ours: C++ lets nobody read an enum that has none of its values.
#pragma once

#include <cstdint>
#include <cstring>

#include "abi/rdmacm/public.hpp"

namespace hawser::fuzz::c {

extern "C" {
int create_id(rdma_event_channel* channel, rdma_cm_id** id, void* context, int port_space) asm("rdma_create_id");
int notify(rdma_cm_id* id, int event) asm("rdma_notify");
int write_cm_event(rdma_cm_id* id, int event, int status, std::uint64_t arg) asm("rdma_write_cm_event");
}
inline constexpr int own_event = 18;  // RDMA_CM_EVENT_USER

[[nodiscard]] inline int number_of(const rdma_cm_event& event) {
  int number = 0;
  static_assert(sizeof number == sizeof event.event);
  std::memcpy(&number, &event.event, sizeof number);
  return number;
}

}  // namespace hawser::fuzz::c
