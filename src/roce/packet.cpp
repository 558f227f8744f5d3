#include "roce/packet.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/assert.hpp"
#include "base/wire.hpp"

namespace hawser::roce {
namespace {

// --- One description per header, read and written through it (IBTA chapter 9.2 and 9.3).

constexpr std::size_t deth_bytes = 8, reth_bytes = 16, atomic_eth_bytes = 28, aeth_bytes = 4, atomic_ack_eth_bytes = 8,
                      imm_bytes = 4, ieth_bytes = 4;

template <class Io, class T>
void describe_bth(Io& io, T& m) {
  io.field(0, 0, 3, m.opcode.transport);
  io.field(0, 3, 5, m.opcode.operation);
  io.field(1, 0, 1, m.solicited);
  io.field(1, 1, 1, m.migrated);
  io.field(1, 2, 2, m.pad_count);
  io.field(1, 4, 4, m.version);
  io.field(2, 0, 16, m.pkey);
  io.field(4, 0, 1, m.fecn);
  io.field(4, 1, 1, m.becn);
  io.field(4, 2, 6, m.reserved_a);
  io.field(5, 0, 24, m.destination);
  io.field(8, 0, 1, m.ack_request);
  io.field(8, 1, 7, m.reserved_b);
  io.field(9, 0, 24, m.psn);
}
template <class Io, class T>
void describe_deth(Io& io, T& m) {
  io.field(0, 0, 32, m.qkey);
  io.field(4, 0, 8, m.reserved);
  io.field(5, 0, 24, m.source);
}
template <class Io, class T>
void describe_reth(Io& io, T& m) {
  io.field(0, 0, 64, m.virtual_address);
  io.field(8, 0, 32, m.rkey);
  io.field(12, 0, 32, m.length);
}
template <class Io, class T>
void describe_atomic_eth(Io& io, T& m) {
  io.field(0, 0, 64, m.virtual_address);
  io.field(8, 0, 32, m.rkey);
  io.field(12, 0, 64, m.swap_add);
  io.field(20, 0, 64, m.compare);
}
template <class Io, class T>
void describe_aeth(Io& io, T& m) {
  io.field(0, 0, 8, m.syndrome);
  io.field(1, 0, 24, m.msn);
}
template <class Io, class T>
void describe_atomic_ack_eth(Io& io, T& m) {
  io.field(0, 0, 64, m.original);
}
template <class Io, class T>
void describe_ieth(Io& io, T& m) {
  io.field(0, 0, 32, m.rkey);
}
// Immediate data is not a number to us: its bytes are kept in their order.
void describe_imm(WireReader& io, ImmDt& m) { io.bytes(0, std::as_writable_bytes(std::span(&m.data, 1))); }
void describe_imm(WireWriter& io, const ImmDt& m) { io.bytes(0, std::as_bytes(std::span(&m.data, 1))); }

// --- Which extended headers follow the BTH (IBTA table 38), in this order.

struct Layout {
  bool known{}, deth{}, reth{}, atomic_eth{}, aeth{}, atomic_ack_eth{}, imm{}, ieth{};
  [[nodiscard]] constexpr std::size_t bytes() const {
    return bth_bytes + (deth ? deth_bytes : 0) + (reth ? reth_bytes : 0) + (atomic_eth ? atomic_eth_bytes : 0) +
           (aeth ? aeth_bytes : 0) + (atomic_ack_eth ? atomic_ack_eth_bytes : 0) + (imm ? imm_bytes : 0) +
           (ieth ? ieth_bytes : 0);
  }
};

constexpr Layout rc_layout(Operation operation) {
  switch (operation) {
    case Operation::send_first:
    case Operation::send_middle:
    case Operation::send_last:
    case Operation::send_only:
    case Operation::write_middle:
    case Operation::write_last:
    case Operation::read_response_middle: return {.known = true};
    case Operation::send_last_imm:
    case Operation::send_only_imm:
    case Operation::write_last_imm: return {.known = true, .imm = true};
    case Operation::send_last_inv:
    case Operation::send_only_inv: return {.known = true, .ieth = true};
    case Operation::write_first:
    case Operation::write_only:
    case Operation::read_request: return {.known = true, .reth = true};
    case Operation::write_only_imm: return {.known = true, .reth = true, .imm = true};
    case Operation::read_response_first:
    case Operation::read_response_last:
    case Operation::read_response_only:
    case Operation::acknowledge: return {.known = true, .aeth = true};
    case Operation::atomic_acknowledge: return {.known = true, .aeth = true, .atomic_ack_eth = true};
    case Operation::cmp_swap:
    case Operation::fetch_add: return {.known = true, .atomic_eth = true};
  }
  return {};
}

constexpr Layout ud_layout(Operation operation) {
  if (operation == Operation::send_only) return {.known = true, .deth = true};
  if (operation == Operation::send_only_imm) return {.known = true, .deth = true, .imm = true};
  return {};
}

constexpr auto layouts = [] {
  std::array<Layout, 256> table{};
  for (unsigned operation = 0; operation < 32; ++operation) {
    const auto op = static_cast<Operation>(operation);
    table[Opcode{Transport::rc, op}.value()] = rc_layout(op);
    table[Opcode{Transport::ud, op}.value()] = ud_layout(op);
  }
  return table;
}();

// Takes the headers one after another from the front of a buffer.
class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> data) : data_(data) {}
  WireReader next(std::size_t bytes) {
    const WireReader reader(data_.first(bytes));
    data_ = data_.subspan(bytes);
    return reader;
  }

