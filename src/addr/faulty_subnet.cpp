#include "addr/faulty_subnet.hpp"

#include <algorithm>
#include <utility>

namespace hawser::addr {

namespace {

SubnetFault of_route(const Gid& remote) {
  return {.kind = SubnetFaultKind::silence_route, .address = remote, .service = {}};
}
SubnetFault of_service(const std::string& name) {
  return {.kind = SubnetFaultKind::silence_service, .address = {}, .service = name};
}

}  // namespace

FaultySubnetAdmin::FaultySubnetAdmin(rt::Dispatcher& dispatcher, std::unique_ptr<SubnetAdmin> inner)
    : inner_(std::move(inner)), silent_(dispatcher) {
  // One that is silenced about a service knows no other either.
  silent_.on_services = [this](const ServiceQuery& wanted) -> std::optional<Result<std::vector<ServiceRecord>>> {
    if (hit(of_service(wanted.name))) return std::nullopt;
    return Result<std::vector<ServiceRecord>>();
  };
}

void FaultySubnetAdmin::set(std::uint32_t number, const SubnetFault& fault) {
  rt::Lock lock(mutex_);
  faults_.insert_or_assign(number, Entry{fault, 0});
  any_.store(true);
}

bool FaultySubnetAdmin::clear(std::uint32_t number) {
  rt::Lock lock(mutex_);
  const bool there = faults_.erase(number) != 0;
  any_.store(!faults_.empty());
  return there;
}

std::map<std::uint32_t, std::uint64_t> FaultySubnetAdmin::effects() const {
  std::map<std::uint32_t, std::uint64_t> effects;
  rt::Lock lock(mutex_);
  for (const auto& [number, entry] : faults_) effects.emplace(number, entry.effects);
  return effects;
}

bool FaultySubnetAdmin::in_force(const SubnetFault& fault) const {
  if (!any_.load()) return false;
  rt::Lock lock(mutex_);
  return std::ranges::any_of(faults_, [&](const auto& entry) { return entry.second.fault == fault; });
}

bool FaultySubnetAdmin::hit(const SubnetFault& fault) {
  {
    rt::Lock lock(mutex_);
    const auto found = std::ranges::find_if(faults_, [&](const auto& entry) { return entry.second.fault == fault; });
    if (found == faults_.end()) return false;
    ++found->second.effects;
  }
  if (notify_) notify_();
  return true;
}

bool FaultySubnetAdmin::serves(const verbs::Device& device) const {
  if (inner_ && inner_->serves(device)) return true;
  if (!any_.load()) return false;
  rt::Lock lock(mutex_);
  return std::ranges::any_of(
      faults_, [](const auto& entry) { return entry.second.fault.kind == SubnetFaultKind::silence_service; });
}

bool FaultySubnetAdmin::routes(const verbs::Device& device, const Gid& remote) const {
  return (inner_ && inner_->routes(device, remote)) || in_force(of_route(remote));
}

void FaultySubnetAdmin::services(SubnetQuery& query, const ServiceQuery& wanted, rt::Duration timeout,
                                 ServiceAnswer answer) {
  SubnetAdmin& asked = inner_ && !in_force(of_service(wanted.name)) ? *inner_ : silent_;
  asked.services(query, wanted, timeout, std::move(answer));
}

void FaultySubnetAdmin::path(SubnetQuery& query, const Gid& local, const Gid& remote, rt::Duration timeout,
                             PathAnswer answer) {
  SubnetAdmin& asked = hit(of_route(remote)) || !inner_ ? silent_ : *inner_;
  asked.path(query, local, remote, timeout, std::move(answer));
}

void FaultySubnetAdmin::cancel(SubnetQuery& query) {
  if (inner_) inner_->cancel(query);
  silent_.cancel(query);
}

}  // namespace hawser::addr
