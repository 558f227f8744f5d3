#include "stack/trace.hpp"

#include <fmt/format.h>

#include "cm/messages.hpp"

namespace hawser::stack {
namespace {

template <class Message>
std::string describe_body(const Message& message) {
  std::string text = cm::name(Message::attribute);
  if constexpr (requires { message.local_comm_id; }) text += fmt::format(" {:#010x}", message.local_comm_id.value);
  if constexpr (requires { message.remote_comm_id; }) text += fmt::format(" → {:#010x}", message.remote_comm_id.value);
  if constexpr (requires { message.service_id; }) text += fmt::format(" service {:#x}", message.service_id.value);
  if constexpr (requires { message.local_qpn; }) text += fmt::format(" QPN {:#x}", message.local_qpn.value);
  if constexpr (requires { message.reason; }) text += fmt::format(" reason {}", message.reason);
  return text;
}

}  // namespace

std::string describe(const verbs::Mad& mad) {
  const auto message = cm::decode(mad);
  if (!message) return "a MAD that is no message of the connection manager";
  return std::visit([](const auto& body) { return describe_body(body); }, message->body);
}

}  // namespace hawser::stack
