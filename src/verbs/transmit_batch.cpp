#include "verbs/transmit_batch.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "roce/packet.hpp"

namespace hawser::verbs {
namespace {

// The first byte of a BTH: an RC READ response, acknowledge or atomic acknowledge.
bool is_answer(std::byte opcode) {
  const auto value = std::to_integer<unsigned>(opcode);
  return value >= static_cast<unsigned>(roce::Operation::read_response_first) &&
         value <= static_cast<unsigned>(roce::Operation::atomic_acknowledge);
}

}  // namespace

std::span<std::byte> TransmitBatch::next_buffer() {
  if (count_ == datagrams_max) flush();
  return {buffers_.get() + count_ * fabric::datagram_bytes_max, fabric::datagram_bytes_max};
}

void TransmitBatch::add(const fabric::OutDatagram& datagram) {
  const std::span<std::byte> buffer = next_buffer();
  HW_ASSERT(!datagram.payload.empty() && datagram.payload.size() <= buffer.size(), "batch-datagram-size");
  datagrams_[count_] = datagram;
  if (datagram.payload.data() != buffer.data()) {
    std::ranges::copy(datagram.payload, buffer.begin());
    datagrams_[count_].payload = buffer.first(datagram.payload.size());
  }
  has_requests_ |= !is_answer(datagram.payload.front());
  ++count_;
}

void TransmitBatch::flush() {
  if (count_ > 0) fabric_.send(std::span(datagrams_).first(count_));
  count_ = 0;
  has_requests_ = false;
}

}  // namespace hawser::verbs
