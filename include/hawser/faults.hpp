// What goes wrong on purpose: `hawser fault` with types. A fault is in force from set() until clear(); what it has done
// can be read back. The same faults, seed and messages, the same outcome.
//
//   Faults faults = stack.faults();
//   const auto lost = faults.set(MessageFault::drop(CmMessage::rep).nth(2).of_port(7471));
//   faults.set(RemoveDevice{"hw_eth0"});
//   if (*faults.effects(*lost) == 1) faults.clear(*lost);
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "hawser/address.hpp"
#include "hawser/cm.hpp"
#include "hawser/error.hpp"

namespace hawser {

class IdRef;
class StackImpl;

// The messages of the connection manager [spec 5].
enum class CmMessage : std::uint8_t { req, rep, rtu, rej, mra, dreq, drep, sidr_req, sidr_rep };
[[nodiscard]] const char* name(CmMessage message);  // "SIDR_REQ"

// Messages that this Stack sends, repetitions included: those of the kind, and of the port and id if it names them,
// counted from 1 from when the fault is set. Answers that no id stands behind (any more) have neither port nor id.
struct MessageFault {
  enum class Action : std::uint8_t { drop, delay, duplicate };
  static constexpr std::uint64_t no_end = std::numeric_limits<std::uint64_t>::max();

  Action action{};
  CmMessage message{};
  std::uint64_t first{1}, last{no_end};  // which ones, both included
  std::optional<double> chance{};        // 0…1: of those, so many by chance; which ones, the seed alone decides
  std::uint64_t seed{};
  std::chrono::nanoseconds by{};        // delay: how long, up to an hour
  std::optional<std::uint16_t> port{};  // the id's source or destination port
  std::optional<IdNumber> id{};         // IdRef::number()

  [[nodiscard]] static MessageFault drop(CmMessage message) { return {.action = Action::drop, .message = message}; }
  [[nodiscard]] static MessageFault delay(CmMessage message, std::chrono::nanoseconds by) {
    return {.action = Action::delay, .message = message, .by = by};
  }
  [[nodiscard]] static MessageFault duplicate(CmMessage message) {
    return {.action = Action::duplicate, .message = message};
  }
  // The same, narrowed.
  [[nodiscard]] MessageFault nth(std::uint64_t n) const { return between(n, n); }
  [[nodiscard]] MessageFault from(std::uint64_t n) const { return between(n, no_end); }
  [[nodiscard]] MessageFault between(std::uint64_t from, std::uint64_t to) const;
  [[nodiscard]] MessageFault by_chance(double probability, std::uint64_t with_seed) const;
  [[nodiscard]] MessageFault of_port(std::uint16_t number) const;
  [[nodiscard]] MessageFault of_id(IdRef whose) const;  // an id without a number: of none

