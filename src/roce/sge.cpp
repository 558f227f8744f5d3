#include "roce/sge.hpp"

#include <algorithm>
#include <cstring>

namespace hawser::roce {
namespace {

// Calls touch(memory, position, length) for every piece of [offset, offset + bytes); false if a piece has no memory or
// the list is too short.
template <class Touch>
bool walk(QpHost& host, const SgeList& sges, std::uint64_t offset, std::size_t bytes, std::uint32_t access_flags,
          Touch touch) {
  std::size_t done = 0;
  for (const Sge& sge : sges) {
    if (done == bytes) break;
    if (offset >= sge.length) {
      offset -= sge.length;
      continue;
    }
    const auto length = static_cast<std::uint32_t>(std::min<std::uint64_t>(sge.length - offset, bytes - done));
    std::byte* memory = host.local_memory(sge.lkey, sge.addr + offset, length, access_flags);
    if (memory == nullptr) return false;
    touch(memory, done, length);
    done += length;
    offset = 0;
  }
  return done == bytes;
}

}  // namespace

std::uint64_t total_bytes(const SgeList& sges) {
  std::uint64_t total = 0;
  for (const Sge& sge : sges) total += sge.length;
  return total;
}

bool gather(QpHost& host, const SgeList& sges, std::uint64_t offset, std::span<std::byte> out) {
  return walk(host, sges, offset, out.size(), 0, [&](const std::byte* memory, std::size_t at, std::size_t length) {
    std::memcpy(out.data() + at, memory, length);
  });
}

bool scatter(QpHost& host, const SgeList& sges, std::uint64_t offset, std::span<const std::byte> data) {
  return walk(
      host, sges, offset, data.size(), access::local_write,
      [&](std::byte* memory, std::size_t at, std::size_t length) { std::memcpy(memory, data.data() + at, length); });
}

}  // namespace hawser::roce
