#include "agent/socket_group.hpp"

#include <sys/socket.h>

#include <array>

#include "agent/ledger_memory.hpp"
#include "base/log.hpp"
#include "fabric/udp_posix.hpp"

namespace hawser::agent {
namespace {

// A message of the flight: what follows it and for which slots. The descriptors of a slot are its socket and ledger.
struct FlightMessage {
  std::uint32_t magic;
  std::uint32_t first_slot;  // slots first_slot … first_slot + count - 1
  std::uint32_t count;       // 0: the descriptor is the lease table
};
constexpr std::uint32_t flight_magic = 0x48574631;  // "HWF1"

[[nodiscard]] Status put_in_flight(int flight, const FlightMessage& message, std::span<const int> descriptors) {
  return send_message(flight, std::as_bytes(std::span(&message, 1)), descriptors, MSG_DONTWAIT);
}

}  // namespace

Result<SocketGroup> SocketGroup::create() {
  {
    // SO_REUSEPORT would let us join a group that somebody of our uid still holds, as a socket of unknown index.
    auto probe = fabric::open_udp_socket({});
    if (!probe) return fail(probe.error());
    Descriptor closes(*probe);
  }
  auto leases = LeaseTable::create();
  if (!leases) return fail(leases.error());
  auto flight = make_channel_pair();
  if (!flight) return fail(flight.error());
  SocketGroup group(std::move(*leases), std::move(flight->ours), std::move(flight->theirs));
  const int table = group.leases_.descriptor();
  if (auto sent = put_in_flight(group.flight_in(), {flight_magic, 0, 0}, {&table, 1}); !sent) return fail(sent.error());
  while (group.size() < sockets_min) {
    if (auto grown = group.grow(); !grown) return fail(grown.error());
  }
  if (auto steered = group.steer(); !steered) return fail(steered.error());
  return group;
}

Result<SocketGroup> SocketGroup::adopt(Descriptor flight_in, Descriptor flight_out) {
  // Peeking copies the descriptors and leaves the originals where they are, for the next successor.
  int offset = 0;
  if (setsockopt(flight_out.get(), SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) != 0) return fail(errno);
  std::optional<LeaseTable> leases;
  std::vector<Member> members;
  for (;;) {
    FlightMessage message{};
    auto received =
        receive_message(flight_out.get(), std::as_writable_bytes(std::span(&message, 1)), MSG_PEEK | MSG_DONTWAIT);
    if (!received) {
      if (errno_of(received) == EAGAIN) break;
      return fail(received.error());
    }
    if (received->bytes.empty()) break;  // the dead agent's end is closed: that was all
    auto& descriptors = received->descriptors;
    if (received->bytes.size() != sizeof message || message.magic != flight_magic) return fail(EINVAL);
    if (message.count == 0 && descriptors.size() == 1 && !leases) {
      auto table = LeaseTable::adopt(std::move(descriptors[0]));
      if (!table) return fail(table.error());
      leases.emplace(std::move(*table));
      continue;
    }
    if (message.first_slot != members.size() || descriptors.size() != 2UL * message.count) return fail(EINVAL);
    for (std::size_t i = 0; i + 1 < descriptors.size(); i += 2) {
      members.push_back({std::move(descriptors[i]), std::move(descriptors[i + 1])});
    }
  }
  if (!leases || members.empty()) return fail(EINVAL);
  SocketGroup group(std::move(*leases), std::move(flight_in), std::move(flight_out));
  group.members_ = std::move(members);
  return group;
}

Status SocketGroup::grow() {
  if (size() + sockets_per_step > slot_count_max) return fail(EMFILE);
  FlightMessage message{flight_magic, size(), 0};
  std::vector<int> descriptors;
  Status status;
  for (; message.count < sockets_per_step; ++message.count) {
    auto socket = fabric::open_udp_socket({.reuse_port = true});
    if (!socket) {
      status = fail(socket.error());
      break;
    }
    Descriptor owned(*socket);
    auto ledger = create_ledger();
    if (!ledger) return fail(ledger.error());
    members_.push_back({std::move(owned), std::move(*ledger)});
    descriptors.push_back(members_.back().socket.get());
    descriptors.push_back(members_.back().ledger.get());
  }
  if (message.count == 0) return status;
  return put_in_flight(flight_in(), message, descriptors);
}

Status SocketGroup::steer(std::span<const ServiceOwner> services) {
  const std::vector<ChunkRun> runs = leases_.runs();
  // The kernel limits a program's size by net.core.optmem_max as well.
  for (std::size_t instructions = 4096; instructions >= 64; instructions /= 2) {
    SteeringProgram program = compile_steering(runs, services, instructions);
    const sock_fprog code{static_cast<unsigned short>(program.code.size()), program.code.data()};
    if (setsockopt(socket(0), SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &code, sizeof code) == 0) {
      steering_ = {.attached = steering_.attached + 1,
                   .instructions = program.code.size(),
                   .services = services.size() - program.services_left_out,
                   .runs_left_out = program.runs_left_out,
                   .services_left_out = program.services_left_out};
      if (program.runs_left_out != 0) log::debug("{} lease runs are not steered but relayed", program.runs_left_out);
      return {};
    }
    if (errno != ENOMEM) return fail(errno);
  }
  return fail(ENOMEM);
}

void SocketGroup::drain(std::uint32_t slot) {
  std::byte nothing{};
  while (recv(socket(slot), &nothing, 1, MSG_DONTWAIT | MSG_TRUNC) >= 0) {
  }
}

}  // namespace hawser::agent