  bool operator==(const MessageFault&) const = default;
};

// Datagrams that this Stack sends, messages of the connection manager and data alike, counted from 0 from when the
// fault is set. `{.loss = 1}` cuts the cable.
struct DatagramFault {
  double loss{}, duplication{};             // probabilities, 0…1
  std::optional<std::uint64_t> lose_nth{};  // exactly this one
  std::vector<bool> lose_bitmap{};          // true: lost; of the first ones
  std::uint64_t seed{};
  bool operator==(const DatagramFault&) const = default;
};

// What changes in the network as this Stack sees it, along the ways of the real thing, and back with clear().
struct RemoveDevice {  // its interface is gone: DEVICE_REMOVAL
  std::string device;  // "hw_eth0"
  bool operator==(const RemoveDevice&) const = default;
};
struct RemoveAddress {  // no interface has it
  IpAddress address;
  bool operator==(const RemoveAddress&) const = default;
};
struct LinkDown {  // the cable is out
  std::string device;
  bool operator==(const LinkDown&) const = default;
};
struct ChangeMac {  // the interface goes on with another one, as a bond that fails over: ADDR_CHANGE
  std::string device;
  bool operator==(const ChangeMac&) const = default;
};
struct MoveNeighbour {  // it answers with another MAC: UNREACHABLE
  IpAddress address;
  bool operator==(const MoveNeighbour&) const = default;
};
struct SilenceNeighbour {  // it does not answer: ADDR_ERROR
  IpAddress address;
  bool operator==(const SilenceNeighbour&) const = default;
};
// A subnet administrator, which RoCE has none of, is asked and does not answer: for the path to an address
// (ROUTE_ERROR), for a service by name (ADDRINFO_ERROR).
struct SilenceRoute {
  IpAddress address;
  bool operator==(const SilenceRoute&) const = default;
};
struct SilenceService {
  std::string name;
  bool operator==(const SilenceService&) const = default;
};
// Connections in timewait are through with it now: TIMEWAIT_EXIT. Done when it is set.
struct EndTimewait {
  bool operator==(const EndTimewait&) const = default;
};

using Fault = std::variant<MessageFault, DatagramFault, RemoveDevice, RemoveAddress, LinkDown, ChangeMac, MoveNeighbour,
                           SilenceNeighbour, SilenceRoute, SilenceService, EndTimewait>;

// "drop=REP:nth=2:port=7471", as HAWSER_FAULT has it.
[[nodiscard]] std::string text_of(const Fault& fault);
// HAWSER_FAULT's notation, commas between faults; datagrams' parts together are one fault. EINVAL: stderr says which
// part is wrong, and what would be right.
[[nodiscard]] Result<std::vector<Fault>> parse_faults(std::string_view text);

using FaultNumber = Named<struct FaultNumberTag, std::uint32_t>;
struct FaultState {
  FaultNumber number;
  Fault fault;
  // How many messages or datagrams it has hit, how often it has changed what the network says, how many connections
  // have left timewait.
  std::uint64_t effects{};
};

// The faults of one Stack. A view: as long as the Stack.
//
// Threading: any thread, and handlers; there, what changes the network does so when the handler has returned.
class Faults {
 public:
  // In force from now on. EINVAL: a device whose name does not begin with hw_, probabilities or a range that are none,
  // a delay of no time or more than an hour.
  Result<FaultNumber> set(const Fault& fault);
  // Another fault in place of that one, under its number: counting begins anew. ENOENT: there is none of this number
  // (any more). EPERM: it is one of `hawser fault`.
  Status change(FaultNumber number, const Fault& fault);
  // Withdraws it. Errors as change().
  Status clear(FaultNumber number);
  // All but those of `hawser fault`. What they have held back is sent when its time comes.
  void clear_all();
  // Those in force: also those of HAWSER_FAULT, and, with an agent, of `hawser fault`.
  [[nodiscard]] std::vector<FaultState> list() const;
  [[nodiscard]] Result<std::uint64_t> effects(FaultNumber number) const;  // ENOENT

 private:
  friend class Stack;
  explicit Faults(StackImpl& stack) : stack_(&stack) {}
  StackImpl* stack_;
};

// Faults of other processes of this host and user: what `hawser fault` does. Needs their agent, not a Stack of one's
// own. ENOENT: no agent runs. EOPNOTSUPP: a DatagramFault.
struct FaultTarget {
  std::int32_t pid{};     // 0: every process
  std::string program{};  // empty: every program; else also those that come
};
struct HostFaultState {
  FaultNumber number;
  FaultTarget target;
  Fault fault;
  std::uint32_t processes{};  // that have it now
  std::uint64_t effects{};    // in all of them, those that have ended included
};
class HostFaults {
 public:
  // In force until it is cleared, or the agent leaves with its last client. EINVAL: as Faults::set(), or a delay that
  // is not of whole milliseconds.
  static Result<FaultNumber> set(const Fault& fault, const FaultTarget& target = {});
  static Status clear(FaultNumber number);  // ENOENT: no such fault, or no agent
  [[nodiscard]] static Result<std::vector<HostFaultState>> list();
};

}  // namespace hawser
