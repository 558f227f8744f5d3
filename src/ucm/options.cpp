#include "ucm/options.hpp"

#include <cstring>

#include "base/wire.hpp"

namespace hawser::ucm {
namespace {

enum OptionLevel { level_id = 0, level_ib = 1, level_hawser = 0x4857 };  // the last: include/hawser/rdma_options.h
enum IdOption { id_tos = 0, id_reuse_address = 1, id_af_only = 2, id_ack_timeout = 3 };
enum IbOption { ib_path = 1 };
enum HawserOption { hawser_response_timeout = 1, hawser_retries = 2, hawser_report_unreachable = 3 };

// One struct ibv_path_data: 32 bits of flags in host order, 32 reserved, then a path record in network order.
constexpr std::size_t path_data_size = 72;
constexpr std::size_t path_record_offset = 8;
constexpr std::uint32_t path_flags = 0x2B;  // GMP, PRIMARY, BIDIRECTIONAL

Result<Option> flag_option(Option::Kind kind, std::span<const std::byte> value) {
  int given = 0;
  if (value.size() != sizeof(given)) return fail(EINVAL);
  std::memcpy(&given, value.data(), sizeof(given));
  return Option{kind, 0, given != 0, {}};
}

Result<Option> byte_option(Option::Kind kind, std::span<const std::byte> value) {
  if (value.size() != 1) return fail(EINVAL);
  return Option{kind, std::to_integer<std::uint8_t>(value[0]), false, {}};
}

cm::Path parse_path(std::span<const std::byte> record) {
  WireReader reader(record);
  cm::Path path;
  std::uint8_t mtu = 0;
  reader.bytes(8, path.remote);
  reader.bytes(24, path.local);
  reader.field(44, 4, 20, path.flow_label);
  reader.field(47, 0, 8, path.hop_limit);
  reader.field(48, 0, 8, path.traffic_class);
  reader.field(50, 0, 16, path.pkey);
  reader.field(52, 12, 4, path.sl);
  reader.field(54, 2, 6, mtu);
  reader.field(55, 2, 6, path.rate);
  reader.field(56, 2, 6, path.packet_life_time);
  path.mtu = static_cast<Mtu>(mtu);
  return path;
}

Result<Option> path_option(std::span<const std::byte> value) {
  if (value.empty() || value.size() % path_data_size != 0) return fail(EINVAL);
  for (; !value.empty(); value = value.subspan(path_data_size)) {
    std::uint32_t flags = 0;
    std::memcpy(&flags, value.data(), sizeof(flags));
    if (flags != path_flags) continue;
    Option option{Option::Kind::path, 0, false, parse_path(value.subspan(path_record_offset, 64))};
    if (option.path.mtu < Mtu::mtu_256 || option.path.mtu > Mtu::mtu_4096) return fail(EINVAL);
    return option;
  }
  return fail(EINVAL);
}

}  // namespace

Result<Option> parse_option(int level, int name, std::span<const std::byte> value) {
  if (level == level_id) {
    switch (name) {
      case id_tos: return byte_option(Option::Kind::tos, value);
      case id_reuse_address: return flag_option(Option::Kind::reuse_address, value);
      case id_af_only: return flag_option(Option::Kind::af_only, value);
      case id_ack_timeout: return byte_option(Option::Kind::ack_timeout, value);
      default: return fail(ENOSYS);
    }
  }
  if (level == level_hawser) {
    switch (name) {
      case hawser_response_timeout: return byte_option(Option::Kind::response_timeout, value);
      case hawser_retries: return byte_option(Option::Kind::retries, value);
      case hawser_report_unreachable: return flag_option(Option::Kind::report_unreachable, value);
      default: return fail(ENOSYS);
    }
  }
  if (level == level_ib && name == ib_path) return path_option(value);
  return fail(ENOSYS);
}

}  // namespace hawser::ucm
