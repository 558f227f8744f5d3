#include "stage.hpp"

#include "runtime/sanitizers_explore.hpp"

namespace hawser::scenarios {

using namespace std::chrono_literals;
using cma::Entry;
using cma::EventType;

namespace {

constexpr fabric::LinkModel at_once{.delay_min = 0ns, .delay_max = 0ns};  // so that messages race with calls
const IpAddress other_address = IpAddress::v4(0x0A000003);

}  // namespace

Stage::Stage(rt::explore::Execution& e, Situation situation, Party::Policy policy)
    : execution(e),
      network_(e.world(), at_once),
      near(e, network_, 1),
      far(e, network_, 2),
      interface(near.view.interfaces().front()),
      situation_(situation),
      policy_(std::move(policy)),
      device_(near.devices.list().front()) {
  network_.set_notify([this] {
    near.service.wake();
    far.service.wake();
  });
  if (has_subnet(situation)) ask_subnet();
  execution.set_calm(true);
  near.service.start();
  far.service.start();
  if (listens(situation)) {
    lead_listener();
  } else if (is_child(situation)) {
    lead_child();
  } else {
    lead_client();
  }
  execution.set_calm(false);
}

Party& Stage::make(Host& host, const Party::Policy& policy, const Party::Policy& children) {
  const TsanIgnore ignore;  // service threads make children
  return parties_.emplace_back(*this, host, policy, children);
}

void Stage::spawn(std::string fiber, std::function<void()> body) {
  fibers_.push_back(execution.spawn(std::move(fiber), std::move(body)));
}

void Stage::join() {
  for (const rt::ThreadId fiber : fibers_) execution.join(fiber);
}

// --- Setting the stage ----------------------------------------------------------------------------------------------

// The administrator finds what it is asked for, or, when its answer is part of what is explored, may not.
void Stage::ask_subnet() {
  const bool explored = situation_ == Situation::service_query || situation_ == Situation::path_query;
  const bool found = !explored || execution.choose(2) == 0;
  near.subnet.on_services = [this, found](const addr::ServiceQuery&) {
    const addr::ServiceRecord service{
        .id = ServiceId(0x01060000 | service_port), .gid = far.address, .pkey = {}, .name = {}};
    return found ? Result<std::vector<addr::ServiceRecord>>({service}) : fail(ENODATA);
  };
  near.subnet.on_path = [found, asked = false](const Gid&) mutable {
    const bool again = std::exchange(asked, true);  // by a handler that tries for ever
    return found || again ? Result<addr::PathRecord>(addr::PathRecord{}) : fail(ETIMEDOUT);
  };
}

void Stage::lead_client() {
  subject = &make(near, policy_, quiet_);
  subject->create();
  switch (situation_) {
    case Situation::fresh: return;
    case Situation::bound:
    case Situation::ud_bound: return bind(*subject, socket_address(near.address, 0));
    case Situation::removed:
      bind(*subject, socket_address(near.address, 0));
      near.view.set_interfaces({});
      return subject->wait_for(EventType::device_removal);
    case Situation::served:
    case Situation::service_query:
    case Situation::service_found: return lead_served();
    case Situation::bound_shared: return lead_shared();
    case Situation::ud_joining:
    case Situation::ud_member: return lead_member();
    case Situation::addr_query: near.view.answer_for_unknown_neighbours(false); break;
    default: break;
  }
  resolve_addr(*subject, far.address);
  if (situation_ == Situation::addr_query) return;
  subject->wait_for(EventType::addr_resolved);
  if (situation_ == Situation::addr_resolved) return;
  resolve_route(*subject);
  if (situation_ == Situation::route_query || situation_ == Situation::path_query) return;
  subject->wait_for(EventType::route_resolved);
  lead_connection();
}

void Stage::lead_served() {
  bind(*subject, socket_address(near.address, 0));
  if (situation_ == Situation::served) return;
  const bool asked = subject->id->resolve_service({.name = "s", .id = {}}).has_value();
  execution.check(asked, "stage: resolve_service");
  subject->started(Entry::resolve_service, asked);
  if (situation_ == Situation::service_found) subject->wait_for(EventType::addrinfo_resolved);
}

void Stage::lead_member() {
  bind(*subject, socket_address(near.address, 0));
  subject->join(socket_address(stage_group, 0));
  if (situation_ == Situation::ud_member) subject->wait_for(EventType::multicast_join);
}

void Stage::lead_shared() {
  execution.check(subject->id->set_reuse_address(true).has_value(), "stage: set_reuse_address");
  peer = &sharer();
  third = &sharer();
  for (Party* party : {subject, peer}) bind(*party, socket_address(near.address, service_port));
}

Party& Stage::sharer() {
  Party& party = make(near, quiet_, quiet_);
  party.create();
  execution.check(party.id->set_reuse_address(true).has_value(), "stage: set_reuse_address");
  return party;
}

// From ROUTE_RESOLVED on.
void Stage::lead_connection() {
  Party& server = listen_on(far, quiet_);
  if (situation_ == Situation::route_resolved || situation_ == Situation::ud_route_resolved) return;
  connect(*subject, server);
  if (situation_ == Situation::request_sent || situation_ == Situation::ud_request_sent) return;
  accept(*peer);
  if (datagrams()) return subject->wait_for(EventType::established);
  subject->wait_for(EventType::connect_response);
  if (situation_ == Situation::response_here) return;
  accept_response(*subject);
  peer->wait_for(EventType::established);
  if (situation_ == Situation::established) return;
  if (situation_ == Situation::disconnected) return disconnect(*subject, *peer);
  execution.check(subject->id->disconnect().has_value(), "stage: disconnect");
  peer->wait_for(EventType::disconnected);
}

void Stage::lead_listener() {
  if (situation_ == Situation::listening_shared) {
    interface.addresses.push_back(other_address);
    near.view.set_interfaces({interface});
    Party& other = make(near, quiet_, quiet_);
    other.create();
    bind(other, socket_address(other_address, service_port));
    execution.check(other.id->listen(8).has_value(), "stage: listen");
  }
  subject = &make(near, policy_, quiet_);
  subject->create();
  const bool wide = situation_ == Situation::listening_wide;
  bind(*subject, socket_address(wide ? IpAddress::any_v4() : near.address, service_port));
  execution.check(subject->id->listen(8).has_value(), "stage: listen");
  caller = &ready_client();
}

void Stage::lead_child() {
  listener = &listen_on(near, policy_);
  Party& client = ready_client();
  connect(client, *listener);
  subject = std::exchange(peer, &client);
  caller = &ready_client();
  if (situation_ == Situation::request_here || situation_ == Situation::ud_request_here) return;
  accept(*subject);
  if (datagrams()) return client.wait_for(EventType::established);
  client.wait_for(EventType::connect_response);
  if (situation_ == Situation::response_sent) return;
  accept_response(client);
  subject->wait_for(EventType::established);
  if (situation_ == Situation::child_disconnected) disconnect(client, *subject);
}

void Stage::bind(Party& party, const SocketAddress& address) {
  execution.check(party.id->bind_addr(address).has_value(), "stage: bind_addr");
}

void Stage::resolve_addr(Party& party, const IpAddress& to) {
  const bool started = party.id->resolve_addr(nullptr, socket_address(to, service_port), query_timeout).has_value();
  execution.check(started, "stage: resolve_addr");
  party.started(Entry::resolve_addr, started);
}

void Stage::resolve_route(Party& party) {
  const bool started = party.id->resolve_route(query_timeout).has_value();
  execution.check(started, "stage: resolve_route");
  party.started(Entry::resolve_route, started);
}

Party& Stage::ready_client() {
  Party& client = make(far, quiet_, quiet_);
  client.create();
  resolve_addr(client, near.address);
  client.wait_for(EventType::addr_resolved);
  resolve_route(client);
  client.wait_for(EventType::route_resolved);
  return client;
}

Party& Stage::listen_on(Host& host, const Party::Policy& children) {
  Party& server = make(host, quiet_, children);
  server.create();
  bind(server, socket_address(host.address, service_port));
  execution.check(server.id->listen(8).has_value(), "stage: listen");
  return server;
}

void Stage::connect(Party& client, Party& server) {
  const bool sent = client.id->connect(with_qp(0x100)).has_value();
  execution.check(sent, "stage: connect");
  client.started(Entry::connect, sent);
  peer = *server.children.take();
}

void Stage::accept(Party& child) {
  const cma::ConnParam param = with_qp(0x200);
  child.id->lock_handler();
  const bool sent = child.id->accept(&param).has_value();
  child.id->unlock_handler();
  execution.check(sent, "stage: accept");
  child.started(Entry::accept, sent);
}

void Stage::accept_response(Party& client) {
  client.id->lock_handler();
  execution.check(client.id->accept(nullptr).has_value(), "stage: accept of the response");
  client.id->unlock_handler();
}

void Stage::disconnect(Party& first, Party& second) {
  execution.check(first.id->disconnect().has_value(), "stage: disconnect");
  second.wait_for(EventType::disconnected);
  execution.check(second.id->disconnect().has_value(), "stage: the answer to it");
  first.wait_for(EventType::disconnected);
}

// --- Clearing it ----------------------------------------------------------------------------------------------------

void Stage::calm_down() {
  execution.set_calm(true);
  execution.sleep_until(execution.world().now() + 400s);  // retries, timewait
}

// Either the id ends now, in the middle of whatever it is doing, and its peer must hear of it; or everybody else does,
// and it must hear of them.
void Stage::clear() {
  execution.set_calm(true);
  near.sender.lose_nothing();
  far.sender.lose_nothing();
  check_port();
  if (subject->alive() && execution.choose(2) == 0) subject->destroy();
  if (!subject->alive()) check_peer_told();
  if (peer_cut_off) calm_down();  // whoever ends sends nothing again
  const bool told_in_vain = peer_cut_off && peer != nullptr && peer->is_over();
  end_others();
  calm_down();
  if (subject->alive()) {
    if (!told_in_vain) check_told(*subject);
    const verbs::DevicePtr device = subject->id->route().device;
    const bool told = device == nullptr || !device->gone() || subject->id->state() == cma::State::device_removal;
    execution.check(told, "nobody told the id that its device has gone");
    subject->destroy();
  }
  end_others();  // whom a late request has brought
  calm_down();
  check_clear();
  near.view.set_interfaces({});
  near.service.stop();
  far.service.stop();
  execution.check(device_.expired(), "something still holds the device");
}

// Of those who share a port none listens [spec 3.3].
void Stage::check_port() {
  if (third == nullptr) return;
  int owners = 0, listeners = 0;
  for (const Party* party : {subject, peer, third}) {
    if (!party->alive() || party->id->route().source.port != service_port) continue;
    ++owners;
    if (party->id->state() == cma::State::listen) ++listeners;
  }
  execution.check(listeners == 0 || owners == 1, "a listener shares its port");
}

void Stage::check_told(const Party& party) {
  const char* const missing = party.missing();
  execution.check(missing == nullptr, missing == nullptr ? "" : missing);
}

void Stage::check_peer_told() {
  calm_down();
  if (peer != nullptr && peer->alive() && !cut_off && !subject->vouched()) check_told(*peer);
}

Party* Stage::party(std::size_t number) {
  const TsanIgnore ignore;
  if (number >= parties_.size()) return nullptr;
  rt::explore::sanitizers::tsan_acquire(&parties_[number]);  // as taking it out of its listener's mailbox would
  return &parties_[number];
}

void Stage::end_others() {
  for (std::size_t i = 0; Party* other = party(i); ++i) {
    if (other != subject && other->alive()) other->destroy();
  }
}

void Stage::check_clear() {
  execution.check(near.manager->live_ids() + far.manager->live_ids() == 0, "an id is left");
  execution.check(near.ports.size() + far.ports.size() == 0, "a port was not given back");
  execution.check(near.connections.usage() == cm::Usage{}, "cm keeps something on the near host");
  execution.check(far.connections.usage() == cm::Usage{}, "cm keeps something on the far host");
  for (Host* host : {&near, &far}) {
    execution.check(host->dispatcher.next_deadline() == rt::time_never, "a timer is still armed");
  }
  if (const verbs::DevicePtr device = device_.lock()) {
    execution.check(near.groups.joins(device, stage_group) == 0, "joined is not left");
  }
}

}  // namespace hawser::scenarios
