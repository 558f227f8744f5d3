#include "capture/check.hpp"

#include <fmt/format.h>

#include "base/types.hpp"
#include "capture/reader.hpp"
#include "roce/icrc.hpp"
#include "roce/packet.hpp"

namespace hawser::capture {
namespace {

std::string_view text(roce::DecodeError error) {
  switch (error) {
    case roce::DecodeError::too_short: return "too short for its opcode";
    case roce::DecodeError::too_long: return "longer than any RoCEv2 packet";
    case roce::DecodeError::bad_version: return "transport header version is not 0";
    case roce::DecodeError::unknown_opcode: return "unknown opcode";
    case roce::DecodeError::bad_pad: return "wrong length or pad count";
    case roce::DecodeError::bad_icrc: return "wrong ICRC";
  }
  return "?";
}

void check_packet(const UdpDatagram& udp, std::uint64_t frame, Report& report) {
  const auto& datagram = udp.datagram;
  const auto reject = [&](std::uint64_t& counter, std::string_view why) {
    ++counter;
    report.bad.push_back({.frame = frame,
                          .why = fmt::format("{} → {}, {} bytes: {}", datagram.source.text(),
                                             datagram.destination.text(), datagram.payload.size(), why)});
  };
  ++report.roce_packets;
  if (udp.truncated) return reject(report.unverifiable, "cut short by the capture's snapshot length");
  if (udp.fragment) return reject(report.unverifiable, "an IP fragment, which RoCEv2 never sends");
  const auto packet = roce::decode_unverified(datagram.payload);
  const bool has_icrc =
      packet || packet.error() == roce::DecodeError::unknown_opcode || packet.error() == roce::DecodeError::bad_version;
  if (!has_icrc) return reject(report.malformed, text(packet.error()));
  const auto covered = datagram.payload.first(datagram.payload.size() - roce::icrc_bytes);
  const std::uint32_t expected = roce::icrc(udp.icrc_headers(), covered);
  const std::uint32_t found = roce::load_icrc(datagram.payload.last<roce::icrc_bytes>());
  if (found != expected) return reject(report.icrc_bad, fmt::format("ICRC {:08x}, should be {:08x}", found, expected));
  ++report.icrc_ok;
  if (!packet) reject(report.malformed, text(packet.error()));
}

}  // namespace

std::expected<Report, std::string> check(const std::string& path) {
  auto reader = Reader::open(path);
  if (!reader) return std::unexpected(reader.error());
  Report report;
  while (const auto frame = reader->next()) {
    ++report.packets;
    if (frame->udp && frame->udp->destination_port == roce_v2_port) check_packet(*frame->udp, frame->number, report);
  }
  if (!reader->error().empty()) return std::unexpected(fmt::format("{}: {}", path, reader->error()));
  return report;
}

}  // namespace hawser::capture
