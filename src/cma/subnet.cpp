// What needs a subnet administrator: services by name [spec 1.4.18, 1.5.8, 1.5.9], paths [spec 1.5.7]. RoCE has none
// (addr/subnet_admin.hpp).
#include <utility>

#include "base/probe.hpp"
#include "cma/core.hpp"
#include "cma/id.hpp"
#include "cma/loopback.hpp"

namespace hawser::cma {

namespace {

constexpr rt::Duration service_timeout = std::chrono::seconds(3);

}  // namespace

addr::SubnetAdmin* Id::subnet_admin() const {
  addr::SubnetAdmin* const subnet = core_.services.subnet;
  const verbs::DevicePtr bound = device();
  return subnet != nullptr && bound != nullptr && subnet->serves(*bound) ? subnet : nullptr;
}

addr::SubnetAdmin* Id::subnet_admin_of_path() const {
  addr::SubnetAdmin* const subnet = core_.services.subnet;
  if (subnet == nullptr) return nullptr;
  rt::Lock lock(data_mutex_);
  return device_ != nullptr && subnet->routes(*device_, gid_of(destination_.ip)) ? subnet : nullptr;
}

std::vector<addr::ServiceRecord> Id::services() const {
  rt::Lock lock(data_mutex_);
  return services_;
}

Status Id::resolve_service(const addr::ServiceQuery& wanted) {
  Entered entered(contract_, Entry::resolve_service, HW_CALL_SITE);
  if (device() == nullptr) return refusal(EINVAL, Entry::resolve_service, Rule::needs_device);
  if (!move<State::addr_bound, State::addrinfo_query>()) {
    return refusal(EINVAL, Entry::resolve_service, Rule::needs_bound);
  }
  addr::SubnetAdmin* const subnet = subnet_admin();
  if (subnet == nullptr) {
    if (!move<State::addrinfo_query, State::addr_bound>()) return fail(ENODEV);
    return refusal(EOPNOTSUPP, Entry::resolve_service, Rule::no_subnet_admin);
  }
  subnet->cancel(subnet_query_);  // of an earlier attempt that is still on its way out
  rt::Lock lock(handler_mutex_);  // as in resolve_addr()
  if (state() != State::addrinfo_query) return fail(ENODEV);
  entered.leave();  // once unlocked, the handler may end the id
  subnet->services(subnet_query_, wanted, service_timeout, [this](const auto& result) { on_services(result); });
  return {};
}

// The first service that was found is where the id goes, unless resolve_addr() says something else.
void Id::on_services(const Result<std::vector<addr::ServiceRecord>>& result) {
  handler_mutex_.lock();
  if (state() != State::addrinfo_query) {  // claimed: the claimer cancels us
    HW_PROBE("cma-services-for-claimed");
    return handler_mutex_.unlock();
  }
  const int error = !result ? errno_of(result) : result->empty() ? ENODATA : 0;
  Event event{.type = EventType::addrinfo_resolved};
  if (error == 0) {
    {
      rt::Lock lock(data_mutex_);
      services_ = *result;
      const addr::ServiceRecord& first = services_.front();
      destination_ = {.family = first.gid.is_v4() ? Family::inet : Family::inet6,
                      .ip = first.gid,
                      .port = static_cast<std::uint16_t>(first.id.value & 0xFFFF)};
      write_ledger_addresses();
    }
    if (!move<State::addrinfo_query, State::addrinfo_resolved>()) HW_BUG("cma-addrinfo-query-left");
  } else {
    if (!move<State::addrinfo_query, State::addr_bound>()) HW_BUG("cma-addrinfo-query-left-on-error");
    event = {.type = EventType::addrinfo_error, .status = -error};
  }
  if (deliver(event) != 0) return destroy_and_unlock();
  handler_mutex_.unlock();
}

bool Id::enter_route_query() {
  return move<State::addr_resolved, State::route_query>() || move<State::addrinfo_resolved, State::route_query>();
}

// An id that resolved an address has been in ADDR_RESOLVED; ADDRINFO_RESOLVED is left by that for good.
bool Id::leave_route_query() {
  bool resolved = false;
  {
    rt::Lock lock(data_mutex_);
    resolved = resolved_.has_value();
  }
  return resolved ? move<State::route_query, State::addr_resolved>()
                  : move<State::route_query, State::addrinfo_resolved>();
}

// From a work and not from resolve_route(), which a handler may call: with its handler_mutex held neither can an
// earlier question be cancelled, nor the state be tested [spec 2.2.4]. False: nobody wanted a path from a subnet
// administrator.
bool Id::ask_for_path() {
  std::optional<rt::Duration> timeout;
  {
    rt::Lock lock(data_mutex_);
    timeout = std::exchange(ask_for_path_, std::nullopt);
  }
  if (!timeout) return false;
  addr::SubnetAdmin& subnet = *core_.services.subnet;
  subnet.cancel(subnet_query_);
  rt::Lock lock(handler_mutex_);
  if (state() != State::route_query) {  // claimed meanwhile
    HW_PROBE("cma-path-of-claimed");
    return true;
  }
  const Route ends = route();
  subnet.path(subnet_query_, gid_of(ends.source.ip), gid_of(ends.destination.ip), *timeout,
              [this](const auto& result) { on_path(result); });
  return true;
}

void Id::on_path(const Result<addr::PathRecord>& result) {
  handler_mutex_.lock();
  if (state() != State::route_query) {
    HW_PROBE("cma-path-for-claimed");
    return handler_mutex_.unlock();
  }
  Event event{.type = EventType::route_resolved};
  if (result) {
    {
      rt::Lock lock(data_mutex_);
      path_ = {};
      path_.device = device_;
      path_.local = gid_of(source_.ip);
      path_.remote = gid_of(destination_.ip);
      path_.interface = device_->interface_index();
      path_.mtu = result->mtu;
      path_.sl = result->sl;
      path_.rate = result->rate;
      path_.packet_life_time = result->packet_life_time;
      path_.traffic_class = options_.service_type.value_or(0);
      has_path_ = true;
    }
    if (!move<State::route_query, State::route_resolved>()) HW_BUG("cma-route-query-left");
  } else {
    if (!leave_route_query()) HW_BUG("cma-route-query-left-on-error");
    event = {.type = EventType::route_error, .status = -errno_of(result)};
  }
  if (deliver(event) != 0) return destroy_and_unlock();
  handler_mutex_.unlock();
}

}  // namespace hawser::cma