 private:
  std::span<const std::byte> data_;
};

class Encoder {
 public:
  explicit Encoder(std::span<std::byte> data) : data_(data) {}
  WireWriter next(std::size_t bytes) {
    const WireWriter writer(data_.first(bytes));
    data_ = data_.subspan(bytes);
    return writer;
  }

 private:
  std::span<std::byte> data_;
};

void decode_extended(const Layout& layout, Decoder& in, Packet& packet) {
  if (layout.deth) {
    WireReader io = in.next(deth_bytes);
    describe_deth(io, packet.deth.emplace());
  }
  if (layout.reth) {
    WireReader io = in.next(reth_bytes);
    describe_reth(io, packet.reth.emplace());
  }
  if (layout.atomic_eth) {
    WireReader io = in.next(atomic_eth_bytes);
    describe_atomic_eth(io, packet.atomic_eth.emplace());
  }
  if (layout.aeth) {
    WireReader io = in.next(aeth_bytes);
    describe_aeth(io, packet.aeth.emplace());
  }
  if (layout.atomic_ack_eth) {
    WireReader io = in.next(atomic_ack_eth_bytes);
    describe_atomic_ack_eth(io, packet.atomic_ack_eth.emplace());
  }
  if (layout.imm) {
    WireReader io = in.next(imm_bytes);
    describe_imm(io, packet.imm.emplace());
  }
  if (layout.ieth) {
    WireReader io = in.next(ieth_bytes);
    describe_ieth(io, packet.ieth.emplace());
  }
}

bool carries(const Layout& layout, const Packet& packet) {
  return layout.deth == packet.deth.has_value() && layout.reth == packet.reth.has_value() &&
         layout.atomic_eth == packet.atomic_eth.has_value() && layout.aeth == packet.aeth.has_value() &&
         layout.atomic_ack_eth == packet.atomic_ack_eth.has_value() && layout.imm == packet.imm.has_value() &&
         layout.ieth == packet.ieth.has_value();
}

void encode_extended(const Packet& packet, Encoder& out) {
  if (packet.deth) {
    WireWriter io = out.next(deth_bytes);
    describe_deth(io, *packet.deth);
  }
  if (packet.reth) {
    WireWriter io = out.next(reth_bytes);
    describe_reth(io, *packet.reth);
  }
  if (packet.atomic_eth) {
    WireWriter io = out.next(atomic_eth_bytes);
    describe_atomic_eth(io, *packet.atomic_eth);
  }
  if (packet.aeth) {
    WireWriter io = out.next(aeth_bytes);
    describe_aeth(io, *packet.aeth);
  }
  if (packet.atomic_ack_eth) {
    WireWriter io = out.next(atomic_ack_eth_bytes);
    describe_atomic_ack_eth(io, *packet.atomic_ack_eth);
  }
  if (packet.imm) {
    WireWriter io = out.next(imm_bytes);
    describe_imm(io, *packet.imm);
  }
  if (packet.ieth) {
    WireWriter io = out.next(ieth_bytes);
    describe_ieth(io, *packet.ieth);
  }
}

