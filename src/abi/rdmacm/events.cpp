// Fetching events: what the library does with each before the program sees it [spec 6.4].
#include <fcntl.h>

#include <cstring>

#include "abi/c_enum.hpp"
#include "abi/rdmacm/acknowledgements.hpp"
#include "abi/rdmacm/support.hpp"
#include "base/call_site.hpp"

namespace hawser::abi::rdmacm {
namespace {

// Debian's header names too few of them for an assignment.
void set_type(rdma_cm_event& event, cma::EventType type) {
  const auto number = static_cast<unsigned>(type);
  static_assert(sizeof number == sizeof event.event);
  std::memcpy(&event.event, &number, sizeof number);
}

// USER, INTERNAL: newer headers have `arg` in the union.
void fill_argument(const ucm::EventRecord& record, CmEvent& event) {
  std::memcpy(&event.pub.param, &record.arg, sizeof record.arg);
}

// The end of our own look-up, or an event of the program's.
void on_internal(const ucm::EventRecord& record, CmEvent& event) {
  if (record.arg != LookupResult::mark()) return fill_argument(record, event);
  set_type(event.pub, record.status == 0 ? cma::EventType::addrinfo_resolved : cma::EventType::addrinfo_error);
}

// How datagrams reach the other side, as ibv_create_ah() takes it.
void fill_datagram(const CmId& id, const ucm::EventRecord& record, CmEvent& event) {
  event.private_data = record.private_data;
  const auto data = event.private_data.view();
  rdma_ud_param& param = event.pub.param.ud;
  param.private_data = data.empty() ? nullptr : data.data();
  param.private_data_len = static_cast<std::uint8_t>(std::min<std::size_t>(data.size(), 0xFF));
  if (record.ud.qpn.value == 0) return;
  param.qp_num = record.ud.qpn.value;
  param.qkey = record.ud.qkey.value;
  ibv_ah_attr& address = param.ah_attr;
  std::ranges::copy(record.ud.remote.bytes, address.grh.dgid.raw);
  address.is_global = 1;
  address.grh.flow_label = record.ud.flow_label;
  address.grh.hop_limit = record.ud.hop_limit;
  address.grh.traffic_class = record.ud.traffic_class;
  constexpr std::uint8_t none = 0xFF;  // the address has gone meanwhile: ibv_create_ah() says EINVAL
  if (id.device != nullptr) address.grh.sgid_index = gid_index(id, record.ud.local).value_or(none);
  address.sl = record.ud.sl;
  address.port_num = id.pub.port_num;
}

void fill_connection(const CmId& id, const ucm::EventRecord& record, CmEvent& event) {
  if (id.pub.qp_type == IBV_QPT_UD) return fill_datagram(id, record, event);
  event.private_data = record.private_data;
  const auto data = event.private_data.view();
  rdma_conn_param& param = event.pub.param.conn;
  param.private_data = data.empty() ? nullptr : data.data();
  param.private_data_len = static_cast<std::uint8_t>(std::min<std::size_t>(data.size(), 0xFF));
  param.responder_resources = record.responder_resources;
  param.initiator_depth = record.initiator_depth;
  param.flow_control = record.flow_control;
  param.retry_count = record.retry_count;
  param.rnr_retry_count = record.rnr_retry_count;
  param.srq = record.srq;
  param.qp_num = record.qpn.value;
}

// The new id of a CONNECT_REQUEST: on the channel that the request was fetched from, wherever the listener is by now.
// Null: it could not be made, and is gone.
std::shared_ptr<CmId> make_child(const Call& listener, const ucm::EventRecord& record,
                                 std::shared_ptr<Channel> channel) {
  Process& process = Process::current();
  const rdma_cm_id& from = listener.id->pub;
  // A listener in synchronous mode has a channel of its own, and so has each of its requests.
  const bool sync = listener.id->sync.load();
  if (sync) {
    const auto own = make_channel();
    if (own == nullptr || !listener.ucm->migrate_id(own->file, *channel->file, record.id)) {
      (void)listener.ucm->destroy_id(*channel->file, record.id);
      if (own != nullptr) close_channel(*listener.ucm, own);
      return nullptr;
    }
    channel = own;
  }
  auto child = make_id(channel, sync, from.context, from.ps, from.qp_type);
  child->handle = record.id;
  child->initiator_depth = record.initiator_depth;
  child->responder_resources = record.responder_resources;
  child->remote_ece = record.ece;
  const Call call(child, listener.ucm, std::defer_lock);
  if (const Status known = query(call); !known) {
    (void)call.run(&ucm::Manager::destroy_id);
    if (sync) close_channel(*listener.ucm, channel);
    return nullptr;
  }
  process.ids.insert(child);
  return child;
}

// With a QP on the id the library answers the REP itself; without, the program does with rdma_establish [spec 6.4.2].
void on_response(const Call& call, const ucm::EventRecord& record, CmEvent& event) {
  fill_connection(*call.id, record, event);
  call.id->remote_ece = record.ece;
  if (call.id->pub.qp == nullptr) return;
  int error = take_ece(*call.id);
  if (error == 0) error = qp_to_rtr_and_rts(call, RDMA_MAX_RESP_RES, RDMA_MAX_INIT_DEPTH);
  if (error == 0) error = errno_of(call.run(&ucm::Manager::accept_response));
  if (error == 0) {
    event.pub.event = RDMA_CM_EVENT_ESTABLISHED;
    return;
  }
  (void)qp_to_error(*call.id);
  event.pub.event = RDMA_CM_EVENT_CONNECT_ERROR;
  event.pub.status = -error;
  call.id->connect_error = true;
}

// [spec 6.4.9]
void on_resolved(const Call& call, CmEvent& event, rdma_cm_event_type failed) {
  if (const Status known = query(call); !known) {
    event.pub.event = failed;
    event.pub.status = -errno_of(known);
  }
}

// False: the program is not told.
bool prepare(const Call& call, const ucm::EventRecord& record, const std::shared_ptr<Channel>& channel,
             CmEvent& event) {
  event.pub.id = &call.id->pub;
  switch (record.type) {
    case cma::EventType::addr_resolved: on_resolved(call, event, RDMA_CM_EVENT_ADDR_ERROR); return true;
    case cma::EventType::route_resolved: on_resolved(call, event, RDMA_CM_EVENT_ROUTE_ERROR); return true;
    case cma::EventType::connect_request: {
      const auto child = make_child(call, record, channel);
      if (child == nullptr) return false;
      event.pub.id = &child->pub;
      event.pub.listen_id = &call.id->pub;
      fill_connection(*child, record, event);
      return true;
    }
    case cma::EventType::connect_response: on_response(call, record, event); return true;
    case cma::EventType::established: fill_connection(*call.id, record, event); return true;
    case cma::EventType::rejected:
      if (call.id->connect_error) return false;
      fill_connection(*call.id, record, event);
      (void)qp_to_error(*call.id);
      return true;
    case cma::EventType::disconnected:
      if (call.id->connect_error) return false;
      fill_connection(*call.id, record, event);
      return true;
    case cma::EventType::user: fill_argument(record, event); return true;
    case cma::EventType::internal: on_internal(record, event); return true;
    default: fill_connection(*call.id, record, event); return true;
  }
}

// Null: nothing that the program is told of.
std::shared_ptr<CmEvent> translate(ucm::Manager& ucm, const ucm::EventRecord& record,
                                   const std::shared_ptr<Channel>& channel, const void* program_site) {
  Process& process = Process::current();
  std::shared_ptr<Multicast> multicast;
  if (record.multicast != 0) {
    multicast = process.multicasts.find(reinterpret_cast<const Multicast::Public*>(record.uid));
  }
  auto id = multicast != nullptr ? multicast->owner.lock()
                                 : process.ids.find(reinterpret_cast<const rdma_cm_id*>(record.uid));
  if (id == nullptr) return nullptr;
  auto event = std::make_shared<CmEvent>();
  event->owner = id;
  set_type(event->pub, record.type);
  event->pub.status = record.status;
  {
    const Call call(id, &ucm);
    if (!prepare(call, record, channel, *event)) {
      id->acknowledge();
      return nullptr;
    }
    if (multicast != nullptr) on_multicast(*id, multicast, record, *event);
  }
  if (program_site != nullptr) note_fetched(*event, program_site);
  process.events.insert(event);
  return event;
}

bool non_blocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

}  // namespace

// [spec 6.2 #12]
Result<std::shared_ptr<CmEvent>> fetch_event(const std::shared_ptr<Channel>& channel, const void* program_site) {
  Process& process = Process::current();
  const auto ucm = process.ucm();
  if (!ucm) return fail(ucm.error());
  const int fd = channel->descriptor->fd();
  for (;;) {
    while (const auto record = (*ucm)->get_event(channel->file)) {
      if (auto event = translate(**ucm, *record, channel, program_site)) return event;
    }
    if (non_blocking(fd)) return fail(EAGAIN);
    const Status waited =
        process.stack().engine().wait(stack::WaitKind::cm_events, fd, [&] { return channel->file->pending(); });
    if (!waited) return fail(waited.error());
  }
}

void drop_sync_event(CmId& id) {
  if (id.pub.event != nullptr) rdma_ack_cm_event(id.pub.event);
  id.pub.event = nullptr;
}

// [spec 6.4.11]
int complete(Call& call) {
  CmId& id = *call.id;
  if (!id.sync.load()) return 0;
  drop_sync_event(id);
  call.own.unlock();
  const auto event = fetch_event(id.channel());
  if (!event) return answer(event);
  call.own.lock();
  id.pub.event = &(*event)->pub;
  const int status = id.pub.event->status;
  if (status == 0) return 0;
  if ((*event)->type() == cma::EventType::rejected) return fail_errno(ECONNREFUSED);
  return fail_errno(status < 0 ? -status : status);
}

}  // namespace hawser::abi::rdmacm

using namespace hawser;
using namespace hawser::abi::rdmacm;

int rdma_get_cm_event(rdma_event_channel* channel, rdma_cm_event** event) {
  const auto known = Process::current().channels.find(channel);
  if (known == nullptr || event == nullptr) return fail_errno(EINVAL);
  const auto fetched = fetch_event(known, HW_CALL_SITE);
  if (!fetched) return answer(fetched);
  *event = &(*fetched)->pub;
  return 0;
}

int rdma_ack_cm_event(rdma_cm_event* event) {
  const auto known = Process::current().events.take(event);
  if (known == nullptr) return fail_errno(EINVAL);
  if (known->multicast != nullptr) known->multicast->acknowledge();
  known->owner->acknowledge();
  return 0;
}

// [spec 6.4.20]
const char* rdma_event_str(rdma_cm_event_type event) {
  const auto number = static_cast<unsigned>(abi::number_of(event));
  if (number > static_cast<unsigned>(cma::EventType::internal)) return "UNKNOWN EVENT";
  return cma::name(static_cast<cma::EventType>(number));
}
