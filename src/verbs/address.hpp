// Address vectors, and the address handles that datagrams are sent with.
#pragma once

#include <cstdint>
#include <memory>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "roce/work.hpp"
#include "verbs/context.hpp"

namespace hawser::verbs {

// struct ibv_ah_attr, as far as RoCE has it.
struct AddressVector {
  Gid destination;
  std::uint32_t flow_label{};
  std::uint8_t source_gid_index{}, hop_limit{}, traffic_class{}, service_level{}, static_rate{}, port{1};
  std::uint16_t dlid{};
  std::uint8_t source_path_bits{};
  bool is_global{};
};

inline constexpr std::uint8_t hop_limit_default = 64;  // where the program says 0

// Immutable.
class AddressHandle {
 public:
  // EINVAL: no global route, no such port or source GID, no destination or one of the other address family.
  [[nodiscard]] static Result<std::unique_ptr<AddressHandle>> create(Context& context, std::shared_ptr<Pd> pd,
                                                                     const AddressVector& vector);
  ~AddressHandle();
  AddressHandle(const AddressHandle&) = delete;
  AddressHandle& operator=(const AddressHandle&) = delete;

  [[nodiscard]] const std::shared_ptr<Pd>& pd() const { return pd_; }
  // Outlives the handle: work requests that were posted with it keep it.
  [[nodiscard]] const std::shared_ptr<const roce::UdAddress>& address() const { return address_; }

 private:
  AddressHandle(Context& context, std::shared_ptr<Pd> pd, roce::UdAddress address);

  Context& context_;
  const std::shared_ptr<Pd> pd_;
  const std::shared_ptr<const roce::UdAddress> address_;
};

}  // namespace hawser::verbs
