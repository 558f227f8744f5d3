// listen: on the device of a specific address, or on every device there is and will be [spec 1.9].
#include <algorithm>

#include "base/log.hpp"
#include "cma/core.hpp"
#include "cma/id.hpp"

namespace hawser::cma {

// LISTEN is entered and unwound under the handler_mutex, and a request waits for that mutex: it meets a listener that
// is complete, or none (DESIGN 4, rule 6) [spec 1.4.23, 1.4.24, 2.4.1, 3.3 I5]. What is refused after the automatic
// bind leaves the id bound [spec 4 #14].
Status Id::listen(int /*backlog*/) {
  Entered entered(contract_, Entry::listen, HW_CALL_SITE);
  rt::UniqueLock lock(handler_mutex_);
  if (!move<State::addr_bound, State::listen>()) {
    lock.unlock();
    const SocketAddress any{.family = Family::inet, .ip = IpAddress::any_v4()};
    if (Status bound = bind(any, {}, Entry::listen); !bound) return bound;  // proves IDLE, or refuses
    lock.lock();
    if (!move<State::addr_bound, State::listen>()) return refusal(EINVAL, Entry::listen, Rule::needs_bound);
  }
  Status listening = start_listening();
  if (listening) return listening;
  if (!move<State::listen, State::addr_bound>()) HW_BUG("cma-listen-left-under-lock");
  lock.unlock();
  core_.stop_listening(*this);
  return listening;
}

// The port last: from then on the agent sends requests here [spec 1.4.25, 1.8.8, 3.3 A].
Status Id::start_listening() {
  SocketAddress source;
  verbs::DevicePtr device;
  PortHandle port = 0;
  {
    rt::Lock lock(data_mutex_);
    source = source_;
    device = device_;
    port = port_;
  }
  const ServiceId service = service_id(source.port);
  const bool only = v6_only(source);
  const Status everywhere = device != nullptr ? core_.listen_on(*this, device, service, source, only)
                                              : core_.listen_everywhere(*this, service, source, only);
  if (!everywhere) return everywhere;
  if (Status exclusive = core_.services.ports.listen(port); !exclusive) return exclusive;
  rt::Lock lock(data_mutex_);
  options_.reuse_address = false;  // LISTEN implies no reuse [spec 3.3 I4]
  port_listens_ = true;
  return {};
}

// [spec 1.9.1]
Status Core::listen_on(Id& id, const verbs::DevicePtr& device, ServiceId service, const SocketAddress& source,
                       bool v6_only) {
  rt::Lock lock(mutex_);
  // As in attach(): either the removal's pass finds what we add, or we see here that it is too late.
  if (device->gone()) return fail(ENODEV);
  const ServiceKey key{device.get(), service};
  auto found = listening_.find(key);
  if (found == listening_.end()) {
    auto listener = services.connections.listen(
        device, service, [this, device, service](cm::Connection& connection, const cm::Event& event) {
          return on_request(device, service, connection, event);
        });
    if (!listener) return fail(listener.error());
    found = listening_.emplace(key, Service{device, *listener, {}}).first;
  }
  auto& ids = found->second.ids;
  if (std::ranges::find(ids, &id, &Listening::id) == ids.end()) ids.push_back({&id, source, v6_only});
  return {};
}

// On the list of wildcards first, then on the devices there are: a device that comes in between is met twice, and none
// is missed; one that has gone meanwhile is skipped. One refusal refuses the whole [spec 4 #34]; the caller undoes with
// stop_listening() [spec 1.9.2, 1.9.3, 4 #8, 4 #34].
Status Core::listen_everywhere(Id& id, ServiceId service, const SocketAddress& source, bool v6_only) {
  {
    rt::Lock lock(mutex_);
    wildcards_.insert_or_assign(&id, Wildcard{service, source, v6_only});
  }
  for (const verbs::DevicePtr& device : services.devices.list()) {
    const Status listening = listen_on(id, device, service, source, v6_only);
    if (!listening && errno_of(listening) != ENODEV) return listening;
  }
  return {};
}

// [spec 4 #10, 7 I16]
void Core::stop_listening(Id& id) {
  Listeners done;
  {
    rt::Lock lock(mutex_);
    wildcards_.erase(&id);
    for (auto service = listening_.begin(); service != listening_.end();) {
      std::erase_if(service->second.ids, [&](const Listening& entry) { return entry.id == &id; });
      if (service->second.ids.empty()) {
        done.push_back(std::move(service->second.listener));
        service = listening_.erase(service);
      } else {
        ++service;
      }
    }
  }
  PortHandle port = 0;
  {
    rt::Lock lock(id.data_mutex_);
    if (id.port_listens_) port = id.port_;
    id.port_listens_ = false;
  }
  if (port != 0) services.ports.unlisten(port);
  unlisten(done);
}

void Core::unlisten(const Listeners& listeners) {
  for (const auto& listener : listeners) services.connections.unlisten(listener);
}

// A device came: every wildcard listener extends to it. Its handler_mutex makes this one step with its state.
// [spec 1.9.2, 4 #32]
void Core::extend_wildcards(const verbs::DevicePtr& device) {
  std::vector<std::pair<Id*, Wildcard>> wildcards;
  {
    rt::Lock lock(mutex_);
    for (const auto& [id, wildcard] : wildcards_) {
      id->get();
      wildcards.emplace_back(id, wildcard);
    }
  }
  for (const auto& [id, wildcard] : wildcards) {
    {
      rt::Lock lock(id->handler_mutex_);
      if (id->state() == State::listen) {
        const Status listening = listen_on(*id, device, wildcard.service, wildcard.source, wildcard.v6_only);
        if (!listening && errno_of(listening) != ENODEV) {
          log::warning("the listener on {} does not listen on the new device {}: {}", wildcard.source.text(),
                       device->name(), listening.error().message());
        }
      }
    }
    id->put();
  }
}

}  // namespace hawser::cma
