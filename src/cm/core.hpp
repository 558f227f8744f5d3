// What the parts of one Manager share. Each part has its own lock; nothing here is changed after construction.
#pragma once

#include <cstdint>

#include "cm/counters.hpp"
#include "cm/inbox.hpp"
#include "cm/listeners.hpp"
#include "cm/sidr_requests.hpp"
#include "cm/tables.hpp"
#include "cm/timewait.hpp"
#include "cm/window.hpp"

namespace hawser::cm {

struct Core {
  Core(rt::Dispatcher& dispatcher, MadSender& sender, CommIdSpace& ids, const Limits& limits);

  // TID of a request of ours: the high half says which Manager, the low half which connection [spec 5.2.3].
  [[nodiscard]] std::uint64_t tid(CommId local) const { return std::uint64_t{tid_high} << 32 | local.value; }

  rt::Dispatcher& dispatcher;
  MadSender& sender;
  CommIdSpace& ids;
  const std::uint32_t tid_high;
  CounterSet counters;
  Tables tables;
  SidrRequests sidr_requests;
  Listeners listeners;
  Window window;
  Timewait timewait;
  Inbox inbox;
};

}  // namespace hawser::cm
