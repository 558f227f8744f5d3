#include "agent/protocol.hpp"

#include <algorithm>

namespace hawser::agent {

MessageWriter::MessageWriter(MessageType type, std::uint32_t sequence) {
  bytes_.reserve(128);
  put(protocol_version).put(static_cast<std::uint16_t>(type)).put(sequence);
}

MessageWriter& MessageWriter::raw(const void* data, std::size_t size) {
  const auto* first = static_cast<const std::byte*>(data);
  bytes_.insert(bytes_.end(), first, first + size);
  return *this;
}

MessageWriter& MessageWriter::text(std::string_view value) {
  value = value.substr(0, program_bytes_max);
  put(static_cast<std::uint8_t>(value.size()));
  return raw(value.data(), value.size());
}

MessageWriter& MessageWriter::long_text(std::string_view value) {
  value = value.substr(0, explanation_bytes_max);
  return raw(value.data(), value.size());
}

MessageWriter& MessageWriter::socket_address(const SocketAddress& value) {
  put(static_cast<std::uint8_t>(value.family)).address(value.ip).put(value.port);
  return put(value.scope_id).put(value.flow_info);
}

MessageWriter& MessageWriter::port_request(const cma::PortRequest& value) {
  put(static_cast<std::uint16_t>(value.space)).socket_address(value.source).socket_address(value.destination);
  return put(value.reuse).put(value.v6_only).put(value.may_bind_privileged);
}

MessageWriter& MessageWriter::datagram(const fabric::InDatagram& value) {
  address(value.source).address(value.destination).put(value.interface).put(value.source_port);
  put(value.traffic_class).put(value.hop_limit);
  return raw(value.payload.data(), value.payload.size());
}

std::optional<std::uint16_t> MessageReader::version(std::span<std::byte> data) {
  MessageReader reader(data);
  const auto version = reader.get<std::uint16_t>();
  return reader.good_ ? std::optional(version) : std::nullopt;
}

std::optional<MessageReader> MessageReader::open(std::span<std::byte> data) {
  MessageReader reader(data);
  const auto version = reader.get<std::uint16_t>();
  reader.type_ = static_cast<MessageType>(reader.get<std::uint16_t>());
  reader.sequence_ = reader.get<std::uint32_t>();
  if (!reader.good_ || version != protocol_version) return std::nullopt;
  return reader;
}

void MessageReader::raw(void* out, std::size_t size) {
  if (rest_.size() < size) {
    good_ = false;
    rest_ = {};
    return;
  }
  if (size > 0) std::memcpy(out, rest_.data(), size);  // at the end of a message data() may be null
  rest_ = rest_.subspan(size);
}

// Texts end up on terminals: nothing but printable ASCII passes.
std::string MessageReader::text() {
  std::string value(get<std::uint8_t>(), '\0');
  if (value.size() > program_bytes_max) good_ = false;
  raw(value.data(), value.size());
  std::ranges::replace_if(value, [](char c) { return c < ' ' || c > '~'; }, '?');
  return value;
}

std::string MessageReader::long_text() {
  std::string value(std::min(rest_.size(), explanation_bytes_max), '\0');
  raw(value.data(), value.size());
  std::ranges::replace_if(value, [](char c) { return c < ' ' || c > '~'; }, '?');
  return value;
}

IpAddress MessageReader::address() {
  IpAddress value;
  raw(value.bytes.data(), value.bytes.size());
  return value;
}

SocketAddress MessageReader::socket_address() {
  SocketAddress value;
  const auto family = get<std::uint8_t>();
  if (family > static_cast<std::uint8_t>(Family::ib)) good_ = false;
  value.family = good_ ? static_cast<Family>(family) : Family::unspecified;
  value.ip = address();
  value.port = get<std::uint16_t>();
  value.scope_id = get<std::uint32_t>();
  value.flow_info = get<std::uint32_t>();
  return value;
}

cma::PortOption MessageReader::port_option() {
  const auto option = static_cast<cma::PortOption>(get<std::uint8_t>());
  if (option != cma::PortOption::reuse && option != cma::PortOption::v6_only) good_ = false;
  return option;
}

cma::PortRequest MessageReader::port_request() {
  cma::PortRequest value;
  const auto space = static_cast<cma::PortSpace>(get<std::uint16_t>());
  switch (space) {
    case cma::PortSpace::ipoib:
    case cma::PortSpace::tcp:
    case cma::PortSpace::udp:
    case cma::PortSpace::ib: value.space = space; break;
    default: good_ = false;
  }
  value.source = socket_address();
  value.destination = socket_address();
  value.reuse = get<std::uint8_t>() != 0;
  value.v6_only = get<std::uint8_t>() != 0;
  value.may_bind_privileged = get<std::uint8_t>() != 0;
  return value;
}

cm::LedgerRecord MessageReader::record() {
  cm::LedgerRecord value{};
  raw(&value, sizeof value);
  return value;
}

fabric::InDatagram MessageReader::datagram() {
  fabric::InDatagram value;
  value.source = address();
  value.destination = address();
  value.interface = get<std::uint32_t>();
  value.source_port = get<std::uint16_t>();
  value.traffic_class = get<std::uint8_t>();
  value.hop_limit = get<std::uint8_t>();
  if (rest_.size() > fabric::datagram_bytes_max) good_ = false;
  value.payload = good_ ? rest_ : std::span<std::byte>();
  rest_ = {};
  return value;
}

}  // namespace hawser::agent
