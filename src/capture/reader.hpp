// A capture file as libpcap reads it (pcap and pcapng), frame after frame. One thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capture/frame.hpp"

struct pcap;

namespace hawser::capture {

struct Frame {
  std::uint64_t number{};           // from 1, as Wireshark counts
  std::chrono::nanoseconds time{};  // since the epoch
  std::optional<UdpDatagram> udp;   // payload valid until the next next()
};

class Reader {
 public:
  // The error is a sentence for people.
  [[nodiscard]] static std::expected<Reader, std::string> open(const std::string& path);

  // nullopt at the end of the file or where it is broken; error() tells which.
  [[nodiscard]] std::optional<Frame> next();
  [[nodiscard]] const std::string& error() const { return error_; }  // empty: no error

 private:
  struct Close {
    void operator()(pcap* handle) const;
  };
  Reader(pcap* handle, LinkType link) : handle_(handle), link_(link) {}

  std::unique_ptr<pcap, Close> handle_;
  LinkType link_;
  std::vector<std::byte> frame_;
  std::uint64_t frames_ = 0;
  std::string error_;
};

}  // namespace hawser::capture
