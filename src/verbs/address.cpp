#include "verbs/address.hpp"

#include "fabric/fabric.hpp"
#include "verbs/limits.hpp"

namespace hawser::verbs {

Result<std::unique_ptr<AddressHandle>> AddressHandle::create(Context& context, std::shared_ptr<Pd> pd,
                                                             const AddressVector& vector) {
  const Device& device = *context.device();
  const std::optional<Gid> source = device.gid(vector.source_gid_index);
  const Gid& destination = vector.destination;
  if (!vector.is_global || vector.port != 1 || !source || destination.is_any() ||
      source->is_v4() != destination.is_v4()) {
    return fail(EINVAL);
  }
  if (device.gone()) return fail(EIO);
  if (++context.ahs > limits::ah_max) {
    --context.ahs;
    return fail(ENOMEM);
  }
  const bool scoped = fabric::needs_interface(*source, destination);
  return std::unique_ptr<AddressHandle>(
      new AddressHandle(context, std::move(pd),
                        {.local = *source,
                         .remote = destination,
                         .interface = scoped ? device.interface_index() : 0,
                         .traffic_class = vector.traffic_class,
                         .hop_limit = vector.hop_limit == 0 ? hop_limit_default : vector.hop_limit}));
}

AddressHandle::AddressHandle(Context& context, std::shared_ptr<Pd> pd, roce::UdAddress address)
    : context_(context), pd_(std::move(pd)), address_(std::make_shared<const roce::UdAddress>(address)) {
  ++pd_->users;
}

AddressHandle::~AddressHandle() {
  --pd_->users;
  --context_.ahs;
}

}  // namespace hawser::verbs
