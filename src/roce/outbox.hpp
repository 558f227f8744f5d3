// How the two halves of an RcQp send: headers, payload and ICRC straight into the datagram's buffer, then transmit().
// Private to the room. The payload is copied once, and the ICRC is that of the copy: the program may write to its
// memory meanwhile.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "roce/packet.hpp"
#include "roce/rc_qp.hpp"

namespace hawser::roce {

class Outbox {
 public:
  Outbox(RcHost& host, const RcAttributes& attributes) : host_(host), attributes_(attributes) {}

  // Sends `packet` with no payload; destination QPN and P_Key are filled in here.
  void send(Packet packet) {
    const std::span<std::byte> buffer = begin(packet, 0);
    finish(buffer, 0, packet);
  }
  // Sends `packet` with `payload_bytes` of payload that `fill(span)` writes; nothing is sent if `fill` returns false.
  template <class Fill>
  bool send(Packet packet, std::size_t payload_bytes, Fill fill) {
    const std::span<std::byte> buffer = begin(packet, payload_bytes);
    const std::size_t headers = *header_bytes(packet.bth.opcode);
    if (!fill(buffer.subspan(headers, payload_bytes))) return false;
    finish(buffer, payload_bytes, packet);
    return true;
  }

 private:
  std::span<std::byte> begin(Packet& packet, std::size_t payload_bytes);
  void finish(std::span<std::byte> buffer, std::size_t payload_bytes, const Packet& packet);

  RcHost& host_;
  const RcAttributes& attributes_;
  // Only for hosts that hand out no buffers.
  std::unique_ptr<std::array<std::byte, fabric::datagram_bytes_max>> own_buffer_;
};

}  // namespace hawser::roce
