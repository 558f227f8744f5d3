// A listening id in one step.
#pragma once

#include "hawser/stack.hpp"

namespace hawser {

// Create, bind, listen. `handler` is told each CONNECT_REQUEST (its `id` is the new one) and then the events of the new
// ids, unless they get a handler of their own; at last DEVICE_REMOVAL.
//
// Threading and ownership as Id.
class Listener {
 public:
  // The errors of create_id, bind_addr and listen.
  [[nodiscard]] static Result<Listener> listen(Stack& stack, const SocketAddress& address, Handler handler,
                                               PortSpace port_space = PortSpace::tcp,
                                               std::optional<QpType> qp_type = {});
  [[nodiscard]] std::uint16_t port() const { return id_.local_addr().port; }  // the one chosen for port 0
  [[nodiscard]] Id& id() { return id_; }

 private:
  explicit Listener(Id id) : id_(std::move(id)) {}
  Id id_;
};

}  // namespace hawser
