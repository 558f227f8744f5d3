// The connection manager of one Stack: what the kernel's cma.c keeps globally. Public face of the room with cma/id.hpp.
#pragma once

#include <memory>

#include "addr/network.hpp"
#include "addr/resolver.hpp"
#include "addr/subnet_admin.hpp"
#include "cm/ledger.hpp"
#include "cm/manager.hpp"
#include "cma/id.hpp"
#include "cma/port_arbiter.hpp"
#include "cma/types.hpp"
#include "runtime/dispatcher.hpp"
#include "verbs/device.hpp"
#include "verbs/multicast.hpp"

namespace hawser::cma {

class Core;

// What the connection manager stands on; all of it outlives the Manager.
struct Services {
  rt::Dispatcher& dispatcher;
  addr::NetworkView& network;
  addr::Resolver& resolver;
  verbs::DeviceTable& devices;
  cm::Manager& connections;
  PortArbiter& ports;
  cm::Ledger& ledger;
  verbs::MulticastGroups& groups;
  RequestTiming timing{};               // of ids that say nothing else
  addr::SubnetAdmin* subnet = nullptr;  // RoCE has none but for tests
};

class Manager {
 public:
  explicit Manager(Services services);
  ~Manager();  // every id must be destroyed

  // rdma_create_id: an id in IDLE. `handler` is called by the dispatcher under the id's handler_mutex; a result ≠ 0
  // destroys the id and promises that nobody else touches it [spec 1.4.1, 2.2.2].
  [[nodiscard]] Id* create_id(PortSpace space, QpType qp_type, Handler handler, void* context);
  // rdma_destroy_id: any state. Blocks until no handler of the id runs; then the id is gone [spec 2.5]. Must not be
  // called from the id's own handler, nor for the listener of a CONNECT_REQUEST in progress [spec 1.4.41, 2.5.2].
  void destroy_id(Id* id);

  // From addr's observer: a neighbour changed its MAC [spec 1.5].
  void on_neighbour(const addr::NeighbourChange& change);
  // An interface goes on with another MAC (a bond failed over): ADDR_CHANGE on the ids of its device.
  void on_address_change(std::uint32_t interface);

  // The contract checker (HAWSER_CHECK=1); to be set up before the first id.
  [[nodiscard]] Contract& contract();
  [[nodiscard]] std::size_t live_ids() const;

 private:
  std::unique_ptr<Core> core_;
};

}  // namespace hawser::cma
