#include "cm/listeners.hpp"

#include <algorithm>

namespace hawser::cm {

std::optional<int> Manager::Listener::call(Connection& connection, const Event& event) {
  {
    rt::Lock lock(mutex_);
    if (closed_) return std::nullopt;
    running_ = true;
  }
  const int result = (*handler)(connection, event);
  rt::Lock lock(mutex_);
  running_ = false;
  done_.notify_all();
  return result;
}

void Manager::Listener::close(const rt::Dispatcher& dispatcher) {
  rt::assert_none_held(rt::LockRank::handler);
  const bool within_handler = dispatcher.on_dispatching_thread();
  rt::Lock lock(mutex_);
  closed_ = true;
  while (running_ && !within_handler) done_.wait(mutex_);
}

void Listeners::add(Ref listener) {
  rt::Lock lock(mutex_);
  by_service_[listener->service_id].push_back(std::move(listener));
}

void Listeners::remove(const Manager::Listener& listener) {
  Ref last;
  rt::Lock lock(mutex_);
  const auto at = by_service_.find(listener.service_id);
  if (at == by_service_.end()) return;
  auto& sharing = at->second;
  const auto found = std::ranges::find(sharing, &listener, &Ref::get);
  if (found == sharing.end()) return;
  last = std::move(*found);
  sharing.erase(found);
  if (sharing.empty()) by_service_.erase(at);
}

std::vector<Listeners::Ref> Listeners::find(const verbs::DevicePtr& device, ServiceId service_id) const {
  std::vector<Ref> found;
  rt::Lock lock(mutex_);
  const auto at = by_service_.find(service_id);
  if (at == by_service_.end()) return found;
  std::ranges::copy_if(at->second, std::back_inserter(found), [&](const Ref& l) { return l->device == device; });
  if (device == nullptr) return found;
  std::ranges::copy_if(at->second, std::back_inserter(found), [](const Ref& l) { return l->device == nullptr; });
  return found;
}

std::size_t Listeners::size() const {
  rt::Lock lock(mutex_);
  std::size_t total = 0;
  for (const auto& [service, sharing] : by_service_) total += sharing.size();
  return total;
}

}  // namespace hawser::cm
