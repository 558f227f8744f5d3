#include "roce/packet.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/world.hpp"

namespace hawser::roce {
namespace {

using Buffer = std::array<std::byte, fabric::datagram_bytes_max>;

const IpAddress source = IpAddress::v4(0x0A000001), destination = IpAddress::v4(0x0A000002);
constexpr std::uint16_t source_port = 0xC123;

fabric::InDatagram datagram(std::span<std::byte> payload) {
  fabric::InDatagram in;
  in.source = source;
  in.destination = destination;
  in.source_port = source_port;
  in.payload = payload;
  return in;
}

Opcode opcode(unsigned value) { return {static_cast<Transport>(value >> 5), static_cast<Operation>(value & 31)}; }

// A packet of this opcode with every field of its headers set to something.
Packet sample(Opcode op, std::span<const std::byte> payload) {
  Packet packet;
  packet.bth = Bth{.opcode = op,
                   .solicited = true,
                   .migrated = true,
                   .pkey = PKey(0x8123),
                   .fecn = true,
                   .becn = true,
                   .reserved_a = 0x2A,
                   .destination = Qpn(0xABCDEF),
                   .ack_request = true,
                   .reserved_b = 0x55,
                   .psn = Psn(0xFEDCBA)};
  packet.payload = payload;
  const auto o = op.operation;
  const auto is = [&](std::initializer_list<Operation> list) { return std::ranges::find(list, o) != list.end(); };
  if (op.transport == Transport::ud) packet.deth = Deth{QKey(0x80010000), 0x77, Qpn(0x123456)};
  if (is({Operation::write_first, Operation::write_only, Operation::write_only_imm, Operation::read_request})) {
    packet.reth = Reth{0x1122334455667788, RKey(0x99AABBCC), 0xDDEEFF00};
  }
  if (is({Operation::cmp_swap, Operation::fetch_add})) {
    packet.atomic_eth = AtomicEth{0x1122334455667788, RKey(0x99AABBCC), 0x0102030405060708, 0x1112131415161718};
  }
  if (is({Operation::read_response_first, Operation::read_response_last, Operation::read_response_only,
          Operation::acknowledge, Operation::atomic_acknowledge})) {
    packet.aeth = Aeth{0x61, 0x789ABC};
  }
  if (o == Operation::atomic_acknowledge) packet.atomic_ack_eth = AtomicAckEth{0x2122232425262728};
  if (is({Operation::send_last_imm, Operation::send_only_imm, Operation::write_last_imm, Operation::write_only_imm})) {
    packet.imm = ImmDt{0x01020304};
  }
  if (is({Operation::send_last_inv, Operation::send_only_inv})) packet.ieth = Ieth{RKey(0x31323334)};
  return packet;
}

void expect_equal(const Packet& a, const Packet& b) {
  const auto bth = [](const Bth& h) {
    return std::tuple(h.opcode.value(), h.solicited, h.migrated, h.version, h.pkey, h.fecn, h.becn, h.reserved_a,
                      h.destination, h.ack_request, h.reserved_b, h.psn);
  };
  EXPECT_EQ(bth(a.bth), bth(b.bth));
  const auto same = [](const auto& x, const auto& y, auto fields) {
    return x.has_value() == y.has_value() && (!x || fields(*x) == fields(*y));
  };
  EXPECT_TRUE(same(a.deth, b.deth, [](const Deth& h) { return std::tuple(h.qkey, h.reserved, h.source); }));
  EXPECT_TRUE(same(a.reth, b.reth, [](const Reth& h) { return std::tuple(h.virtual_address, h.rkey, h.length); }));
  EXPECT_TRUE(same(a.atomic_eth, b.atomic_eth,
                   [](const AtomicEth& h) { return std::tuple(h.virtual_address, h.rkey, h.swap_add, h.compare); }));
  EXPECT_TRUE(same(a.aeth, b.aeth, [](const Aeth& h) { return std::tuple(h.syndrome, h.msn); }));
  EXPECT_TRUE(same(a.atomic_ack_eth, b.atomic_ack_eth, [](const AtomicAckEth& h) { return h.original; }));
  EXPECT_TRUE(same(a.imm, b.imm, [](const ImmDt& h) { return h.data; }));
  EXPECT_TRUE(same(a.ieth, b.ieth, [](const Ieth& h) { return h.rkey; }));
  EXPECT_TRUE(std::ranges::equal(a.payload, b.payload));
}

TEST(Packet, EveryOpcodeAndPadSurvivesTheWire) {
  std::array<std::byte, 7> payload{};
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::byte>(0xA0 + i);
  int known = 0;
  for (unsigned value = 0; value < 256; ++value) {
    const auto headers = header_bytes(opcode(value));
    if (!headers) continue;
    ++known;
    for (std::size_t length = 0; length <= payload.size(); ++length) {
      const Packet packet = sample(opcode(value), std::span(payload).first(length));
      Buffer buffer;
      buffer.fill(std::byte{0xEE});
      const std::size_t bytes = encode(packet, source, destination, source_port, buffer);
      EXPECT_EQ(bytes, *headers + (length + 3) / 4 * 4 + icrc_bytes);
      const auto decoded = decode(datagram(std::span(buffer).first(bytes)));
      ASSERT_TRUE(decoded) << value;
      EXPECT_EQ(decoded->bth.pad_count, (4 - length % 4) % 4);
      expect_equal(packet, *decoded);
      for (std::size_t i = *headers + length; i < bytes - icrc_bytes; ++i) EXPECT_EQ(buffer[i], std::byte{0});
    }
  }
  EXPECT_EQ(known, 23 + 2);  // RC and UD
}

TEST(Packet, FieldsLieWhereIbtaPutsThem) {  // [spec 5.1.1]
  const std::array<std::byte, 1> payload{std::byte{0x5A}};
  Packet packet = sample(opcode(0x0B), payload);  // RC RDMA WRITE Only with Immediate
  packet.imm->data = 0;
  const std::array<std::byte, 4> imm{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  std::ranges::copy(imm, std::as_writable_bytes(std::span(&packet.imm->data, 1)).begin());
  Buffer buffer;
  encode(packet, source, destination, source_port, buffer);
  const std::vector<int> expected{0x0B, 0xF0, 0x81, 0x23, 0xEA, 0xAB, 0xCD, 0xEF, 0xD5, 0xFE, 0xDC, 0xBA,  // BTH
                                  0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC,  // RETH
                                  0xDD, 0xEE, 0xFF, 0x00, 1,    2,    3,    4,    0x5A, 0,    0,    0};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(std::to_integer<int>(buffer[i]), expected[i]) << i;
}

TEST(Packet, UnknownOpcodesAreRefused) {
  for (unsigned value = 0; value < 256; ++value) {
    if (header_bytes(opcode(value))) continue;
    std::vector<std::byte> bytes(64);
    bytes[0] = static_cast<std::byte>(value);
    const auto decoded = decode(datagram(bytes));
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error(), DecodeError::unknown_opcode) << value;
  }
}

TEST(Packet, EveryPrefixIsRefused) {
  const std::array<std::byte, 9> payload{};
  for (unsigned value = 0; value < 256; ++value) {
    if (!header_bytes(opcode(value))) continue;
    Buffer buffer;
    const std::size_t bytes = encode(sample(opcode(value), payload), source, destination, source_port, buffer);
    for (std::size_t length = 0; length < bytes; ++length) {
      EXPECT_FALSE(decode(datagram(std::span(buffer).first(length)))) << value << " " << length;
    }
  }
}

TEST(Packet, WrongVersionPadAndLengthAreRefused) {
  Buffer buffer;
  const std::size_t bytes = encode(sample(opcode(0x04), {}), source, destination, source_port, buffer);
  const auto error = [&](std::size_t length) { return decode(datagram(std::span(buffer).first(length))).error(); };
  buffer[1] = std::byte{0x01};
  EXPECT_EQ(error(bytes), DecodeError::bad_version);
  buffer[1] = std::byte{0x10};  // one byte of pad where there is no payload
  EXPECT_EQ(error(bytes), DecodeError::bad_pad);
  buffer[1] = std::byte{0};
  EXPECT_EQ(error(bytes + 2), DecodeError::bad_pad);
  EXPECT_EQ(error(bytes), DecodeError::bad_icrc);  // the bits that sample() had set are gone
  std::vector<std::byte> huge(fabric::datagram_bytes_max + 4);
  EXPECT_EQ(decode(datagram(huge)).error(), DecodeError::too_long);
}

TEST(Packet, AnotherAddressOrPortIsAnotherIcrc) {
  std::array<std::byte, 4> payload{};
  Buffer buffer;
  const std::size_t bytes = encode(sample(opcode(0x04), payload), source, destination, source_port, buffer);
  fabric::InDatagram in = datagram(std::span(buffer).first(bytes));
  ASSERT_TRUE(decode(in));
  in.source_port = 0xC124;
  EXPECT_FALSE(decode(in));
  in = datagram(std::span(buffer).first(bytes));
  in.source = IpAddress::v4(0x0B000001);
  EXPECT_FALSE(decode(in));
}

TEST(Packet, RandomBytesNeverCrash) {
  const auto world = rt::World::simulated(20);
  for (int i = 0; i < 200'000; ++i) {
    std::vector<std::byte> bytes(world->random() % 80);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(world->random());
    if (!bytes.empty() && i % 2 == 0) bytes[0] &= std::byte{0x7F};
    const auto decoded = decode_unverified(bytes);
    if (decoded) {
      EXPECT_LE(decoded->payload.size(), bytes.size());
    }
    EXPECT_TRUE(decoded || !decode(datagram(bytes)));
  }
}

}  // namespace
}  // namespace hawser::roce
