// A Stack beside other processes: slot, numbers and ports are the agent's to give.
#include "addr/netlink_posix.hpp"
#include "base/log.hpp"
#include "stack/host.hpp"

namespace hawser::stack {
namespace {

class AgentHost final : public Host {
 public:
  AgentHost(std::unique_ptr<agent::Client> client, std::unique_ptr<addr::NetworkView> network)
      : client_(std::move(client)), network_(std::move(network)) {}
  rt::World& world() override { return world_; }
  fabric::Fabric& fabric() override { return client_->fabric(); }
  addr::NetworkView& network() override { return *network_; }
  verbs::QpnSpace& qpns() override { return client_->qpns(); }
  cm::CommIdSpace& comm_ids() override { return client_->comm_ids(); }
  cma::PortArbiter& ports() override { return client_->ports(); }
  cm::Ledger& ledger() override { return client_->ledger(); }
  [[nodiscard]] std::uint64_t identity() const override { return client_->host_identity(); }
  agent::Client* agent() override { return client_.get(); }

 private:
  rt::World world_;
  std::unique_ptr<agent::Client> client_;
  std::unique_ptr<addr::NetworkView> network_;
};

}  // namespace

Result<std::unique_ptr<Host>> join_host() {
  auto network = addr::NetlinkView::create();
  if (!network) {
    log::error("cannot ask the kernel for its network interfaces (netlink): {}", network.error().message());
    return fail(network.error());
  }
  auto client = agent::Client::connect({});
  if (!client) return fail(client.error());
  return std::make_unique<AgentHost>(std::move(*client), std::move(*network));
}

}  // namespace hawser::stack
