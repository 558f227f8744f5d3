#include "abi/rdmacm/support.hpp"

#include <endian.h>

namespace hawser::abi::rdmacm {
namespace {

class DescriptorNotifier final : public ucm::Notifier {
 public:
  explicit DescriptorNotifier(std::shared_ptr<EventDescriptor> descriptor) : descriptor_(std::move(descriptor)) {}
  void set_pending(bool pending) override { descriptor_->set_pending(pending); }

 private:
  const std::shared_ptr<EventDescriptor> descriptor_;
};

}  // namespace

ibv_gid gid_of(const Gid& gid) {
  ibv_gid out;
  std::ranges::copy(gid.bytes, out.raw);
  return out;
}

std::optional<std::uint8_t> gid_index(const CmId& id, const Gid& gid) {
  const auto index = id.device->device->gid_index(gid);
  if (!index || *index > 0xFF) return std::nullopt;
  return static_cast<std::uint8_t>(*index);
}

Result<Call> enter(const rdma_cm_id* id) {
  Process& process = Process::current();
  auto known = process.ids.find(id);
  if (known == nullptr) return fail(EINVAL);
  const auto ucm = process.ucm();
  if (!ucm) return fail(ucm.error());
  return Call(std::move(known), *ucm);
}

std::shared_ptr<Channel> make_channel() {
  auto descriptor = EventDescriptor::create();
  if (descriptor == nullptr) return nullptr;
  auto channel = std::make_shared<Channel>();
  channel->pub.fd = descriptor->fd();
  channel->file = std::make_shared<ucm::File>(std::make_unique<DescriptorNotifier>(descriptor));
  channel->descriptor = std::move(descriptor);
  Process::current().channels.insert(channel);
  return channel;
}

std::shared_ptr<CmId> make_id(std::shared_ptr<Channel> channel, bool sync, void* context, rdma_port_space space,
                              ibv_qp_type qp_type) {
  auto id = std::make_shared<CmId>(std::move(channel), sync);
  id->pub.context = context;
  id->pub.ps = space;
  id->pub.qp_type = qp_type;
  return id;
}

void close_channel(ucm::Manager& ucm, const std::shared_ptr<Channel>& channel) {
  if (Process::current().channels.take(&channel->pub) == nullptr) return;
  ucm.close(*channel->file);
}

Status query(const Call& call) {
  const auto route = call.run(&ucm::Manager::query_route);
  if (!route) return fail(route.error());
  rdma_cm_id& id = call.id->pub;
  rdma_addr& addresses = id.route.addr;
  route->source.to(addresses.src_storage);
  route->destination.to(addresses.dst_storage);
  if (route->device == nullptr) return {};
  const auto device = Process::current().devices.open(route->device);
  if (!device) return fail(device.error());
  call.id->device = *device;
  id.verbs = (*device)->verbs;
  id.port_num = route->port_number;
  if (id.pd == nullptr) id.pd = (*device)->pd;
  addresses.addr.ibaddr.sgid = gid_of(route->source_gid);
  addresses.addr.ibaddr.dgid = gid_of(route->destination_gid);
  addresses.addr.ibaddr.pkey = htobe16(pkey_default.value);
  if (route->has_path) query_path(route->path, *call.id);
  return {};
}

void query_path(const cm::Path& path, CmId& id) {
  constexpr std::uint8_t exactly = 2;  // selector (IBTA 15.2.5.16)
  ibv_sa_path_rec& record = id.path;
  record = {};
  record.dgid = gid_of(path.remote);
  record.sgid = gid_of(path.local);
  record.flow_label = htobe32(path.flow_label);
  record.hop_limit = path.hop_limit;
  record.traffic_class = path.traffic_class;
  record.reversible = 1;
  record.numb_path = 1;
  record.pkey = htobe16(path.pkey.value);
  record.sl = path.sl;
  record.mtu_selector = record.rate_selector = record.packet_life_time_selector = exactly;
  record.mtu = static_cast<std::uint8_t>(path.mtu);
  record.rate = path.rate;
  record.packet_life_time = path.packet_life_time;
  id.pub.route.path_rec = &record;
  id.pub.route.num_paths = 1;
}

}  // namespace hawser::abi::rdmacm
