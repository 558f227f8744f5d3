// Verifies the ICRC and the form of every RoCEv2 packet of a capture: what tshark shows but does not check.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

namespace hawser::capture {

struct BadPacket {
  std::uint64_t frame{};  // from 1, as Wireshark counts
  std::string why;        // a sentence for people, with addresses
};

struct Report {
  std::uint64_t packets{};       // frames in the file
  std::uint64_t roce_packets{};  // UDP datagrams to port 4791
  std::uint64_t icrc_ok{};
  std::uint64_t icrc_bad{};
  std::uint64_t malformed{};     // ICRC right, but not a packet that we can decode
  std::uint64_t unverifiable{};  // cut by the snapshot length, or a fragment
  std::vector<BadPacket> bad;    // every packet counted in icrc_bad, malformed and unverifiable

  [[nodiscard]] bool ok() const { return bad.empty(); }
};

// The error is a sentence for people: the file cannot be read, or ends in the middle of a frame.
[[nodiscard]] std::expected<Report, std::string> check(const std::string& path);

}  // namespace hawser::capture
