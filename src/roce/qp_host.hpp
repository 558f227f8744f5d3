// What the protocol engine of a queue pair needs of the objects around it, whatever its transport.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/types.hpp"
#include "fabric/fabric.hpp"
#include "roce/work.hpp"

namespace hawser::roce {

// Called under the owner's lock (verbs::Qp).
class QpHost {
 public:
  virtual ~QpHost() = default;
  // The bytes of [addr, addr+length) in a memory region of the QP's protection domain that allows `access_flags`;
  // nullptr if the key, the range or the rights are wrong. Valid until the call that got it returns.
  virtual std::byte* local_memory(LKey key, std::uint64_t addr, std::uint32_t length, std::uint32_t access_flags) = 0;
  // The next posted receive, from the QP's queue or its SRQ.
  virtual std::optional<RecvWork> take_receive() = 0;
  virtual void complete_send(const Completion& completion) = 0;
  virtual void complete_receive(const Completion& completion) = 0;
  // Where the engine writes the next datagram: at least fabric::datagram_bytes_max bytes. It asks for the next buffer
  // only after it transmitted the datagram in this one or gave it up. Empty: the engine uses a buffer of its own, and
  // transmit() must copy what it keeps.
  virtual std::span<std::byte> datagram_buffer() { return {}; }
  // Sent in this order; may be batched until the owner's lock is released.
  virtual void transmit(const fabric::OutDatagram& datagram) = 0;
  // The send queue has drained after SQD.
  virtual void send_queue_drained() = 0;
  // The UDP source port of what transmit() sends (Fabric::source_port()): the ICRC covers it.
  [[nodiscard]] virtual std::uint16_t source_port() const = 0;
};

}  // namespace hawser::roce
