#include "addr/resolver.hpp"

#include <boost/intrusive/list.hpp>

#include "base/assert.hpp"
#include "base/probe.hpp"

namespace hawser::addr {

namespace bi = boost::intrusive;

// Linked into the Resolver's list exactly while the callback is still to be called. Whoever unlinks it owns the
// callback: the timer that found an answer, or cancel() [spec 4 #12].
struct Request::State : bi::list_base_hook<bi::link_mode<bi::safe_link>> {
  State() : timer([this] { on_time(); }) {}
  void on_time();

  Resolver::State* resolver{};
  rt::Timer timer;
  // The question; constant while linked.
  std::optional<IpAddress> source;
  IpAddress destination;
  std::uint32_t interface{};
  rt::Time deadline{};
  std::optional<Resolved> answer;  // known before the callback's turn came
  Callback callback;
};

struct Resolver::State {
  State(rt::Dispatcher& d, NetworkView& n) : dispatcher(d), network(n) {}

  Result<Resolved> attempt(const Request::State& request);
  void on_time(Request::State& request);
  [[nodiscard]] std::uint64_t events();

  rt::Dispatcher& dispatcher;
  NetworkView& network;
  rt::Mutex mutex{rt::LockRank::addr};
  bi::list<Request::State, bi::constant_time_size<false>> pending HW_GUARDED_BY(mutex);
  // Neighbours that became known so far: an attempt that missed one is repeated at once.
  std::uint64_t neighbour_events HW_GUARDED_BY(mutex) = 0;
};

Request::Request() : state_(std::make_unique<State>()) {}
Request::~Request() { HW_ASSERT(!state_->is_linked(), "addr-request-destroyed-while-pending"); }

void Request::State::on_time() { resolver->on_time(*this); }

Resolver::Resolver(rt::Dispatcher& dispatcher, NetworkView& network)
    : state_(std::make_unique<State>(dispatcher, network)) {}

Resolver::~Resolver() {
  rt::Lock lock(state_->mutex);
  HW_ASSERT(state_->pending.empty(), "addr-resolver-destroyed-with-requests");
}

// Route, source selection, neighbour. ENODATA: the neighbour is not known yet [spec 1.6.5, 1.6.6, 1.6.8].
Result<Resolved> Resolver::State::attempt(const Request::State& request) {
  const auto route = network.route(request.destination, request.source, request.interface);
  if (!route) return fail(route.error());
  Resolved resolved{.source = request.source.value_or(route->source),
                    .destination = request.destination,
                    .interface = route->interface,
                    .hop_limit = route->hop_limit,
                    .via_gateway = route->gateway.has_value(),
                    .destination_mac = {}};
  // A group has no MAC of its own to ask for.
  if (route->local || request.destination.is_multicast()) return resolved;
  const auto mac = network.neighbour(route->interface, route->gateway.value_or(request.destination));
  if (!mac) return fail(mac.error());
  resolved.destination_mac = *mac;
  return resolved;
}

Status Resolver::resolve(Request& request, const std::optional<IpAddress>& source, const IpAddress& destination,
                         std::uint32_t interface, rt::Duration timeout, Request::Callback callback) {
  Request::State& r = *request.state_;
  r.resolver = state_.get();
  r.source = source;
  r.destination = destination;
  r.interface = interface;
  r.answer.reset();
  r.callback = std::move(callback);
  const rt::Time now = state_->dispatcher.world().now();
  r.deadline = now + timeout;

  const std::uint64_t events = state_->events();
  const auto first = state_->attempt(r);
  if (!first && errno_of(first) != ENODATA) {
    r.callback = nullptr;
    return fail(first.error());
  }
  if (first) r.answer = *first;
  rt::Lock lock(state_->mutex);
  HW_ASSERT(!r.is_linked(), "addr-request-reused-while-pending");
  state_->pending.push_back(r);
  const bool at_once = first || state_->neighbour_events != events;
  state_->dispatcher.arm(r.timer, at_once ? now : r.deadline);
  return {};
}

std::uint64_t Resolver::State::events() {
  rt::Lock lock(mutex);
  return neighbour_events;
}

// At the deadline, or earlier because a neighbour became known. The request stays while we run: cancel() waits.
void Resolver::State::on_time(Request::State& request) {
  std::uint64_t events = 0;
  {
    rt::Lock lock(mutex);
    if (!request.is_linked()) return;  // cancel() was faster
    events = neighbour_events;
  }
  Result<Resolved> result = request.answer ? Result<Resolved>(*request.answer) : attempt(request);
  Request::Callback callback;
  {
    rt::Lock lock(mutex);
    if (!request.is_linked()) return;
    const rt::Time now = dispatcher.world().now();
    const bool late = now >= request.deadline;
    if (!result && !late && errno_of(result) == ENODATA) {
      return dispatcher.arm(request.timer, neighbour_events != events ? now : request.deadline);
    }
    if (!result && late) result = fail(ETIMEDOUT);
    pending.erase(pending.iterator_to(request));
    // A neighbour that became known while we ran has armed it again; from here on nobody does [spec 4 #12].
    if (dispatcher.cancel(request.timer)) HW_PROBE("addr-armed-while-running");
    callback = std::move(request.callback);
    request.callback = nullptr;
  }
  callback(result);  // may end the life of the request
}

bool Resolver::cancel(Request& request) {
  Request::State& r = *request.state_;
  bool ours = false;
  {
    rt::Lock lock(state_->mutex);
    ours = r.is_linked();
    if (ours) state_->pending.erase(state_->pending.iterator_to(r));
  }
  // Unlinked, so nobody arms it again; it may be on its way to find that out.
  static_cast<void>(state_->dispatcher.cancel_sync(r.timer));
  if (ours) r.callback = nullptr;
  return ours;
}

void Resolver::on_neighbour(const NeighbourChange& change) {
  if (!change.mac) return;
  rt::Lock lock(state_->mutex);
  ++state_->neighbour_events;
  const rt::Time now = state_->dispatcher.world().now();
  for (Request::State& request : state_->pending) state_->dispatcher.arm(request.timer, now);
}

}  // namespace hawser::addr
