// The general services interface (QP 1) of all devices of a Stack: 256-byte MADs out and in.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/ip.hpp"
#include "fabric/fabric.hpp"
#include "verbs/device.hpp"

namespace hawser::verbs {

inline constexpr std::size_t mad_bytes = 256;
using Mad = std::array<std::byte, mad_bytes>;

// Where a MAD goes, or where one came from (so that a reply is the same with local and remote as they are).
struct MadAddress {
  Gid local;
  Gid remote;
  std::uint32_t interface{};  // index; for link-local addresses
  std::uint8_t traffic_class{};
  std::uint8_t hop_limit{64};
  bool operator==(const MadAddress&) const = default;
};

struct GsiCounters {
  std::uint64_t mads_sent{}, mads_received{}, dropped_malformed{}, dropped_bad_key{}, dropped_unknown_address{};
};

// Encodes MADs as UD SEND Only QP1 → QP1 (Q_Key 0x80010000, P_Key 0xFFFF) and hands arriving ones up. Thread-safe.
class Gsi {
 public:
  Gsi(fabric::Fabric& fabric, DeviceTable& devices) : fabric_(fabric), devices_(devices) {}

  // What the local stack does not take (no route, buffers full) is lost as on the wire.
  void send(const MadAddress& to, const Mad& mad) { send_through(fabric_, to, mad); }
  // By another way than everything else, with the source port of that.
  void send_through(fabric::Fabric& fabric, const MadAddress& to, const Mad& mad);

  // Called in a data-path context: it must only queue (DESIGN 1). `device` owns the address the MAD was sent to. Set
  // before the first packet.
  using Receiver = std::function<void(const DevicePtr& device, const MadAddress& from, const Mad& mad)>;
  void set_receiver(Receiver receiver) { receiver_ = std::move(receiver); }

  // A datagram whose destination QP is 1 and whose ICRC is verified, from the RoCE demultiplexer or relayed by the
  // agent.
  void on_datagram(const fabric::InDatagram& datagram);
  // The MAD in a UDP payload that came back quoted, ICRC or not. nullopt: it is none, or was cut short.
  [[nodiscard]] static std::optional<Mad> quoted(std::span<const std::byte> payload);
  [[nodiscard]] GsiCounters counters() const;

 private:
  fabric::Fabric& fabric_;
  DeviceTable& devices_;
  Receiver receiver_;
  std::atomic<std::uint32_t> next_psn_{0};
  std::atomic<std::uint64_t> sent_{0}, received_{0}, malformed_{0}, bad_key_{0}, unknown_address_{0};
};

}  // namespace hawser::verbs
