#include "verbs/gsi.hpp"

#include <algorithm>

#include "roce/packet.hpp"
#include "verbs/count.hpp"

namespace hawser::verbs {
namespace {

constexpr roce::Opcode mad_opcode{.transport = roce::Transport::ud, .operation = roce::Operation::send_only};

}  // namespace

// [spec 5.1.2, 5.1.3]
void Gsi::send_through(fabric::Fabric& fabric, const MadAddress& to, const Mad& mad) {
  roce::Packet packet;
  packet.bth.opcode = mad_opcode;
  packet.bth.destination = qpn_gsi;
  packet.bth.psn = Psn(next_psn_.fetch_add(1, std::memory_order_relaxed));
  packet.deth = roce::Deth{.qkey = qkey_gsi, .source = qpn_gsi};
  packet.payload = mad;

  std::array<std::byte, 2 * mad_bytes> buffer;
  const std::size_t bytes = roce::encode(packet, to.local, to.remote, fabric.source_port(), buffer);
  const fabric::OutDatagram datagram{.source = to.local,
                                     .destination = to.remote,
                                     .interface = to.interface,
                                     .traffic_class = to.traffic_class,
                                     .hop_limit = to.hop_limit,
                                     .payload = std::span(buffer).first(bytes)};
  if (fabric.send({&datagram, 1}) == 1) count(sent_);
}

// [spec 5.1.2-5.1.5, 5.8.1]
void Gsi::on_datagram(const fabric::InDatagram& datagram) {
  const auto packet = roce::decode_unverified(datagram.payload);
  if (!packet || packet->bth.opcode != mad_opcode || !packet->deth || packet->payload.size() != mad_bytes) {
    return count(malformed_);
  }
  if (packet->deth->qkey != qkey_gsi) return count(bad_key_);
  const DevicePtr device = devices_.find_by_address(datagram.destination, datagram.interface);
  if (!device) return count(unknown_address_);
  count(received_);
  if (!receiver_) return;

  Mad mad;
  std::ranges::copy(packet->payload, mad.begin());
  const bool scoped = fabric::needs_interface(datagram.destination, datagram.source);
  const MadAddress from{.local = datagram.destination,
                        .remote = datagram.source,
                        .interface = scoped ? datagram.interface : 0,
                        .traffic_class = datagram.traffic_class};
  receiver_(device, from, mad);
}

std::optional<Mad> Gsi::quoted(std::span<const std::byte> payload) {
  const auto packet = roce::decode_unverified(payload);
  if (!packet || packet->bth.opcode != mad_opcode || packet->payload.size() != mad_bytes) return std::nullopt;
  Mad mad;
  std::ranges::copy(packet->payload, mad.begin());
  return mad;
}

GsiCounters Gsi::counters() const {
  return {.mads_sent = sent_.load(),
          .mads_received = received_.load(),
          .dropped_malformed = malformed_.load(),
          .dropped_bad_key = bad_key_.load(),
          .dropped_unknown_address = unknown_address_.load()};
}

}  // namespace hawser::verbs
