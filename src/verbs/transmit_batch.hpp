// Datagrams that leave in one Fabric::send().
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "fabric/fabric.hpp"

namespace hawser::verbs {

// Not thread-safe: it belongs to the call that fills it.
class TransmitBatch {
 public:
  explicit TransmitBatch(fabric::Fabric& fabric)
      : fabric_(fabric),
        buffers_(std::make_unique_for_overwrite<std::byte[]>(datagrams_max * fabric::datagram_bytes_max)) {}

  // Where the next datagram may be written.
  [[nodiscard]] std::span<std::byte> next_buffer();
  // Adds a datagram; its payload is next_buffer()'s memory or is copied.
  void add(const fabric::OutDatagram& datagram);
  void flush();

  // Whether a request (not an answer) is among what has not been flushed. Requests of one QP come from several threads,
  // so they must leave before the QP's lock is released; answers come from the holder of the receive lease only.
  [[nodiscard]] bool has_requests() const { return has_requests_; }

 private:
  static constexpr std::size_t datagrams_max = 32;

  fabric::Fabric& fabric_;
  std::unique_ptr<std::byte[]> buffers_;
  std::array<fabric::OutDatagram, datagrams_max> datagrams_;
  std::size_t count_ = 0;
  bool has_requests_ = false;
};

}  // namespace hawser::verbs
