#include "stage.hpp"

namespace hawser::scenarios {

using namespace std::chrono_literals;
using cma::Entry;
using cma::EventType;

namespace {

constexpr std::uint16_t service_port = 7471;
constexpr fabric::LinkModel at_once{.delay_min = 0ns, .delay_max = 0ns};  // so that messages race with calls
constexpr rt::Duration query_timeout = 2s;
const IpAddress other_address = IpAddress::v4(0x0A000003);

}  // namespace

// --- Party ----------------------------------------------------------------------------------------------------------

Party::Party(Stage& stage, Host& on, const Policy& policy, const Policy& children_policy)
    : host(on), stage_(stage), policy_(policy), child_policy_(children_policy), watched_(stage.execution) {}

void Party::create() { id = host.manager->create_id(cma::PortSpace::tcp, cma::QpType::rc, handler(), nullptr); }

cma::Handler Party::handler() {
  return [this](cma::Id& self, const cma::Event& event) {
    return event.type == EventType::connect_request ? on_request(self, event) : on_event(self, event);
  };
}

int Party::on_request(cma::Id& child, const cma::Event& event) {
  bool refused = false;  // which ends the child, not the listener
  static_cast<void>(watched_.event(event, [&] {
    refused = policy_ && policy_(*this, child, event) != 0;
    if (refused) return 0;
    Party& party = stage_.make(host, child_policy_, child_policy_);
    party.id = &child;
    party.passive = true;
    child.set_handler(party.handler(), nullptr);
    children.put(&party);
    return 0;
  }));
  return refused ? -ECONNREFUSED : 0;
}

int Party::on_event(cma::Id& self, const cma::Event& event) {
  return watched_.event(self, event, [&] {
    seen_.insert(event.type);
    const int result = policy_ ? policy_(*this, self, event) : 0;
    if (result != 0) id = nullptr;
    events_.put(event.type);
    return result;
  });
}

void Party::destroy() { watched_.destroy(*host.manager, std::exchange(id, nullptr)); }

void Party::wait_for(EventType type) {
  while (events_.take() != type) continue;
}

void Party::started(Entry entry, bool with_success) {
  if (with_success) started_.insert(entry);
  if (entry == Entry::reject && with_success) gave_up_ = true;
  if (entry == Entry::accept && !with_success) gave_up_ = true;
  // Vouches for a connection that the peer may never have had: nobody else looks after it any more.
  if (entry == Entry::notify_established && with_success) gave_up_ = true;
}

const char* Party::missing() const {
  const auto seen = [this](std::initializer_list<EventType> types) {
    std::size_t count = 0;
    for (const EventType type : types) count += seen_.count(type);
    return count;
  };
  if (seen_.contains(EventType::device_removal)) return nullptr;  // ends everything
  if (seen({EventType::addr_resolved, EventType::addr_error}) < started_.count(Entry::resolve_addr)) {
    return "resolve_addr() was never answered";
  }
  if (seen({EventType::route_resolved, EventType::route_error}) < started_.count(Entry::resolve_route)) {
    return "resolve_route() was never answered";
  }
  const bool connects = started_.contains(Entry::connect) || started_.contains(Entry::accept);
  const bool ended =
      seen({EventType::rejected, EventType::unreachable, EventType::connect_error, EventType::disconnected}) > 0;
  return connects && !ended && !gave_up_ ? "the end of a connection was never told" : nullptr;
}

// --- Stage ----------------------------------------------------------------------------------------------------------

const char* name(Situation situation) {
  switch (situation) {
    case Situation::fresh: return "fresh";
    case Situation::bound: return "bound";
    case Situation::addr_query: return "addr-query";
    case Situation::addr_resolved: return "addr-resolved";
    case Situation::route_resolved: return "route-resolved";
    case Situation::request_sent: return "request-sent";
    case Situation::response_here: return "response-here";
    case Situation::established: return "established";
    case Situation::disconnected: return "disconnected";
    case Situation::removed: return "removed";
    case Situation::listening: return "listening";
    case Situation::listening_wide: return "listening-wide";
    case Situation::listening_shared: return "listening-shared";
    case Situation::request_here: return "request-here";
    case Situation::response_sent: return "response-sent";
    case Situation::child_established: return "child-established";
    case Situation::child_disconnected: return "child-disconnected";
  }
  return "unknown";
}

Stage::Stage(rt::explore::Execution& on, Situation situation, Party::Policy policy)
    : execution(on),
      network_(on.world(), at_once),
      near(on, network_, 1),
      far(on, network_, 2),
      interface(near.view.interfaces().front()),
      policy_(std::move(policy)) {
  execution.set_calm(true);
  network_.set_notify([this] {
    near.service.wake();
    far.service.wake();
  });
  near.service.start();
  far.service.start();
  switch (situation) {
    case Situation::listening:
    case Situation::listening_wide:
    case Situation::listening_shared: lead_listener(situation); break;
    case Situation::request_here:
    case Situation::response_sent:
    case Situation::child_established:
    case Situation::child_disconnected: lead_child(situation); break;
    default: lead_client(situation);
  }
  execution.set_calm(false);
}

Party& Stage::make(Host& host, const Party::Policy& policy, const Party::Policy& children) {
  const TsanIgnore ignore;  // service threads make children
  return parties_.emplace_back(*this, host, policy, children);
}

void Stage::lead_client(Situation situation) {
  subject = &make(near, policy_, quiet_);
  subject->create();
  cma::Id& id = *subject->id;
  if (situation == Situation::fresh) return;
  if (situation == Situation::bound || situation == Situation::removed) {
    execution.check(id.bind_addr(socket_address(near.address, 0)).has_value(), "stage: bind_addr");
    if (situation == Situation::bound) return;
    near.view.set_interfaces({});
    return subject->wait_for(EventType::device_removal);
  }
  near.view.answer_for_unknown_neighbours(situation != Situation::addr_query);
  const bool started = id.resolve_addr(nullptr, socket_address(far.address, service_port), query_timeout).has_value();
  execution.check(started, "stage: resolve_addr");
  subject->started(Entry::resolve_addr, started);
  if (situation == Situation::addr_query) return;
  subject->wait_for(EventType::addr_resolved);
  if (situation == Situation::addr_resolved) return;
  execution.check(id.resolve_route(query_timeout).has_value(), "stage: resolve_route");
  subject->wait_for(EventType::route_resolved);
  Party& listener = listen_on(far, quiet_);
  if (situation == Situation::route_resolved) return;
  connect(*subject, listener);
  if (situation == Situation::request_sent) return;
  accept(*peer);
  subject->wait_for(EventType::connect_response);
  if (situation == Situation::response_here) return;
  execution.check(near.connections.usage().connections == 1, "stage: no connection");
  id.lock_handler();
  execution.check(id.accept(nullptr).has_value(), "stage: accept of the response");
  id.unlock_handler();
  peer->wait_for(EventType::established);
  if (situation == Situation::established) return;
  execution.check(id.disconnect().has_value(), "stage: disconnect");
  peer->wait_for(EventType::disconnected);
  execution.check(peer->id->disconnect().has_value(), "stage: the peer's disconnect");
  subject->wait_for(EventType::disconnected);
}

void Stage::lead_listener(Situation situation) {
  if (situation == Situation::listening_shared) {
    interface.addresses.push_back(other_address);
    near.view.set_interfaces({interface});
    Party& other = make(near, quiet_, quiet_);
    other.create();
    execution.check(other.id->bind_addr(socket_address(other_address, service_port)).has_value(), "stage: bind_addr");
    execution.check(other.id->listen(8).has_value(), "stage: listen");
  }
  subject = &make(near, policy_, quiet_);
  subject->create();
  const bool wide = situation == Situation::listening_wide;
  const SocketAddress address = socket_address(wide ? IpAddress::any_v4() : near.address, service_port);
  execution.check(subject->id->bind_addr(address).has_value(), "stage: bind_addr");
  execution.check(subject->id->listen(8).has_value(), "stage: listen");
  caller = &ready_client();
}

void Stage::lead_child(Situation situation) {
  Party& listener = listen_on(near, policy_);
  Party& client = ready_client();
  connect(client, listener);
  subject = std::exchange(peer, &client);
  if (situation == Situation::request_here) return;
  accept(*subject);
  client.wait_for(EventType::connect_response);
  if (situation == Situation::response_sent) return;
  client.id->lock_handler();
  execution.check(client.id->accept(nullptr).has_value(), "stage: accept of the response");
  client.id->unlock_handler();
  subject->wait_for(EventType::established);
  if (situation == Situation::child_established) return;
  execution.check(client.id->disconnect().has_value(), "stage: disconnect");
  subject->wait_for(EventType::disconnected);
  execution.check(subject->id->disconnect().has_value(), "stage: the child's disconnect");
  client.wait_for(EventType::disconnected);
}

Party& Stage::ready_client() {
  Party& client = make(far, quiet_, quiet_);
  client.create();
  const SocketAddress to = socket_address(near.address, service_port);
  execution.check(client.id->resolve_addr(nullptr, to, query_timeout).has_value(), "stage: resolve_addr");
  client.wait_for(EventType::addr_resolved);
  execution.check(client.id->resolve_route(query_timeout).has_value(), "stage: resolve_route");
  client.wait_for(EventType::route_resolved);
  return client;
}

Party& Stage::listen_on(Host& host, const Party::Policy& children) {
  Party& listener = make(host, quiet_, children);
  listener.create();
  execution.check(listener.id->bind_addr(socket_address(host.address, service_port)).has_value(), "stage: bind_addr");
  execution.check(listener.id->listen(8).has_value(), "stage: listen");
  return listener;
}

void Stage::connect(Party& client, Party& listener) {
  const bool sent = client.id->connect(with_qp(0x100)).has_value();
  execution.check(sent, "stage: connect");
  client.started(Entry::connect, sent);
  peer = *listener.children.take();
}

void Stage::accept(Party& child) {
  const cma::ConnParam param = with_qp(0x200);
  child.id->lock_handler();
  const bool sent = child.id->accept(&param).has_value();
  child.id->unlock_handler();
  execution.check(sent, "stage: accept");
  child.started(Entry::accept, sent);
}

void Stage::spawn(std::string fiber, std::function<void()> body) {
  fibers_.push_back(execution.spawn(std::move(fiber), std::move(body)));
}

void Stage::join() {
  for (const rt::ThreadId fiber : fibers_) execution.join(fiber);
}

void Stage::calm_down() {
  execution.set_calm(true);
  execution.sleep_until(execution.world().now() + 400s);  // retries, timewait
}

// Either the id ends now, in the middle of whatever it is doing, or everybody else does, and it must hear of it.
void Stage::clear() {
  execution.set_calm(true);
  if (subject->alive() && execution.choose(2) == 0) subject->destroy();
  end_others();
  calm_down();
  if (subject->alive()) {
    const char* const missing = subject->missing();
    execution.check(missing == nullptr, missing == nullptr ? "" : missing);
    const verbs::DevicePtr device = subject->id->route().device;
    const bool told = device == nullptr || !device->gone() || subject->id->state() == cma::State::device_removal;
    execution.check(told, "nobody told the id that its device has gone");
    subject->destroy();
  }
  end_others();  // whom a late request has brought
  calm_down();
  check_clear();
  near.service.stop();
  far.service.stop();
}

void Stage::end_others() {
  const auto party = [this](std::size_t number) -> Party* {
    const TsanIgnore ignore;
    return number < parties_.size() ? &parties_[number] : nullptr;
  };
  for (std::size_t i = 0; Party* other = party(i); ++i) {
    if (other != subject && other->alive()) other->destroy();
  }
}

void Stage::check_clear() {
  execution.check(near.manager->live_ids() + far.manager->live_ids() == 0, "an id is left");
  execution.check(near.ports.size() + far.ports.size() == 0, "a port was not given back");
  execution.check(near.connections.usage() == cm::Usage{}, "cm keeps something on the near host");
  execution.check(far.connections.usage() == cm::Usage{}, "cm keeps something on the far host");
}

}  // namespace hawser::scenarios
