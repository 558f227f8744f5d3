#include "cma/core.hpp"

namespace hawser::cma {

Core::Core(Services given)
    : services(given), device_work_([this] { run_device_changes(); }), orphan_work_([this] { end_orphans(); }) {
  observer_ = services.devices.add_observer(
      [this](const verbs::DevicePtr& device, verbs::DeviceChange change) { on_device_change(device, change); });
}

Core::~Core() {
  services.devices.remove_observer(observer_);
  static_cast<void>(services.dispatcher.cancel_sync(device_work_));
  static_cast<void>(services.dispatcher.cancel_sync(orphan_work_));
  end_orphans();
  rt::Lock lock(mutex_);
  HW_ASSERT(live_ids_ == 0, "cma-manager-destroyed-with-ids");
  HW_ASSERT(listening_.empty() && wildcards_.empty(), "cma-manager-destroyed-with-listeners");
  for (Id* id : ended_ids_) delete id;
}

Id* Core::create(PortSpace space, QpType qp_type, Handler handler, void* context) {
  return new Id(*this, space, qp_type, std::make_shared<const Handler>(std::move(handler)), context);
}

void Core::orphan(cm::Connection* connection) {
  {
    rt::Lock lock(mutex_);
    orphans_.push_back(connection);
  }
  static_cast<void>(services.dispatcher.post(orphan_work_));
}

void Core::end_orphans() {
  std::vector<cm::Connection*> orphans;
  {
    rt::Lock lock(mutex_);
    orphans.swap(orphans_);
  }
  for (cm::Connection* connection : orphans) services.connections.destroy(connection);
}

void Core::count_birth() {
  rt::Lock lock(mutex_);
  ++live_ids_;
}

// Nobody calls it any more, or breaks the contract: then a kept id says no to everything, being in DESTROYING, and says
// so. What it held for others goes at once.
void Core::bury(Id* id) {
  const bool kept = contract.keeps_ended();
  if (kept) {
    id->set_handler({}, nullptr);
    id->record_.reset();
    cm::Path path;  // holds the device; released outside the lock
    rt::Lock lock(id->data_mutex_);
    std::swap(path, id->path_);
  } else {
    delete id;
  }
  Id* oldest = nullptr;
  {
    rt::Lock lock(mutex_);
    --live_ids_;
    if (kept) ended_ids_.push_back(id);
    if (ended_ids_.size() > ended_ids_kept) {
      oldest = ended_ids_.front();
      ended_ids_.pop_front();
    }
  }
  delete oldest;
}

std::size_t Core::live_ids() const {
  rt::Lock lock(mutex_);
  return live_ids_;
}

}  // namespace hawser::cma
