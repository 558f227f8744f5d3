// The end of an id [spec 2.5]: from outside, or because a handler said so. Each resource has one place here that gives
// it back, driven by the record of what was done.
#include "cma/core.hpp"
#include "cma/id.hpp"

namespace hawser::cma {

void Core::destroy(Id* id, const void* call_site) {
  if (!id->contract_.allowed_here(Entry::destroy_id, call_site)) return;
  std::optional<State> old;
  {
    const Entered entered(id->contract_, Entry::destroy_id, call_site);
    if (entered.too_late()) return;
    rt::Lock lock(id->handler_mutex_);
    old = id->claim<State::destroying>();
    id->contract_.ended_by_owner(call_site);
  }
  Id::destroy(id, old);
}

// [spec 2.2.2]
void Id::destroy_and_unlock() {
  const std::optional<State> old = claim<State::destroying>();
  contract_.ended_by_handler();
  handler_mutex_.unlock();
  destroy(this, old);
}

// Nobody calls the handler any more: DESTROYING was set under the handler_mutex [spec 3.5 I8]. What follows waits for
// handlers that run on other threads, so it holds no lock [spec 1.4.41, 2.5.2, 7 I13].
void Id::destroy(Id* id, std::optional<State> old) {
  HW_ASSERT(old.has_value(), "cma-destroyed-twice");
  Core& core = id->core_;
  id->cancel_operation(*old);
  core.unwatch(*id);
  if (cm::Connection* const connection = id->connection()) {
    core.services.connections.destroy(connection);
    id->set_connection(nullptr);
  }
  id->leave_all_groups();
  core.detach(*id);
  // Off the lists, so nothing queues these any more. A resolve_route() that a removal overtook queued its work after
  // the claimer's cancel; on the dispatching thread we would wait for it for ever.
  id->cancel(id->route_work_);
  id->cancel(id->neighbour_work_);
  id->cancel(id->address_change_work_);
  id->release_port();
  id->put_and_wait();
  core.bury(id);
}

// The claimer of DEVICE_REMOVAL or DESTROYING ends what the id was doing; who comes later finds DEVICE_REMOVAL and
// knows that it has been done [spec 7 I15, 2.5.3, 2.5.4].
void Id::cancel_operation(State old) {
  switch (old) {
    case State::addr_query: core_.services.resolver.cancel(address_request_); return;
    case State::route_query:
      cancel(route_work_);
      if (core_.services.subnet != nullptr) core_.services.subnet->cancel(subnet_query_);
      return;
    case State::addrinfo_query: core_.services.subnet->cancel(subnet_query_); return;
    case State::listen: core_.stop_listening(*this); return;
    default: return;
  }
}

}  // namespace hawser::cma
