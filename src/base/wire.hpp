// Big-endian fields at byte and bit offsets, IBTA notation: bit 0 is the most significant bit of a byte.
// A wire message is described once, as a template over the direction:
//
//   template <class Io> void describe(Io& io, Rep& m) {   // Rep or const Rep
//     io.field(0, 0, 32, m.local_comm_id);                //  byte, bit, width in bits, member
//     io.field(27, 0, 3, m.rnr_retry_count);
//     io.bytes(36, m.private_data);
//   }
//
// WireReader fills the members from bytes, WireWriter the bytes from members.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "base/assert.hpp"
#include "base/ip.hpp"
#include "base/types.hpp"

namespace hawser {

// Reads WIDTH bits (1…64) that start BIT bits into byte BYTE. The caller has checked that they lie within `data`.
[[nodiscard]] constexpr std::uint64_t read_bits(std::span<const std::byte> data, std::size_t byte, unsigned bit,
                                                unsigned width) {
  std::uint64_t value = 0;
  std::size_t position = byte * 8 + bit;
  while (width > 0) {
    const unsigned offset = static_cast<unsigned>(position % 8);
    const unsigned take = std::min(width, 8 - offset);
    const unsigned chunk = (std::to_integer<unsigned>(data[position / 8]) >> (8 - offset - take)) & ((1U << take) - 1);
    value = value << take | chunk;
    position += take;
    width -= take;
  }
  return value;
}

constexpr void write_bits(std::span<std::byte> data, std::size_t byte, unsigned bit, unsigned width,
                          std::uint64_t value) {
  std::size_t end = byte * 8 + bit + width;
  while (width > 0) {
    const unsigned last = static_cast<unsigned>((end - 1) % 8);  // last bit of this piece, from the left
    const unsigned take = std::min(width, last + 1);
    const unsigned shift = 7 - last;
    const unsigned mask = ((1U << take) - 1) << shift;
    std::byte& target = data[(end - 1) / 8];
    target = static_cast<std::byte>((std::to_integer<unsigned>(target) & ~mask) |
                                    ((static_cast<unsigned>(value) << shift) & mask));
    value >>= take;
    end -= take;
    width -= take;
  }
}

class WireReader {
 public:
  explicit constexpr WireReader(std::span<const std::byte> data) : data_(data) {}
  template <class T>
  constexpr void field(std::size_t byte, unsigned bit, unsigned width, T& member) {
    const std::uint64_t value = read_bits(data_, byte, bit, width);
    if constexpr (requires { member.value; }) {
      member = T(static_cast<decltype(member.value)>(value));
    } else {
      member = static_cast<T>(value);
    }
  }
  constexpr void bytes(std::size_t byte, std::span<std::byte> member) {
    std::ranges::copy(data_.subspan(byte, member.size()), member.begin());
  }
  constexpr void bytes(std::size_t byte, IpAddress& member) {
    for (std::size_t i = 0; i < 16; ++i) member.bytes[i] = std::to_integer<std::uint8_t>(data_[byte + i]);
  }

 private:
  std::span<const std::byte> data_;
};

class WireWriter {
 public:
  explicit constexpr WireWriter(std::span<std::byte> data) : data_(data) {}
  template <class T>
  constexpr void field(std::size_t byte, unsigned bit, unsigned width, const T& member) {
    if constexpr (requires { member.value; }) {
      write_bits(data_, byte, bit, width, member.value);
    } else {
      write_bits(data_, byte, bit, width, static_cast<std::uint64_t>(member));
    }
  }
  constexpr void bytes(std::size_t byte, std::span<const std::byte> member) {
    std::ranges::copy(member, data_.begin() + static_cast<std::ptrdiff_t>(byte));
  }
  constexpr void bytes(std::size_t byte, const IpAddress& member) {
    for (std::size_t i = 0; i < 16; ++i) data_[byte + i] = std::byte{member.bytes[i]};
  }

 private:
  std::span<std::byte> data_;
};

}  // namespace hawser
