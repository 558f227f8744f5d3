#include "hawser/listener.hpp"

namespace hawser {

Result<Listener> Listener::listen(Stack& stack, const SocketAddress& address, Handler handler, PortSpace port_space,
                                  std::optional<QpType> qp_type) {
  auto id = stack.create_id(std::move(handler), nullptr, port_space, qp_type);
  if (!id) return std::unexpected(id.error());
  if (const Status bound = id->bind_addr(address); !bound) return std::unexpected(bound.error());
  if (const Status listening = id->listen(0); !listening) return std::unexpected(listening.error());
  return Listener(std::move(*id));
}

}  // namespace hawser
