// Who answers REQs: listeners by service id and device [spec 1.9, 2.6]. Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "cm/manager.hpp"
#include "runtime/dispatcher.hpp"
#include "runtime/sync.hpp"

namespace hawser::cm {

// Alive as long as somebody holds it; its handler is called until close().
class Manager::Listener {
 public:
  Listener(verbs::DevicePtr d, ServiceId s, Handler h)
      : device(std::move(d)), service_id(s), handler(std::make_shared<const Handler>(std::move(h))) {}

  // Runs the handler on the dispatching thread; nullopt if the listener was closed.
  std::optional<int> call(Connection& connection, const Event& event);
  // Afterwards the handler is not running and is not called again; from within the handler it does not wait.
  void close(const rt::Dispatcher& dispatcher);

  const verbs::DevicePtr device;  // null: every device
  const ServiceId service_id;
  const std::shared_ptr<const Handler> handler;

 private:
  rt::Mutex mutex_{rt::LockRank::cm_tables};
  rt::CondVar done_;
  bool running_ HW_GUARDED_BY(mutex_) = false;
  bool closed_ HW_GUARDED_BY(mutex_) = false;
};

class Listeners {
 public:
  using Ref = std::shared_ptr<Manager::Listener>;

  void add(Ref listener);
  void remove(const Manager::Listener& listener);
  // Counted references, so that unlisten() during a REQ takes nothing from under it [spec 2.6]. Those of `device` come
  // before those of every device, each in the order of their listen() [spec 2.6.1, 7 I18].
  [[nodiscard]] std::vector<Ref> find(const verbs::DevicePtr& device, ServiceId service_id) const;
  [[nodiscard]] std::size_t size() const;

 private:
  mutable rt::Mutex mutex_{rt::LockRank::cm_tables};
  std::unordered_map<ServiceId, std::vector<Ref>> by_service_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser::cm