constexpr std::size_t pad_of(std::size_t bytes) { return (4 - bytes % 4) % 4; }

}  // namespace

std::optional<std::size_t> header_bytes(Opcode opcode) {
  const Layout& layout = layouts[opcode.value()];
  if (!layout.known) return std::nullopt;
  return layout.bytes();
}

std::expected<Packet, DecodeError> decode_unverified(std::span<const std::byte> datagram) {
  if (datagram.size() < bth_bytes + icrc_bytes) return std::unexpected(DecodeError::too_short);
  if (datagram.size() > fabric::datagram_bytes_max) return std::unexpected(DecodeError::too_long);
  if (datagram.size() % 4 != 0) return std::unexpected(DecodeError::bad_pad);
  Packet packet;
  Decoder in(datagram);
  WireReader io = in.next(bth_bytes);
  describe_bth(io, packet.bth);
  if (packet.bth.version != 0) return std::unexpected(DecodeError::bad_version);
  const Layout& layout = layouts[packet.bth.opcode.value()];
  if (!layout.known) return std::unexpected(DecodeError::unknown_opcode);
  if (datagram.size() < layout.bytes() + icrc_bytes) return std::unexpected(DecodeError::too_short);
  decode_extended(layout, in, packet);
  const auto padded = datagram.subspan(layout.bytes(), datagram.size() - layout.bytes() - icrc_bytes);
  if (packet.bth.pad_count > padded.size()) return std::unexpected(DecodeError::bad_pad);
  packet.payload = padded.first(padded.size() - packet.bth.pad_count);
  return packet;
}

std::expected<Packet, DecodeError> decode(const fabric::InDatagram& datagram) {
  auto packet = decode_unverified(datagram.payload);
  if (!packet) return packet;
  const IcrcHeaders headers{
      .source = datagram.source, .destination = datagram.destination, .source_port = datagram.source_port};
  if (!solve_icrc(headers, datagram.payload)) return std::unexpected(DecodeError::bad_icrc);
  return packet;
}

std::span<std::byte> encode_headers(const Packet& packet, std::size_t payload_bytes, std::span<std::byte> out) {
  const Layout& layout = layouts[packet.bth.opcode.value()];
  HW_ASSERT(layout.known, "packet-encode-unknown-opcode");
  HW_ASSERT(carries(layout, packet), "packet-encode-wrong-headers");
  HW_ASSERT(layout.bytes() + payload_bytes + pad_of(payload_bytes) + icrc_bytes <= out.size(), "packet-encode-no-room");
  Bth bth = packet.bth;
  bth.pad_count = static_cast<std::uint8_t>(pad_of(payload_bytes));
  Encoder encoder(out);
  WireWriter io = encoder.next(bth_bytes);
  describe_bth(io, bth);
  encode_extended(packet, encoder);
  return out.subspan(layout.bytes(), payload_bytes);
}

std::size_t seal(std::span<std::byte> out, std::size_t unpadded_bytes, const IcrcHeaders& headers) {
  const std::size_t covered = unpadded_bytes + pad_of(unpadded_bytes);  // all headers are multiples of 4 bytes
  std::ranges::fill(out.subspan(unpadded_bytes, covered - unpadded_bytes), std::byte{0});
  store_icrc(out.subspan(covered).first<icrc_bytes>(), icrc(headers, out.first(covered)));
  return covered + icrc_bytes;
}

std::size_t encode(const Packet& packet, const IpAddress& source, const IpAddress& destination,
                   std::uint16_t source_port, std::span<std::byte> out, std::uint16_t identification) {
  const auto payload = encode_headers(packet, packet.payload.size(), out);
  if (!payload.empty()) std::memcpy(payload.data(), packet.payload.data(), payload.size());
  const std::size_t unpadded = static_cast<std::size_t>(payload.data() - out.data()) + payload.size();
  return seal(
      out, unpadded,
      {.source = source, .destination = destination, .source_port = source_port, .identification = identification});
}

}  // namespace hawser::roce
