// What processes and their agent say to one another (docs/agent-protocol.md): one message per packet of a unix
// SOCK_SEQPACKET, a header and fields in host byte order. Reading checks every bound: the other side may be hostile.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.hpp"
#include "cm/ledger.hpp"
#include "cma/port_arbiter.hpp"
#include "fabric/fabric.hpp"

namespace hawser::agent {

inline constexpr std::uint16_t protocol_version = 6;
inline constexpr std::size_t message_bytes_max = 8192;  // the largest datagram and its addresses fit
inline constexpr std::size_t message_descriptors_max = 32;
inline constexpr std::size_t program_bytes_max = 64;
inline constexpr std::size_t explanation_bytes_max = 1000;

enum class MessageType : std::uint16_t {
  // Requests of a process. Each is answered by one `reply` with the same sequence, unless noted.
  hello = 1,             // program → slot, host identity, first chunk; descriptors: WelcomeDescriptors
  resume = 2,            // slot, program; descriptors: the flight's two ends → host identity; descriptor: event channel
  resumed = 3,           // bindings are restored
  lease_chunk = 4,       // → chunk
  bind = 5,              // handle, PortRequest → port
  listen = 6,            // handle
  unlisten = 7,          // handle
  set_option = 8,        // handle, PortOption, value
  release = 9,           // handle
  release_quietly = 10,  // handle; no reply
  goodbye = 11,          // no reply
  query = 12,            // → report_process…, report_counters…, report_id…, report_end
  restore = 13,          // between resume and resumed: (handle, listening, PortRequest)…; no reply
  fault_set = 14,        // pid (0: any), program ("": any), fault → number, processes that have it now
  fault_clear = 15,      // number (0: all) → how many there were
  fault_query = 16,      // → report_fault…, report_end
  fault_state = 17,      // of a process: number, effects so far, pid and program (as set), fault; no reply
  ask_peer = 18,         // on the event channel: chunk → peer_state there
  // Of the agent.
  reply = 100,            // errno (0: success), then what the request says
  relay = 101,            // on the event channel: a datagram with its original addresses
  report_process = 102,   // pid, slot, program
  report_id = 103,        // pid, program, LedgerRecord
  report_end = 104,       // pid of the agent
  report_counters = 105,  // pid (the agent's own too), then group, name, value of each
  set_fault = 106,        // on the event channel: number, pid, program, fault
  clear_fault = 107,      // on the event channel: number
  report_fault = 108,     // number, pid, program, processes that have it, effects, fault
  peer_state = 109,       // on the event channel: chunk, whether its process is stopped
};

// Which descriptor is which in the answer to hello.
enum WelcomeDescriptors : std::size_t {
  welcome_event = 0,       // the event channel
  welcome_socket = 1,      // the slot's UDP socket
  welcome_ledger = 2,      // the slot's ledger memory
  welcome_flight_in = 3,   // the end of the flight that descriptors are put into
  welcome_flight_out = 4,  // the end where they wait for a successor
  welcome_descriptors = 5,
};

class MessageWriter {
 public:
  MessageWriter(MessageType type, std::uint32_t sequence);
  template <std::integral T>
  MessageWriter& put(T value) {
    return raw(&value, sizeof value);
  }
  MessageWriter& text(std::string_view value);       // cut at program_bytes_max
  MessageWriter& long_text(std::string_view value);  // must be the last field; cut at explanation_bytes_max
  MessageWriter& address(const IpAddress& value) { return raw(value.bytes.data(), value.bytes.size()); }
  MessageWriter& socket_address(const SocketAddress& value);
  MessageWriter& port_request(const cma::PortRequest& value);
  MessageWriter& record(const cm::LedgerRecord& value) { return raw(&value, sizeof value); }
  MessageWriter& datagram(const fabric::InDatagram& value);  // must be the last field
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  MessageWriter& raw(const void* data, std::size_t size);
  std::vector<std::byte> bytes_;
};

// Fields that lie behind the end or have impossible values read as zero and make good() false.
class MessageReader {
 public:
  // nullopt: no message of this version of the protocol. `data` outlives the reader.
  [[nodiscard]] static std::optional<MessageReader> open(std::span<std::byte> data);
  // Of any version's message; nullopt: it is none.
  [[nodiscard]] static std::optional<std::uint16_t> version(std::span<std::byte> data);
  [[nodiscard]] MessageType type() const { return type_; }
  [[nodiscard]] std::uint32_t sequence() const { return sequence_; }

  template <std::integral T>
  [[nodiscard]] T get() {
    T value{};
    raw(&value, sizeof value);
    return value;
  }
  [[nodiscard]] std::string text();
  [[nodiscard]] std::string long_text();
  [[nodiscard]] IpAddress address();
  [[nodiscard]] SocketAddress socket_address();
  [[nodiscard]] cma::PortOption port_option();
  [[nodiscard]] cma::PortRequest port_request();
  [[nodiscard]] cm::LedgerRecord record();
  [[nodiscard]] fabric::InDatagram datagram();  // its payload points into the message

  [[nodiscard]] bool good() const { return good_; }
  // Everything was read, nothing was missing.
  [[nodiscard]] bool complete() const { return good_ && rest_.empty(); }

 private:
  explicit MessageReader(std::span<std::byte> data) : rest_(data) {}
  void raw(void* out, std::size_t size);

  std::span<std::byte> rest_;
  bool good_ = true;
  MessageType type_{};
  std::uint32_t sequence_{};
};

}  // namespace hawser::agent
