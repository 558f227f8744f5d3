#include "loopback.hpp"

#include <fmt/format.h>

#include "cm/fault.hpp"

namespace hawser::fuzz::loopback {
namespace {

constexpr std::uint16_t service_port = 7471;  // and the next

void set(stack::Faults& faults, const std::string& text) {
  if (const auto fault = cm::parse_fault(text)) faults.set(*fault);
}

}  // namespace

SocketAddress address(Place place, std::uint16_t port, std::uint8_t number) {
  if (port == service_port || port == service_port + 1) port = static_cast<std::uint16_t>(port + 10 * number);
  const auto v4 = [port](std::uint32_t ip) { return SocketAddress{Family::inet, IpAddress::v4(ip), port, 0, 0}; };
  const auto v6 = [port](const char* ip) { return SocketAddress{Family::inet6, *IpAddress::parse(ip), port, 0, 0}; };
  constexpr std::uint32_t loopback = 0x7F000001;
  switch (place) {
    case Place::unset: return {};
    case Place::here:
    case Place::peer: return v4(loopback + number);
    case Place::here_too:
    case Place::peer_too: return v4(loopback + 100 + number);
    case Place::here6:
    case Place::peer6:
    case Place::loopback6: return v6("::1");
    case Place::nobody: return v4(0x0A000063);
    case Place::any: return v4(0);
    case Place::any6: return v6("::");
    case Place::loopback: return v4(loopback);
    case Place::mapped: return {Family::inet6, IpAddress::v4(loopback + number), port, 0, 0};
    case Place::unscoped: return v6("fe80::1");
    case Place::group: return v4(0xEF010101);
    case Place::group_too: return v4(0xEF010102);
    case Place::group6: return v6("ff0e::1");
    case Place::infiniband: return {Family::ib, {}, port, 0, 0};
  }
  return {};
}

void happen(Happening happening, std::uint8_t number, stack::Faults& faults) {
  const std::string peer = address(Place::peer, 0, number).ip.text();
  switch (happening) {
    case Happening::device_goes:
    case Happening::both_devices_go: return set(faults, "remove=hw_lo");
    case Happening::device_flaps: set(faults, "remove=hw_lo"); [[fallthrough]];
    case Happening::devices_return: return faults.clear_all();
    case Happening::neighbour_moves: return set(faults, "move-neighbour=" + peer);
    case Happening::neighbour_silent: return set(faults, "silence-neighbour=" + peer);
    case Happening::bond_fails_over: return set(faults, "change-mac=hw_lo");
  }
}

void make_lossy(stack::Faults& faults) {
  for (const char* kind : {"REQ", "REP", "RTU", "REJ", "DREQ", "DREP", "SIDR_REQ", "SIDR_REP"}) {
    set(faults, fmt::format("drop={}:chance=10%", kind));
    set(faults, fmt::format("duplicate={}:chance=10%", kind));
  }
}

}  // namespace hawser::fuzz::loopback
