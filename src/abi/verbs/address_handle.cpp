// Address handles: ibv_create_ah and its like.
#include <algorithm>

#include "abi/verbs/attributes.hpp"
#include "abi/verbs/objects.hpp"
#include "roce/network_header.hpp"

using namespace hawser;
using namespace hawser::abi;

Gid hawser::abi::gid_of(const ibv_gid& gid) {
  Gid out;
  std::ranges::copy(gid.raw, out.bytes.begin());
  return out;
}

verbs::AddressVector hawser::abi::address_of(const ibv_ah_attr& a) {
  verbs::AddressVector out;
  out.destination = gid_of(a.grh.dgid);
  out.flow_label = a.grh.flow_label;
  out.source_gid_index = a.grh.sgid_index;
  out.hop_limit = a.grh.hop_limit;
  out.traffic_class = a.grh.traffic_class;
  out.dlid = a.dlid;
  out.service_level = a.sl;
  out.source_path_bits = a.src_path_bits;
  out.static_rate = a.static_rate;
  out.is_global = a.is_global != 0;
  out.port = a.port_num;
  return out;
}

ibv_ah_attr hawser::abi::public_address(const verbs::AddressVector& a) {
  ibv_ah_attr out{};
  std::ranges::copy(a.destination.bytes, out.grh.dgid.raw);
  out.grh.flow_label = a.flow_label;
  out.grh.sgid_index = a.source_gid_index;
  out.grh.hop_limit = a.hop_limit;
  out.grh.traffic_class = a.traffic_class;
  out.dlid = a.dlid;
  out.sl = a.service_level;
  out.src_path_bits = a.source_path_bits;
  out.static_rate = a.static_rate;
  out.is_global = a.is_global ? 1 : 0;
  out.port_num = a.port;
  return out;
}

extern "C" {

ibv_ah* ibv_create_ah(ibv_pd* pd, ibv_ah_attr* attributes) {
  PdShell* domain = find<PdShell>(pd);
  if (domain == nullptr) return refuse(EINVAL);
  auto ah = verbs::AddressHandle::create(*domain->context->context, domain->pd, address_of(*attributes));
  if (!ah) return refuse(errno_of(ah));
  auto* shell = Tables::instance().make<AhShell>();
  shell->ah = std::move(*ah);
  shell->pub.context = pd->context;
  shell->pub.pd = pd;
  return &shell->pub;
}

int ibv_destroy_ah(ibv_ah* ah) {
  AhShell* shell = find<AhShell>(ah);
  if (shell == nullptr) return ENOENT;
  Tables::instance().unmake(shell);
  return 0;
}

// The way back to whom a datagram came from: the addresses of its network header, exchanged. -1 and errno.
int ibv_init_ah_from_wc(ibv_context* context, std::uint8_t port, ibv_wc* completion, ibv_grh* header,
                        ibv_ah_attr* attributes) {
  const ContextShell* shell = find_context(context);
  const auto came = (completion->wc_flags & IBV_WC_GRH) == 0
                        ? std::nullopt
                        : roce::parse_network_header(std::span<const std::byte, roce::network_header_bytes>(
                              reinterpret_cast<const std::byte*>(header), roce::network_header_bytes));
  // A datagram to a group came to no GID of ours: the answer leaves from the first one of the family.
  const auto index = [&]() -> std::optional<std::uint32_t> {
    if (shell == nullptr || !came) return std::nullopt;
    const verbs::Device& device = *shell->context->device();
    if (!came->destination.is_multicast()) return device.gid_index(came->destination);
    for (const verbs::GidEntry& entry : device.gids()) {
      if (entry.gid.is_v4() == came->source.is_v4()) return entry.index;
    }
    return std::nullopt;
  }();
  if (!index) {
    errno = EINVAL;
    return -1;
  }
  verbs::AddressVector vector{.destination = came->source,
                              .flow_label = came->flow_label,
                              .source_gid_index = static_cast<std::uint8_t>(*index),
                              .hop_limit = came->hop_limit,
                              .traffic_class = came->traffic_class,
                              .service_level = completion->sl,
                              .port = port,
                              .dlid = completion->slid,
                              .source_path_bits = completion->dlid_path_bits,
                              .is_global = true};
  *attributes = public_address(vector);
  return 0;
}

ibv_ah* ibv_create_ah_from_wc(ibv_pd* pd, ibv_wc* completion, ibv_grh* header, std::uint8_t port) {
  ibv_ah_attr attributes{};
  if (ibv_init_ah_from_wc(pd->context, port, completion, header, &attributes) != 0) return nullptr;
  return ibv_create_ah(pd, &attributes);
}

}  // extern "C"
