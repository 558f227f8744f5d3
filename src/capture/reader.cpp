#include "capture/reader.hpp"

#include <array>

#include <fmt/format.h>
#include <pcap/pcap.h>

namespace hawser::capture {

static_assert(static_cast<int>(LinkType::ethernet) == DLT_EN10MB && static_cast<int>(LinkType::raw) == DLT_RAW &&
              static_cast<int>(LinkType::linux_sll) == DLT_LINUX_SLL &&
              static_cast<int>(LinkType::linux_sll2) == DLT_LINUX_SLL2 &&
              static_cast<int>(LinkType::ipv4) == DLT_IPV4 && static_cast<int>(LinkType::ipv6) == DLT_IPV6);

void Reader::Close::operator()(pcap* handle) const { pcap_close(handle); }

std::expected<Reader, std::string> Reader::open(const std::string& path) {
  std::array<char, PCAP_ERRBUF_SIZE> message{};
  pcap* handle = pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, message.data());
  if (handle == nullptr) return std::unexpected(std::string(message.data()));
  const int link = pcap_datalink(handle);
  Reader reader(handle, static_cast<LinkType>(link));
  if (!is_supported(link)) {
    return std::unexpected(fmt::format(
        "{}: frames of link type {} are not understood (Ethernet, Linux cooked and raw IP are)", path, link));
  }
  return reader;
}

std::optional<Frame> Reader::next() {
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  const int got = pcap_next_ex(handle_.get(), &header, &data);
  if (got == PCAP_ERROR) error_ = pcap_geterr(handle_.get());
  if (got != 1) return std::nullopt;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  frame_.assign(bytes, bytes + header->caplen);
  return Frame{.number = ++frames_,
               // with nanosecond precision tv_usec holds nanoseconds
               .time = std::chrono::seconds(header->ts.tv_sec) + std::chrono::nanoseconds(header->ts.tv_usec),
               .udp = parse_udp(link_, frame_)};
}

}  // namespace hawser::capture
