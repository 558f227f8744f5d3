#include "options.hpp"

#include <cstdint>
#include <cstring>

namespace hawser::fuzz {
namespace {

constexpr std::size_t path_data_bytes = 72;

template <class T>
std::vector<std::byte> bytes_of(T value) {
  std::vector<std::byte> bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// struct ibv_path_data with one path record.
std::vector<std::byte> path_data(std::uint32_t flags, std::uint8_t mtu) {
  std::vector<std::byte> bytes(path_data_bytes);
  std::memcpy(bytes.data(), &flags, sizeof flags);
  bytes[8 + 54] = std::byte{static_cast<std::uint8_t>(0x80 | mtu)};
  return bytes;
}

}  // namespace

OptionArgument option_of(Setting setting) {
  constexpr int level_id = 0, level_ib = 1, level_hawser = 0x4857;
  constexpr std::uint32_t usual_flags = 0x2B;
  switch (setting) {
    case Setting::tos: return {level_id, 0, bytes_of<std::uint8_t>(8)};
    case Setting::reuse: return {level_id, 1, bytes_of<int>(1)};
    case Setting::no_reuse: return {level_id, 1, bytes_of<int>(0)};
    case Setting::af_only: return {level_id, 2, bytes_of<int>(1)};
    case Setting::not_af_only: return {level_id, 2, bytes_of<int>(0)};
    case Setting::ack_timeout: return {level_id, 3, bytes_of<std::uint8_t>(0)};  // [spec 4 #16]
    case Setting::path: return {level_ib, 1, path_data(usual_flags, 3)};
    case Setting::path_no_mtu: return {level_ib, 1, path_data(usual_flags, 0)};
    case Setting::no_path: return {level_ib, 1, path_data(0, 3)};
    case Setting::response_timeout: return {level_hawser, 1, bytes_of<std::uint8_t>(12)};
    case Setting::response_timeout_too_long: return {level_hawser, 1, bytes_of<std::uint8_t>(32)};
    case Setting::no_retries: return {level_hawser, 2, bytes_of<std::uint8_t>(0)};
    case Setting::report_unreachable: return {level_hawser, 3, bytes_of<int>(1)};
    case Setting::too_short: return {level_id, 1, bytes_of<std::uint8_t>(1)};
    case Setting::unknown: return {7, 7, bytes_of<int>(1)};
  }
  return {};
}

}  // namespace hawser::fuzz
