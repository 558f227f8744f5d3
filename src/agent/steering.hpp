// The program by which the kernel gives each datagram to the right socket of the group (DESIGN 2): classic BPF, made
// anew whenever the leases change. Pure functions.
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace hawser::agent {

// QPNs and communication ids are leased in chunks that their top 12 bits name, so that one table serves both.
inline constexpr std::uint32_t chunk_count = 4096;
inline constexpr unsigned qpn_chunk_bits = 12;      // QPNs in a chunk: 2^12
inline constexpr unsigned comm_id_chunk_bits = 20;  // communication ids in a chunk: 2^20
[[nodiscard]] constexpr std::uint32_t chunk_of_qpn(std::uint32_t qpn) { return (qpn & 0xFFFFFF) >> qpn_chunk_bits; }
[[nodiscard]] constexpr std::uint32_t chunk_of_comm_id(std::uint32_t id) { return id >> comm_id_chunk_bits; }

// Chunks first…last belong to `slot`.
struct ChunkRun {
  std::uint32_t first{}, last{};
  std::uint32_t slot{};
  bool operator==(const ChunkRun&) const = default;
};

// Requests for this service (the lower half of its id; the upper is 0) go to `slot`, past the agent.
struct ServiceOwner {
  std::uint32_t service{};
  std::uint32_t slot{};
  bool operator==(const ServiceOwner&) const = default;
};

struct SteeringProgram {
  std::vector<sock_filter> code;
  // Those did not fit: the agent gets their datagrams and relays them.
  std::size_t runs_left_out{}, services_left_out{};
};

// `runs` are sorted and disjoint, `services` sorted and different; every slot in them must be an index of the group
// (else the kernel falls back to a hash). What belongs to none of them goes to slot 0.
[[nodiscard]] SteeringProgram compile_steering(std::span<const ChunkRun> runs, std::span<const ServiceOwner> services,
                                               std::size_t instructions_max = 4096);

}  // namespace hawser::agent
