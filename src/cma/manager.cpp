#include "cma/manager.hpp"

#include "cma/core.hpp"

namespace hawser::cma {

Manager::Manager(Services services) : core_(std::make_unique<Core>(services)) {}
Manager::~Manager() = default;

Id* Manager::create_id(PortSpace space, QpType qp_type, Handler handler, void* context) {
  return core_->create(space, qp_type, std::move(handler), context);
}

void Manager::destroy_id(Id* id) { core_->destroy(id, HW_CALL_SITE); }
void Manager::on_neighbour(const addr::NeighbourChange& change) { core_->on_neighbour(change); }
void Manager::on_address_change(std::uint32_t interface) { core_->on_address_change(interface); }
Contract& Manager::contract() { return core_->contract; }
std::size_t Manager::live_ids() const { return core_->live_ids(); }

}  // namespace hawser::cma
