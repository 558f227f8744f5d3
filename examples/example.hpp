// What the examples share: they end with a sentence when something goes wrong.
#pragma once

#include <cstdlib>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "hawser/hawser.hpp"

[[noreturn]] inline void give_up(std::string_view what, std::string_view why) {
  std::cerr << what << ": " << why << std::endl;
  std::exit(1);
}

// The value, or the end of the program.
template <class T>
T need(hawser::Result<T> result, std::string_view what) {
  if (!result) give_up(what, result.error().message());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// The next event, which must be this one.
inline hawser::ChannelEvent expect(hawser::EventChannel& channel, hawser::CmEventType type) {
  auto event = need(channel.get_event(), "waiting for an event");
  if (event.type != type) give_up("unexpected event", event.text());
  return event;
}

inline hawser::SocketAddress address_of(const std::string& ip, const std::string& port) {
  const auto parsed = hawser::IpAddress::parse(ip);
  if (!parsed) give_up(ip, "not an IP address");
  hawser::SocketAddress address;
  address.family = parsed->is_v4() ? hawser::Family::inet : hawser::Family::inet6;
  address.ip = *parsed;
  address.port = static_cast<std::uint16_t>(std::stoul(port));
  return address;
}

inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
