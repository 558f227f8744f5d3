// What a program's names mean where both hosts are this one: programs that run at once, told apart by a number, have
// addresses and ports of their own on lo.
#pragma once

#include <cstdint>

#include "base/ip.hpp"
#include "program.hpp"
#include "stack/faults.hpp"

namespace hawser::fuzz::loopback {

[[nodiscard]] SocketAddress address(Place place, std::uint16_t port, std::uint8_t number);
void happen(Happening happening, std::uint8_t number, stack::Faults& faults);
// Messages of the connection manager get lost and come twice.
void make_lossy(stack::Faults& faults);

}  // namespace hawser::fuzz::loopback
