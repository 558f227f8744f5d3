// For tests: two hosts on a simulated network, and programs on them that connect, accept and move data.
#pragma once

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "hawser/hawser.hpp"

namespace hawser {

using namespace std::chrono_literals;

inline SocketAddress socket_address(const std::string& ip, std::uint16_t port) {
  const auto parsed = IpAddress::parse(ip);
  return {.family = parsed->is_v4() ? Family::inet : Family::inet6, .ip = *parsed, .port = port};
}

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string text_of(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    if (b == std::byte{}) break;  // the zeros that a message's field ends with
    text += static_cast<char>(b);
  }
  return text;
}

// What one end of a connection needs to move data.
struct Endpoint {
  // On the device of `id`; with its queue pair and one posted receive.
  static std::unique_ptr<Endpoint> make(Stack& stack, IdRef id) {
    auto end = std::make_unique<Endpoint>();
    end->pd = *Pd::create(stack, id.device());
    end->cq = *Cq::create(stack, id.device(), 32);
    end->mr = *end->pd.register_memory(end->memory, Access::local_write | Access::remote_write | Access::remote_read);
    const auto qp = id.create_qp(end->pd, {.send_cq = end->cq, .recv_cq = end->cq, .max_inline_bytes = 64});
    EXPECT_TRUE(qp) << qp.error().message();
    end->qp = *qp;
    EXPECT_TRUE(end->qp.post_receive(1, end->mr.slice(0, 1024)));
    return end;
  }
  [[nodiscard]] std::string received() const { return reinterpret_cast<const char*>(memory.data()); }

  std::array<std::byte, 2048> memory{};
  Pd pd;
  Cq cq;
  Mr mr;
  Qp qp;
};

// An id that goes from address to connection by itself, and notes what it is told.
struct Client {
  Client(Stack& on, const SocketAddress& to) : stack(on) {
    id = *on.create_id([this](IdRef self, CmEvent& event) { return handle(self, event); });
    EXPECT_TRUE(id.resolve_addr(nullptr, to, 2s));
  }
  int handle(IdRef self, CmEvent& event) {
    events.push_back(event.type);
    statuses.push_back(event.status);
    private_data = text_of(event.private_data);
    if (react) {
      if (const auto result = react(self, event)) return *result;
    }
    switch (event.type) {
      case CmEventType::addr_resolved: return -errno_of(self.resolve_route(2s));
      case CmEventType::route_resolved:
        if (with_qp) end = Endpoint::make(stack, self);
        return -errno_of(self.connect_locked({.private_data = bytes_of("hello"), .qpn = Qpn(with_qp ? 0 : 77)}));
      default: return 0;
    }
  }

  Stack& stack;
  bool with_qp = true;
  std::function<std::optional<int>(IdRef, CmEvent&)> react;  // nullopt: as usual
  std::unique_ptr<Endpoint> end;
  std::vector<CmEventType> events;
  std::vector<int> statuses;
  std::string private_data;
  Id id;
};

// Accepts everybody.
struct Server {
  explicit Server(Stack& on, std::uint16_t port = 7471) : stack(on) {
    auto made = Listener::listen(on, {.family = Family::inet, .ip = IpAddress::any_v4(), .port = port},
                                 [this](IdRef id, CmEvent& event) { return handle(id, event); });
    EXPECT_TRUE(made) << made.error().message();
    if (made) listener = std::move(*made);
  }
  int handle(IdRef id, CmEvent& event) {
    events.push_back(event.type);
    if (react) {
      if (const auto result = react(id, event)) return *result;
    }
    if (event.type == CmEventType::disconnected) return -errno_of(id.disconnect());
    if (event.type != CmEventType::connect_request) return 0;
    private_data = text_of(event.private_data);
    earlier.emplace_back(std::move(end), std::move(child));  // an id is not ended in another's handler
    child = event.take_id();
    end = Endpoint::make(stack, child);
    return -errno_of(id.accept({.private_data = bytes_of("welcome"),
                                .responder_resources = event.responder_resources,
                                .initiator_depth = event.initiator_depth}));
  }

  Stack& stack;
  std::function<std::optional<int>(IdRef, CmEvent&)> react;
  std::unique_ptr<Endpoint> end;
  std::vector<CmEventType> events;
  std::string private_data;
  std::vector<std::pair<std::unique_ptr<Endpoint>, Id>> earlier;
  Id child;
  std::optional<Listener> listener;
};

class TwoSimulatedHosts : public testing::Test {
 protected:
  Simulation simulation_;
  Stack a_ = *simulation_.add_host({.addresses = {*IpAddress::parse("10.0.0.1")}});
  Stack b_ = *simulation_.add_host({.addresses = {*IpAddress::parse("10.0.0.2")}});
  const SocketAddress to_b_ = socket_address("10.0.0.2", 7471);
};

}  // namespace hawser
