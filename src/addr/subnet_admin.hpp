// What a subnet administrator answers: services by name or id, paths. RoCE has none, so production has only one that
// is silent when somebody wants it to be (FaultySubnetAdmin); the simulated twin (SimSubnetAdmin) is how ADDRINFO_*,
// and ROUTE_ERROR are reached [spec 1.4, 1.5].
#pragma once

#include <functional>
#include <vector>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "base/types.hpp"
#include "hawser/subnet.hpp"
#include "runtime/dispatcher.hpp"
#include "verbs/device.hpp"

namespace hawser::addr {

using hawser::PathRecord;
using hawser::ServiceQuery;
using hawser::ServiceRecord;

// One question in flight. The owner embeds it; it is used for one question at a time, and cancel() must be passed
// before it is used again or ends.
class SubnetQuery {
 public:
  SubnetQuery()
      : timer_([this] {
          const auto answer = std::move(answer_);
          answer();  // may end the life of the question
        }) {}

 private:
  friend class SimSubnetAdmin;
  rt::Timer timer_;
  std::function<void()> answer_;
};

// Thread-safe. Each answer is given exactly once, from the dispatcher, unless cancel() wins; no answer within `timeout`
// is ETIMEDOUT.
class SubnetAdmin {
 public:
  using ServiceAnswer = std::function<void(Result<std::vector<ServiceRecord>>)>;
  using PathAnswer = std::function<void(Result<PathRecord>)>;

  virtual ~SubnetAdmin() = default;
  // Whether there is one for the device's port: to ask for services, and for the path to `remote`.
  [[nodiscard]] virtual bool serves(const verbs::Device& device) const = 0;
  [[nodiscard]] virtual bool routes(const verbs::Device& device, const Gid& remote) const = 0;
  virtual void services(SubnetQuery& query, const ServiceQuery& wanted, rt::Duration timeout, ServiceAnswer answer) = 0;
  virtual void path(SubnetQuery& query, const Gid& local, const Gid& remote, rt::Duration timeout,
                    PathAnswer answer) = 0;
  // Afterwards the answer will not be given and is not being given (except on the calling thread). Must not be called
  // with a handler_mutex held.
  virtual void cancel(SubnetQuery& query) = 0;
};

}  // namespace hawser::addr
