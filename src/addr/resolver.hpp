// Address resolution [spec 1.6]: destination (and source) address → device, source address, next hop. What the kernel's
// rdma_resolve_ip does.
#pragma once

#include <functional>
#include <memory>

#include "addr/network.hpp"
#include "base/ip.hpp"
#include "base/result.hpp"
#include "runtime/dispatcher.hpp"
#include "verbs/device.hpp"

namespace hawser::addr {

struct Resolved {
  IpAddress source;
  IpAddress destination;
  std::uint32_t interface{};  // of the device that carries the connection
  std::uint8_t hop_limit{64};
  bool via_gateway{};
  std::optional<Mac> destination_mac;  // nullopt on loopback and local destinations
};

// One resolution in flight. The owner embeds it; it is used for one request at a time, and cancel() (or the destructor)
// must be passed before it is used again [spec 4 #11].
class Request {
 public:
  using Callback = std::function<void(Result<Resolved>)>;
  Request();
  ~Request();  // must be idle

 private:
  friend class Resolver;
  struct State;
  std::unique_ptr<State> state_;
};

// Thread-safe. Asks the network view with no lock held.
class Resolver {
 public:
  Resolver(rt::Dispatcher& dispatcher, NetworkView& network);
  ~Resolver();

  // One synchronous attempt; its errors (ENETUNREACH, EHOSTUNREACH, ENODEV, EADDRNOTAVAIL …) are returned and the
  // callback is never called. Otherwise the callback is called exactly once, from the dispatcher, with the answer or
  // ETIMEDOUT when the neighbour did not answer within `timeout`, unless cancel() wins [spec 1.6.1, 1.6.2, 1.6.4].
  Status resolve(Request& request, const std::optional<IpAddress>& source, const IpAddress& destination,
                 std::uint32_t interface, rt::Duration timeout, Request::Callback callback);
  // Afterwards the callback will not be called and is not running (except on the calling thread). Must not be called
  // with a handler_mutex held. True if it never ran.
  bool cancel(Request& request);
  // From the network view's observer: a neighbour became valid, all pending requests look again [spec 1.6.3].
  void on_neighbour(const NeighbourChange& change);

 private:
  friend class Request;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hawser::addr
