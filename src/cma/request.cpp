// A REQ or SIDR_REQ arrives [spec 1.5.10, 1.7.6, 1.9.4, 2.6].
#include <algorithm>

#include "base/probe.hpp"
#include "cma/core.hpp"
#include "cma/id.hpp"

namespace hawser::cma {
namespace {

Event request(const cm::Event& event) {
  Event up{.type = EventType::connect_request};
  const auto user_data = event.private_data.subspan(private_header_bytes);
  if (event.kind == cm::EventKind::sidr_req_received) {
    up.ud.private_data = user_data;
    return up;
  }
  up.conn.private_data = user_data;
  up.conn.responder_resources = event.req.initiator_depth;  // the peer's depth is what we must be ready for [spec 5.7]
  up.conn.initiator_depth = event.req.responder_resources;
  up.conn.flow_control = event.req.flow_control;
  up.conn.retry_count = event.req.retry_count;
  up.conn.rnr_retry_count = event.req.rnr_retry_count;
  up.conn.srq = event.req.srq;
  up.conn.qpn = event.req.remote_qpn;
  up.ece = event.req.ece;
  return up;
}

// [spec 1.9.4, 1.9.7]
bool answers_for(const SocketAddress& source, bool v6_only, const PrivateHeader& header, std::uint32_t interface) {
  const bool same_family = (source.family == Family::inet) == header.v4;
  if (source.ip.is_any()) return same_family || !v6_only;
  if (!same_family || source.ip != header.destination) return false;
  return !source.ip.is_link_local() || source.scope_id == interface;
}

}  // namespace

// From cm's dispatcher context. The result decides what the peer hears: of a REQ -ENOMEM nothing (the backlog is full,
// it may try again), any other error REJ 28 [spec 1.9.6, 1.11.2, 7 I22]; of a SIDR_REQ each error SIDR_REP "reject".
int Core::on_request(const verbs::DevicePtr& device, ServiceId service, cm::Connection& connection,
                     const cm::Event& event) {
  if (event.kind != cm::EventKind::req_received && event.kind != cm::EventKind::sidr_req_received) return 0;
  const auto header = PrivateHeader::parse(event.private_data);
  if (!header) return -errno_of(header);
  if (const Status reachable = check_reverse_route(device, *header); !reachable) return -errno_of(reachable);
  Id* const listener = find_listener(device, service, *header);
  if (listener == nullptr) return -EADDRNOTAVAIL;
  const int result = deliver_request(*listener, device, service, *header, connection, event);
  listener->put();
  return result;
}

// The first whose address matches [spec 1.9]. The reference keeps it while the request is handled, whoever else shares
// the service [spec 1.9.4, 2.6.1, 4 #5].
Id* Core::find_listener(const verbs::DevicePtr& device, ServiceId service, const PrivateHeader& header) {
  rt::Lock lock(mutex_);
  const auto found = listening_.find(ServiceKey{device.get(), service});
  if (found == listening_.end()) return nullptr;
  for (const Listening& entry : found->second.ids) {
    if (!answers_for(entry.source, entry.v6_only, header, device->interface_index())) continue;
    entry.id->get();
    return entry.id;
  }
  return nullptr;
}

// Would we answer through the device that the request came in by? [spec 1.7.6]
Status Core::check_reverse_route(const verbs::DevicePtr& device, const PrivateHeader& header) {
  const IpAddress& peer = header.source;
  const IpAddress& self = header.destination;
  if (peer.is_any() || peer.is_multicast() || self.is_any() || self.is_multicast()) return fail(EHOSTUNREACH);
  if (device->is_loopback()) return {};
  if (peer.is_loopback() || self.is_loopback()) return fail(EHOSTUNREACH);
  const std::uint32_t scope = peer.is_link_local() || self.is_link_local() ? device->interface_index() : 0;
  const auto route = services.network.route(peer, self, scope);
  if (!route) return fail(EHOSTUNREACH);
  // Our own addresses are reached from any device: the datagrams go through lo [spec 4 #23].
  if (!route->local && route->interface != device->interface_index()) return fail(EHOSTUNREACH);
  return {};
}

// Both handler_mutexes are held while the handler sees the child: nobody gets at it before it is complete [spec 2.6].
// [spec 1.5.10, 1.5.11, 2.6.2, 2.6.3, 2.6.5]
int Core::deliver_request(Id& listener, const verbs::DevicePtr& device, ServiceId service, const PrivateHeader& header,
                          cm::Connection& connection, const cm::Event& event) {
  rt::UniqueLock parent(listener.handler_mutex_);
  if (listener.state() != State::listen) {
    HW_PROBE("cma-request-for-claimed");
    return -ECONNABORTED;
  }
  const QpType qp_type = event.kind == cm::EventKind::sidr_req_received ? QpType::ud : QpType::rc;
  if (listener.qp_type_ != qp_type && listener.qp_type_ != QpType::none) return -EINVAL;
  Id* const child = new Id(*this, listener, qp_type);
  child->handler_mutex_.lock_nested();
  int result = -errno_of(child->become_child(device, service, header, connection, event));
  if (result == 0) {
    child->set_listener(&listener);
    listener.contract_.handler_begins(EventType::connect_request, listener.handler_name());
    result = child->deliver(request(event));
    listener.contract_.handler_ends();
    child->set_listener(nullptr);
  }
  if (result != 0) {
    // cm ends its connection itself, after we returned.
    connection.attach_ledger(nullptr);
    child->set_connection(nullptr);
    parent.unlock();  // before the child is destroyed [spec 2.6.6]
    child->destroy_and_unlock();
    return result;
  }
  // Only now: a request that is refused for want of room must stay unanswered [spec 1.9.6, 2.6.7].
  if (child->state() == State::connect && qp_type != QpType::ud) {
    static_cast<void>(connection.prepare_mra(mra_service_timeout));
  }
  child->handler_mutex_.unlock();
  return 0;
}

// [spec 1.8.9, 2.6.4]
Status Id::become_child(const verbs::DevicePtr& device, ServiceId service, const PrivateHeader& header,
                        cm::Connection& connection, const cm::Event& event) {
  if (Status attached = core_.attach(*this, device); !attached) return attached;
  connection.set_handler([this](cm::Connection&, const cm::Event& next) { return on_cm_event(next); });
  connection.context = this;
  connection.attach_ledger(record_);
  rt::Lock lock(data_mutex_);
  connection_ = &connection;
  source_.family = destination_.family = header.v4 ? Family::inet : Family::inet6;
  source_.ip = header.destination;
  source_.port = static_cast<std::uint16_t>(service.value & 0xFFFF);
  destination_.ip = header.source;
  destination_.port = header.source_port;
  if (source_.ip.is_link_local()) source_.scope_id = device->interface_index();
  if (destination_.ip.is_link_local()) destination_.scope_id = device->interface_index();
  if (qp_type_ != QpType::ud) {  // a SIDR_REQ describes no path
    path_ = event.req.path;
    path_.device = device;
    has_path_ = true;
  }
  write_ledger_addresses();
  return {};
}

}  // namespace hawser::cma
