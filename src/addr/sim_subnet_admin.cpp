#include "addr/sim_subnet_admin.hpp"

#include <utility>

namespace hawser::addr {

void SimSubnetAdmin::services(SubnetQuery& query, const ServiceQuery& wanted, rt::Duration timeout,
                              ServiceAnswer answer) {
  plan(query, on_services ? on_services(wanted) : std::nullopt, timeout, std::move(answer));
}

void SimSubnetAdmin::path(SubnetQuery& query, const Gid& /*local*/, const Gid& remote, rt::Duration timeout,
                          PathAnswer answer) {
  plan(query, on_path ? on_path(remote) : std::nullopt, timeout, std::move(answer));
}

template <class T>
void SimSubnetAdmin::plan(SubnetQuery& query, std::optional<Result<T>> result, rt::Duration timeout,
                          std::function<void(Result<T>)> answer) {
  const bool answered = result.has_value() && delay < timeout;
  if (!answered) result = fail(ETIMEDOUT);
  query.answer_ = [answer = std::move(answer), result = *std::move(result)] { answer(result); };
  dispatcher_.arm(query.timer_, dispatcher_.world().now() + (answered ? delay : timeout));
}

void SimSubnetAdmin::cancel(SubnetQuery& query) { static_cast<void>(dispatcher_.cancel_sync(query.timer_)); }

}  // namespace hawser::addr
