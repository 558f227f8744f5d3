#include "cm/manager.hpp"

#include "base/assert.hpp"
#include "cm/core.hpp"
#include "cm/demux.hpp"
#include "cm/endpoint.hpp"

namespace hawser::cm {

Core::Core(rt::Dispatcher& d, MadSender& s, CommIdSpace& i, const Limits& limits)
    : dispatcher(d),
      sender(s),
      ids(i),
      tid_high(d.world().random32()),
      window(d, s, counters, limits.window_places,
             [](Endpoint& endpoint, RequestToken token) { endpoint.on_request_expired(token); }),
      timewait(d, [](Endpoint& endpoint, Qpn remote_qpn) { endpoint.on_timewait_over(remote_qpn); }),
      inbox(d, counters, limits.inbox_mads, [this](const Inbox::Item& item) { process(*this, item); }) {}

Manager::Manager(rt::Dispatcher& dispatcher, MadSender& sender, CommIdSpace& ids, const Limits& limits)
    : core_(std::make_unique<Core>(dispatcher, sender, ids, limits)) {}

Manager::~Manager() { HW_ASSERT(core_->tables.sizes().local == 0, "cm-manager-destroyed-with-connections"); }

Result<Connection*> Manager::create(Handler handler) {
  const auto endpoint = Endpoint::create(*core_, std::make_shared<const Handler>(std::move(handler)));
  if (!endpoint) return fail(endpoint.error());
  return &(*endpoint)->connection();
}

void Manager::destroy(Connection* connection, int reason) {
  const std::shared_ptr<Endpoint> endpoint = connection->endpoint_;
  endpoint->destroy(reason);
}

Result<std::shared_ptr<Manager::Listener>> Manager::listen(verbs::DevicePtr device, ServiceId service_id,
                                                           Handler handler) {
  if (!handler) return fail(EINVAL);
  auto listener = std::make_shared<Listener>(std::move(device), service_id, std::move(handler));
  core_->listeners.add(listener);
  return listener;
}

void Manager::unlisten(const std::shared_ptr<Listener>& listener) {
  core_->listeners.remove(*listener);
  listener->close(core_->dispatcher);
}

void Manager::on_mad(const verbs::DevicePtr& device, const verbs::MadAddress& from, const verbs::Mad& mad) {
  core_->inbox.push_arrival({device, from, mad});
}

// [spec 5.6.12]
void Manager::on_unreachable(const Gid& remote, const verbs::Mad& mad) {
  core_->inbox.push(Inbox::Unreachable{remote, mad});
}

void Manager::on_communication_established(Qpn local_qpn) { core_->inbox.push(local_qpn); }

void Manager::set_peer_stopped(std::function<bool(const verbs::MadAddress&, CommId)> stopped) {
  core_->window.set_peer_stopped(std::move(stopped));
}

std::size_t Manager::end_timewait() { return core_->timewait.end_all(); }

Counters Manager::counters() const { return core_->counters.read(); }

Usage Manager::usage() const {
  const Tables::Sizes sizes = core_->tables.sizes();
  return {.connections = sizes.local,
          .remote_ids = sizes.remote_id,
          .remote_qpns = sizes.remote_qpn,
          .awaiting_rtu = sizes.awaiting_rtu,
          .requests = core_->window.size(),
          .timewait = core_->timewait.size(),
          .listeners = core_->listeners.size(),
          .sidr_requests = core_->sidr_requests.unanswered()};
}

}  // namespace hawser::cm
