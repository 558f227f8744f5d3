#include "roce/outbox.hpp"

#include "base/assert.hpp"

namespace hawser::roce {

std::span<std::byte> Outbox::begin(Packet& packet, std::size_t payload_bytes) {
  packet.bth.pkey = attributes_.pkey;
  packet.bth.destination = attributes_.remote_qpn;
  std::span<std::byte> buffer = host_.datagram_buffer();
  if (buffer.empty()) {
    if (!own_buffer_) own_buffer_ = std::make_unique<std::array<std::byte, fabric::datagram_bytes_max>>();
    buffer = *own_buffer_;
  }
  HW_ASSERT(buffer.size() >= fabric::datagram_bytes_max, "outbox-small-buffer");
  encode_headers(packet, payload_bytes, buffer);
  return buffer;
}

void Outbox::finish(std::span<std::byte> buffer, std::size_t payload_bytes, const Packet& packet) {
  const std::size_t unpadded = *header_bytes(packet.bth.opcode) + payload_bytes;
  const std::size_t length =
      seal(buffer, unpadded,
           {.source = attributes_.local, .destination = attributes_.remote, .source_port = host_.source_port()});
  host_.transmit({.source = attributes_.local,
                  .destination = attributes_.remote,
                  .interface = attributes_.interface,
                  .traffic_class = attributes_.traffic_class,
                  .hop_limit = attributes_.hop_limit,
                  .payload = buffer.first(length)});
}

}  // namespace hawser::roce
