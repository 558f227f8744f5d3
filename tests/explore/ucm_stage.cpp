#include "ucm_stage.hpp"

#include <algorithm>

#include "stage.hpp"

namespace hawser::scenarios {

using namespace std::chrono_literals;
using cma::Entry;
using cma::EventType;

namespace {

constexpr fabric::LinkModel at_once{.delay_min = 0ns, .delay_max = 0ns};

// The far end goes no further than the situation wants.
[[nodiscard]] bool far_answers(Situation at) {
  return at != Situation::request_sent && at != Situation::ud_request_sent && at != Situation::response_sent;
}

}  // namespace

// --- FarEnd ---------------------------------------------------------------------------------------------------------

FarEnd::FarEnd(rt::explore::Execution& execution, Host& host, bool datagrams, bool answers)
    : execution_(execution), host_(host), datagrams_(datagrams), answers_(answers) {}

cma::Id* FarEnd::make() {
  const auto handler = [this](cma::Id& id, const cma::Event& event) { return handle(id, event); };
  cma::Id* const id = datagrams_ ? host_.manager->create_id(cma::PortSpace::udp, cma::QpType::ud, handler, nullptr)
                                 : host_.manager->create_id(cma::PortSpace::tcp, cma::QpType::rc, handler, nullptr);
  keep(id);
  return id;
}

void FarEnd::listen(std::uint16_t port) {
  cma::Id* const id = make();
  execution_.check(id->bind_addr(socket_address(host_.address, port)).has_value(), "far end: bind_addr");
  execution_.check(id->listen(8).has_value(), "far end: listen");
}

void FarEnd::connect(const SocketAddress& to) {
  execution_.check(make()->resolve_addr(nullptr, to, query_timeout).has_value(), "far end: resolve_addr");
}

int FarEnd::handle(cma::Id& id, const cma::Event& event) {
  switch (event.type) {
    case EventType::addr_resolved: (void)id.resolve_route(query_timeout); break;
    case EventType::route_resolved: (void)id.connect_locked(with_qp(0x200)); break;
    default: answer(id, event);
  }
  return 0;
}

void FarEnd::answer(cma::Id& id, const cma::Event& event) {
  const cma::ConnParam param = with_qp(0x200);
  switch (event.type) {
    case EventType::connect_request:
      keep(&id);
      if (answers_) (void)id.accept(&param);
      break;
    case EventType::connect_response:
      if (answers_) (void)id.accept(nullptr);
      break;
    case EventType::disconnected: (void)id.disconnect(); break;
    default: break;
  }
}

void FarEnd::keep(cma::Id* id) {
  rt::Lock lock(mutex_);
  ids_.push_back(id);
}

void FarEnd::end() {
  for (;;) {
    cma::Id* id = nullptr;
    {
      rt::Lock lock(mutex_);
      if (ids_.empty()) return;
      id = ids_.front();  // a listener before its children
      ids_.erase(ids_.begin());
    }
    host_.manager->destroy_id(id);
  }
}

// --- UcmStage -------------------------------------------------------------------------------------------------------

UcmStage::UcmStage(rt::explore::Execution& e, Situation at)
    : execution(e),
      network_(e.world(), at_once),
      near(e, network_, 1),
      far(e, network_, 2),
      channel(std::make_unique<Channel>(e, near.ucm)),
      other(std::make_unique<Channel>(e, near.ucm)),
      far_end(e, far, datagrams(at), far_answers(at)),
      situation(at),
      device_(near.devices.list().front()) {
  network_.set_notify([this] {
    near.service.wake();
    far.service.wake();
  });
  execution.set_calm(true);
  near.service.start();
  far.service.start();
  const cma::PortSpace space = datagrams(at) ? cma::PortSpace::udp : cma::PortSpace::tcp;
  const auto id = near.ucm.create_id(channel->file, 1, space, cma::QpType::rc);
  must(id.has_value(), "stage: create_id");
  subject = *id;
  if (listens(at) || is_child(at)) {
    lead_listener();
  } else {
    lead_client();
  }
  execution.set_calm(false);
}

// Those with a subnet administrator are cma's affair, and so is what a listener listens on.
std::vector<Situation> UcmStage::situations() {
  std::vector<Situation> chosen;
  for (const Situation at : scenarios::situations()) {
    if (has_subnet(at) || at == Situation::listening_wide || at == Situation::listening_shared) continue;
    if (at == Situation::disconnecting) continue;  // the far end answers
    chosen.push_back(at);
  }
  return chosen;
}

void UcmStage::spawn(std::string fiber, std::function<void()> body) {
  fibers_.push_back(execution.spawn(std::move(fiber), std::move(body)));
}

void UcmStage::join() {
  for (const rt::ThreadId fiber : fibers_) execution.join(fiber);
}

// --- Setting the stage ----------------------------------------------------------------------------------------------

void UcmStage::lead_client() {
  ucm::Manager& ucm = near.ucm;
  ucm::File& file = *channel->file;
  const auto bind = [&] { must(ucm.bind(file, subject, socket_address(near.address, 0)).has_value(), "stage: bind"); };
  switch (situation) {
    case Situation::fresh: return;
    case Situation::bound:
    case Situation::ud_bound: return bind();
    case Situation::bound_shared: share(subject); return share(channel->create(3));
    case Situation::removed:
      bind();
      near.view.set_interfaces({});
      wait_for(EventType::device_removal);
      return settle(1s);
    case Situation::ud_joining:
    case Situation::ud_member: {
      bind();
      const auto membership = ucm.join_multicast(file, subject, socket_address(stage_group, 0), 5, 0);
      must(membership.has_value(), "stage: join_multicast");
      joined(*membership);
      if (situation == Situation::ud_member) wait_for(EventType::multicast_join);
      return;
    }
    default: break;
  }
  near.view.answer_for_unknown_neighbours(situation != Situation::addr_query);
  const SocketAddress to = socket_address(far.address, service_port);
  must(ucm.resolve_addr(file, subject, nullptr, to, query_timeout).has_value(), "stage: resolve_addr");
  promises.started(Entry::resolve_addr, true);
  if (situation == Situation::addr_query) return;
  wait_for(EventType::addr_resolved);
  if (situation == Situation::addr_resolved) return;
  must(ucm.resolve_route(file, subject, query_timeout).has_value(), "stage: resolve_route");
  promises.started(Entry::resolve_route, true);
  if (situation == Situation::route_query) return;
  wait_for(EventType::route_resolved);
  far_end.listen(service_port);
  if (situation != Situation::route_resolved && situation != Situation::ud_route_resolved) lead_connection();
}

void UcmStage::share(ucm::Handle id) {
  const int yes = 1;
  const auto value = std::as_bytes(std::span(&yes, 1));
  must(near.ucm.set_option(*channel->file, id, 0, 1, value).has_value(), "stage: REUSEADDR");
  must(near.ucm.bind(*channel->file, id, socket_address(near.address, service_port)).has_value(), "stage: bind");
}

// From ROUTE_RESOLVED on.
void UcmStage::lead_connection() {
  must(near.ucm.connect(*channel->file, subject, with_qp(0x100)).has_value(), "stage: connect");
  promises.started(Entry::connect, true);
  if (!far_answers(situation)) return;
  if (datagrams(situation)) return wait_for(EventType::established);
  wait_for(EventType::connect_response);
  if (situation == Situation::response_here) return;
  must(near.ucm.accept_response(*channel->file, subject).has_value(), "stage: accept of the response");
  settle(1s);
  if (situation == Situation::established) return;
  must(near.ucm.disconnect(*channel->file, subject).has_value(), "stage: disconnect");
  wait_for(EventType::disconnected);
}

// A listener, with a request in the channel that nobody has fetched; or the child that it brings.
void UcmStage::lead_listener() {
  ucm::Manager& ucm = near.ucm;
  ucm::File& file = *channel->file;
  must(ucm.bind(file, subject, socket_address(near.address, service_port)).has_value(), "stage: bind");
  must(ucm.listen(file, subject, 8).has_value(), "stage: listen");
  far_end.connect(socket_address(near.address, service_port));
  settle(1s);
  if (listens(situation)) return;
  const auto request = channel->poll();
  must(request && request->type == EventType::connect_request, "stage: no request");
  subject = request->id;
  if (situation == Situation::request_here || situation == Situation::ud_request_here) return;
  must(ucm.accept(file, subject, 2, with_qp(0x100)).has_value(), "stage: accept");
  promises.started(Entry::accept, true);
  settle(1s);
  if (situation == Situation::response_sent || situation == Situation::ud_accepted) return;
  wait_for(EventType::established);
  if (situation == Situation::child_established) return;
  must(ucm.disconnect(file, subject).has_value(), "stage: disconnect");
  wait_for(EventType::disconnected);
}

void UcmStage::wait_for(EventType type) {
  for (;;) {
    const ucm::EventRecord event = channel->next();
    note(event);
    if (event.type == type) return;
  }
}

void UcmStage::settle(rt::Duration time) { execution.sleep_until(execution.world().now() + time); }

// --- What the program notes down ------------------------------------------------------------------------------------

void UcmStage::fetch() {
  for (Channel* on : {channel.get(), other.get()}) {
    if (const auto event = on->poll()) note(*event);
  }
}

void UcmStage::note(const ucm::EventRecord& event) {
  if (event.owner != subject || event.multicast != 0) return;
  const bool own = event.type == EventType::user || event.type == EventType::internal;
  if (own || event.type == EventType::connect_request) return;
  promises.told(event.type);
  if (fetchers > 1) return;
  const TsanIgnore ignore;
  const char* const wrong = order_.next(event.type);
  execution.check(wrong == nullptr, wrong == nullptr ? "" : wrong);
}

void UcmStage::left(ucm::Handle membership, unsigned reported) {
  const TsanIgnore ignore;
  left_.push_back({membership, reported});
}
void UcmStage::joined(ucm::Handle membership) {
  const TsanIgnore ignore;
  joined_.push_back(membership);
}
std::optional<ucm::Handle> UcmStage::membership() const {
  const TsanIgnore ignore;
  if (joined_.empty()) return std::nullopt;
  return joined_.back();
}

// --- Clearing it ----------------------------------------------------------------------------------------------------

bool UcmStage::alive() {
  const auto asked = command([this](ucm::File& file) { return near.ucm.query_route(file, subject); });
  return asked.has_value();
}

void UcmStage::clear() {
  execution.set_calm(true);
  far_end.end();
  settle(400s);  // retries, timewait
  far_end.end();
  check_told();
  near.ucm.close(*channel->file);
  near.ucm.close(*other->file);
  settle(400s);
  check_nothing_kept();
  near.view.set_interfaces({});
  near.service.stop();
  far.service.stop();
  execution.check(device_.expired(), "something still holds the device");
}

void UcmStage::check_told() {
  const bool was_alive = alive();
  const std::optional<unsigned> reported = reported_;
  for (Channel* on : {channel.get(), other.get()}) {
    while (const auto event = on->poll()) {
      note(*event);
      execution.check(!reported || event->owner != subject, "an event of an id that is no more");
      const bool was_left = std::ranges::find(left_, event->multicast, &Left::handle) != left_.end();
      execution.check(event->multicast == 0 || !was_left, "an event of a membership that was left");
    }
  }
  const auto fetched = [this](ucm::Handle owner) { return channel->fetched(owner) + other->fetched(owner); };
  execution.check(!reported || *reported == fetched(subject), "destroy_id() reports another number of events");
  for (const Left& each : left_) {
    execution.check(each.reported == fetched(each.handle), "leave_multicast() reports another number of events");
  }
  const char* const missing = was_alive ? promises.missing(datagrams(situation)) : nullptr;
  execution.check(missing == nullptr, missing == nullptr ? "" : missing);
}

void UcmStage::check_nothing_kept() {
  check_nothing_left(execution, near);
  execution.check(far.manager->live_ids() == 0 && far.ports.size() == 0, "the far end keeps an id");
  for (Host* host : {static_cast<Host*>(&near), &far}) {
    execution.check(host->connections.usage() == cm::Usage{}, "cm keeps something");
    execution.check(host->dispatcher.next_deadline() == rt::time_never, "a timer is still armed");
  }
  if (const verbs::DevicePtr device = device_.lock()) {
    execution.check(near.groups.joins(device, stage_group) == 0, "joined is not left");
  }
}

}  // namespace hawser::scenarios
