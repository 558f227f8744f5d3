// What all ids of one Stack share: which id is attached to which device, who listens where, whose neighbour is watched.
// The implementation of cma::Manager. Thread-safe; its mutex is never outside a handler_mutex [spec 2.1].
// [spec 2.1.2, 4 #7, 7 I14]
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <vector>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>

#include "cma/contract.hpp"
#include "cma/id.hpp"
#include "cma/manager.hpp"
#include "cma/private_header.hpp"

namespace hawser::cma {

inline constexpr std::uint8_t mra_service_timeout = 24;  // [spec 1.12.6]

class Core {
 public:
  explicit Core(Services services);
  ~Core();

  Id* create(PortSpace space, QpType qp_type, Handler handler, void* context);
  void destroy(Id* id, const void* call_site);
  void on_neighbour(const addr::NeighbourChange& change);
  void on_address_change(std::uint32_t interface);
  [[nodiscard]] std::size_t live_ids() const;
  // The last thing that is done with an id that has ended.
  void bury(Id* id);

  // --- devices (device_removal.cpp) ---
  // ENODEV when the device has gone: whoever attaches after the removal pass is refused, whoever attached before it is
  // found by it.
  Status attach(Id& id, const verbs::DevicePtr& device);
  void detach(Id& id);  // safe to repeat

  // --- listeners (listen.cpp) ---
  Status listen_on(Id& id, const verbs::DevicePtr& device, ServiceId service, const SocketAddress& source,
                   bool v6_only);
  Status listen_everywhere(Id& id, ServiceId service, const SocketAddress& source, bool v6_only);
  // Afterwards no request finds the id. Waits for requests that are being handled, so without any handler_mutex.
  void stop_listening(Id& id);

  // --- neighbours (neighbours.cpp) ---
  void watch(Id& id, std::uint32_t interface, const IpAddress& address, const addr::Mac& mac);
  void unwatch(Id& id);  // safe to repeat

  // A connection that no id owns any more, to be destroyed by the dispatcher: cm::Manager::destroy() must not be called
  // with a handler_mutex held.
  void orphan(cm::Connection* connection);

  Services services;
  Contract contract;

 private:
  friend class Id;
  using ServiceKey = std::pair<const verbs::Device*, ServiceId>;
  struct Listening {
    Id* id{};
    SocketAddress source;  // own copy [spec 7 I17]
    bool v6_only{};
  };
  // One per device and service id, shared by ids with different addresses [spec 1.9.1].
  struct Service {
    verbs::DevicePtr device;
    std::shared_ptr<cm::Manager::Listener> listener;
    std::vector<Listening> ids;
  };
  // A listener on the wildcard address: on every device, and on those that come.
  struct Wildcard {
    ServiceId service;
    SocketAddress source;
    bool v6_only{};
  };
  using DeviceIds =
      boost::intrusive::list<Id, boost::intrusive::base_hook<DeviceHook>, boost::intrusive::constant_time_size<false>>;
  struct ByKey {
    using type = std::pair<std::uint32_t, IpAddress>;
    type operator()(const WatchedNeighbour& watched) const { return watched.key(); }
  };
  using Neighbours = boost::intrusive::multiset<WatchedNeighbour, boost::intrusive::key_of_value<ByKey>,
                                                boost::intrusive::constant_time_size<false>>;
  using Listeners = std::vector<std::shared_ptr<cm::Manager::Listener>>;

  // --- a REQ arrives (request.cpp) ---
  int on_request(const verbs::DevicePtr& device, ServiceId service, cm::Connection& connection, const cm::Event& event);
  // With a reference for the caller [spec 7 I18].
  Id* find_listener(const verbs::DevicePtr& device, ServiceId service, const PrivateHeader& header);
  Status check_reverse_route(const verbs::DevicePtr& device, const PrivateHeader& header);
  int deliver_request(Id& listener, const verbs::DevicePtr& device, ServiceId service, const PrivateHeader& header,
                      cm::Connection& connection, const cm::Event& event);

  // --- devices ---
  void on_device_change(const verbs::DevicePtr& device, verbs::DeviceChange change);
  void run_device_changes();
  void extend_wildcards(const verbs::DevicePtr& device);
  void remove_device(const verbs::DevicePtr& device);
  void remove_id(Id* id);
  void unlisten(const Listeners& listeners);

  void end_orphans();
  void count_birth();

  mutable rt::Mutex mutex_{rt::LockRank::cma_global};
  std::map<const verbs::Device*, DeviceIds> attached_ HW_GUARDED_BY(mutex_);
  std::map<ServiceKey, Service> listening_ HW_GUARDED_BY(mutex_);
  std::map<Id*, Wildcard> wildcards_ HW_GUARDED_BY(mutex_);
  Neighbours neighbours_ HW_GUARDED_BY(mutex_);
  std::vector<std::pair<verbs::DevicePtr, verbs::DeviceChange>> device_changes_ HW_GUARDED_BY(mutex_);
  std::vector<cm::Connection*> orphans_ HW_GUARDED_BY(mutex_);
  std::size_t live_ids_ HW_GUARDED_BY(mutex_) = 0;
  std::deque<Id*> ended_ids_ HW_GUARDED_BY(mutex_);  // kept for the contract's reports
  rt::Work device_work_, orphan_work_;
  std::uint64_t observer_{};
};

}  // namespace hawser::cma
