// A subnet administrator for tests and the explorer: it answers what it was told to, when it was told to.
#pragma once

#include <optional>

#include "addr/subnet_admin.hpp"

namespace hawser::addr {

class SimSubnetAdmin final : public SubnetAdmin {
 public:
  explicit SimSubnetAdmin(rt::Dispatcher& dispatcher) : dispatcher_(dispatcher) {}

  // To be set before the first question; until then no port has an administrator. nullopt: no answer comes.
  std::function<std::optional<Result<std::vector<ServiceRecord>>>(const ServiceQuery&)> on_services;
  std::function<std::optional<Result<PathRecord>>(const Gid& remote)> on_path;
  rt::Duration delay{};

  [[nodiscard]] bool serves(const verbs::Device&) const override { return on_services || on_path; }
  [[nodiscard]] bool routes(const verbs::Device& device, const Gid&) const override { return serves(device); }
  void services(SubnetQuery& query, const ServiceQuery& wanted, rt::Duration timeout, ServiceAnswer answer) override;
  void path(SubnetQuery& query, const Gid& local, const Gid& remote, rt::Duration timeout, PathAnswer answer) override;
  void cancel(SubnetQuery& query) override;

 private:
  template <class T>
  void plan(SubnetQuery& query, std::optional<Result<T>> result, rt::Duration timeout,
            std::function<void(Result<T>)> answer);
  rt::Dispatcher& dispatcher_;
};

}  // namespace hawser::addr
