// An id's membership in a multicast group [spec 1.13.4, 1.13.5]: what join_multicast() made, its one event, and what
// has to be undone. Named by a handle: one id may join one group several times, and the kernel, which leaves by
// address, then ends the wrong one [spec 4 #45].
#pragma once

#include "base/ip.hpp"
#include "cma/types.hpp"
#include "runtime/dispatcher.hpp"
#include "verbs/device.hpp"

namespace hawser::cma {

class Id;

// Owned by its id, which holds it in a list under data_mutex_; whoever takes it off that list destroys it, with
// Id::end_membership() [spec 3.7 I11]. Constant once it is on the list.
struct Membership {
  Membership(Id& id, MembershipHandle own_handle, const Event& first_event);

  const MembershipHandle handle;
  const Event event;
  verbs::DevicePtr device;
  Gid group;
  bool joined{};  // in the device's groups: a full member
  // Tells the event. Queued with a reference on the id, and cancelled before the membership goes [spec 3.8 I12].
  // [spec 3.8 A]
  rt::Work work;
};

}  // namespace hawser::cma
