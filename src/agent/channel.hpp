// Unix SOCK_SEQPACKET sockets: where an agent is found, who is on the other side, and messages with descriptors.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "agent/descriptor.hpp"
#include "agent/protocol.hpp"
#include "base/result.hpp"

namespace hawser::agent {

struct Peer {
  pid_t pid{};
  uid_t uid{};
};

// The agent of the caller's network namespace (abstract names are per namespace) and effective uid.
[[nodiscard]] Result<Descriptor> connect_to_agent();  // ECONNREFUSED: none runs; EPERM: the name is somebody else's
[[nodiscard]] Result<Descriptor> listen_as_agent();   // EADDRINUSE: one runs. Non-blocking
// One that is there to be closed when no more can be had.
[[nodiscard]] Descriptor reserve_descriptor();
struct ChannelPair {
  Descriptor ours, theirs;
};
[[nodiscard]] Result<ChannelPair> make_channel_pair();
[[nodiscard]] Result<Peer> peer_of(int channel);
// Readable when the process at the other end is gone, whoever holds its descriptors.
[[nodiscard]] Result<Descriptor> pidfd_of_peer(int channel);
[[nodiscard]] Result<Descriptor> pidfd_of(pid_t pid);

// One message. EAGAIN on a non-blocking channel that is full; EPIPE, ECONNRESET when the other side is gone.
[[nodiscard]] Status send_message(int channel, std::span<const std::byte> message,
                                  std::span<const int> descriptors = {}, int flags = 0);

struct Received {
  std::span<std::byte> bytes;  // empty: the other side is gone
  std::vector<Descriptor> descriptors;
};
// The next message into `buffer`. EAGAIN if there is none (non-blocking, or with MSG_DONTWAIT); EMSGSIZE if it was
// longer than the buffer. With MSG_PEEK the message stays and its descriptors are copies.
[[nodiscard]] Result<Received> receive_message(int channel, std::span<std::byte> buffer, int flags = 0);

}  // namespace hawser::agent
