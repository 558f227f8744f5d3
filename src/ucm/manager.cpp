#include "ucm/manager.hpp"

#include "base/assert.hpp"
#include "base/probe.hpp"
#include "ucm/context.hpp"
#include "ucm/handler_lock.hpp"

namespace hawser::ucm {
namespace {

bool known(cma::PortSpace space) {
  switch (space) {
    case cma::PortSpace::ipoib:
    case cma::PortSpace::tcp:
    case cma::PortSpace::udp:
    case cma::PortSpace::ib: return true;
  }
  return false;
}

// [spec 1.8.2, 6.2 #0]
cma::QpType qp_type_of(cma::PortSpace space, cma::QpType given) {
  switch (space) {
    case cma::PortSpace::tcp: return cma::QpType::rc;
    case cma::PortSpace::udp:
    case cma::PortSpace::ipoib: return cma::QpType::ud;
    case cma::PortSpace::ib: break;
  }
  return given;
}

// [spec 6.2 #25]
EventRecord record(Handle owner, std::uint64_t uid, const cma::Event& event) {
  EventRecord out;
  out.uid = uid;
  out.id = owner;
  out.owner = owner;
  out.type = event.type;
  out.status = event.status;
  out.responder_resources = event.conn.responder_resources;
  out.initiator_depth = event.conn.initiator_depth;
  out.flow_control = event.conn.flow_control;
  out.retry_count = event.conn.retry_count;
  out.rnr_retry_count = event.conn.rnr_retry_count;
  out.srq = event.conn.srq;
  out.qpn = event.conn.qpn;
  out.ud = event.ud.target;
  out.ece = event.ece;
  if (event.membership_context != nullptr) {
    const auto& multicast = *static_cast<const Multicast*>(event.membership_context);
    out.uid = multicast.uid;
    out.id = out.multicast = multicast.handle;
  }
  out.private_data = PrivateData(event.conn.private_data.empty() ? event.ud.private_data : event.conn.private_data);
  return out;
}

}  // namespace

Manager::~Manager() = default;

Result<Handle> Manager::create_id(const FilePtr& file, std::uint64_t uid, cma::PortSpace space, cma::QpType qp_type) {
  if (!known(space)) return fail(EINVAL);
  auto context = std::make_unique<Context>(*this, table_.new_handle(), uid);
  const auto handler = [this](cma::Id& id, const cma::Event& event) { return on_event(id, event); };
  context->id = cma_.create_id(space, qp_type_of(space, qp_type), handler, context.get());
  if (context->id == nullptr) return fail(ENOMEM);
  const Handle handle = context->handle;
  // In one step: whoever closes the channel destroys all members, so each must be in the table.
  if (!file->join(handle, [&] { table_.insert(handle, *context, file); })) {
    cma_.destroy_id(context->id);
    return fail(EBADF);
  }
  static_cast<void>(context.release());  // the table's; it may be gone already
  return handle;
}

// [spec 2.8.7, 6.2 #1]
Result<unsigned> Manager::destroy_id(File& file, Handle id) {
  const auto claimed = table_.claim(file, id);
  if (!claimed) return fail(claimed.error());
  return destroy(**claimed);
}

// The caller has claimed the handle, so nobody else comes here for this id, and no new close_work is posted.
unsigned Manager::destroy(Context& claimed) {
  const std::unique_ptr<Context> context(&claimed);
  (void)dispatcher_.cancel_sync(context->close_work);
  if (context->id != nullptr) close_id(*context);
  File::Departure luggage = table_.file_of(context->handle)->leave(context->handle);
  table_.erase(context->handle);
  multicasts_.erase_all_of(context->handle);
  destroy_unfetched(luggage.events);
  return luggage.reported;
}

// Requests that the program never saw go with their listener, outside of all locks [spec 4 #43, 2.8.5].
void Manager::destroy_unfetched(const std::deque<EventRecord>& events) {
  for (const EventRecord& event : events) {
    if (event.type != cma::EventType::connect_request) continue;
    if (Context* child = table_.claim_unfetched(event.id)) {
      HW_PROBE("ucm-unfetched-destroyed");
      destroy(*child);
    }
  }
}

// Exactly once per id: by close_work, or by destroy if that never ran [spec 2.8.2].
void Manager::close_id(Context& context) {
  table_.drain(context.handle);
  cma_.destroy_id(context.id);
  context.id = nullptr;
}

// [spec 2.8.8]
void Manager::close(File& file) {
  file.mark_closed();
  // From the head only: a listener goes first, and with it the last handler that could add a child behind it.
  while (const auto id = file.first_member()) {
    if (const auto claimed = table_.claim(file, *id)) {
      destroy(**claimed);
    } else {
      HW_PROBE("ucm-close-waits");
      file.wait_until_left(*id);  // another thread destroys it or moves it away
    }
  }
}

// [spec 2.8.6, 4 #40, #41, 6.2 #18]
Result<unsigned> Manager::migrate_id(const FilePtr& to, File& from, Handle id) {
  auto context = table_.get(from, id);
  if (!context) return fail(context.error());
  if (to.get() == &from) return from.reported(id);
  unsigned reported = 0;
  bool joined = false;
  std::vector<Handle> children;
  {
    // Handlers wait meanwhile, so no event can appear on the old channel any more.
    HandlerLock handlers(*(*context)->id);
    if (const Status moved = table_.move(id, from, to); !moved) {
      HW_PROBE("ucm-migrate-too-late");
      return fail(moved.error());
    }
    File::Departure luggage = from.leave(id);
    reported = luggage.reported;
    for (const EventRecord& event : luggage.events) {
      if (event.type == cma::EventType::connect_request) children.push_back(event.id);
    }
    joined = to->join(id, std::move(luggage));
  }
  context->release();
  for (const Handle child : children) adopt_child(to, child);
  if (joined) return reported;
  HW_PROBE("ucm-migrate-to-closed");
  // The channel was closed meanwhile: so this is what its closer would have done.
  for (const Handle child : children) {
    if (Context* claimed = table_.claim_unfetched(child)) destroy(*claimed);
  }
  (void)destroy_id(*to, id);
  return fail(EBADF);
}

// An id follows the CONNECT_REQUEST that announces it, which moves with the listener.
void Manager::adopt_child(const FilePtr& to, Handle child) {
  const FilePtr from = table_.file_of(child);
  if (from != nullptr && from != to) (void)migrate_id(to, *from, child);
}

// [spec 6.2 #12]
std::optional<EventRecord> Manager::get_event(const FilePtr& file) {
  auto event = file->pop();
  if (event && event->type == cma::EventType::connect_request) adopt_child(file, event->id);
  return event;
}

// The handler of every id: queues the event, and never returns anything but 0 for an id that the program knows
// [spec 2.2.2, 2.8.3, 6.4.8].
int Manager::on_event(cma::Id& id, const cma::Event& event) {
  Context& context = *static_cast<Context*>(id.context());
  if (event.type == cma::EventType::connect_request) return on_request(context, id, event);
  // Before the program has accepted it does not know the id: its accept will fail instead [spec 2.8].
  if (context.uid != 0) {
    if (const FilePtr file = table_.file_of(context.handle)) file->append(record(context.handle, context.uid, event));
  }
  if (event.type == cma::EventType::device_removal) {
    table_.if_live(context.handle, [&] { (void)dispatcher_.post(context.close_work); });
  }
  return 0;
}

// `id` is the new one; its context is still the listener's [spec 2.8.5, 4 #43, 6.3.1].
int Manager::on_request(Context& listener, cma::Id& id, const cma::Event& event) {
  const FilePtr file = table_.file_of(listener.handle);
  if (file == nullptr || !file->take_backlog(listener.handle)) return -ENOMEM;  // dropped silently [spec 6.3]
  auto child = std::make_unique<Context>(*this, table_.new_handle(), 0);
  child->id = &id;
  id.set_handler([this](cma::Id& self, const cma::Event& next) { return on_event(self, next); }, child.get());
  EventRecord request = record(listener.handle, listener.uid, event);
  request.id = child->handle;
  table_.insert(request.id, *child.release(), file);
  file->append_request(std::move(request));
  return 0;
}

}  // namespace hawser::ucm
