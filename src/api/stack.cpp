#include "hawser/stack.hpp"

#include <algorithm>
#include <thread>

#include "api/id_impl.hpp"
#include "api/stack_impl.hpp"
#include "base/assert.hpp"

namespace hawser {

// An id that ended by a handler's word may still be on its way out on the service thread.
StackImpl::~StackImpl() {
  HW_ASSERT(!stack_->dispatcher().on_dispatching_thread(), "api-stack-destroyed-in-handler");
  while (!stack_->dispatcher().run()) std::this_thread::yield();
}

Result<std::shared_ptr<verbs::Context>> StackImpl::open(const verbs::DevicePtr& device) {
  const auto ours = stack_->devices().list();
  if (device == nullptr || std::ranges::find(ours, device) == ours.end()) return fail(ENODEV);
  rt::Lock lock(mutex_);
  std::weak_ptr<verbs::Context>& known = contexts_[device];
  if (auto context = known.lock()) return context;
  auto made = verbs::Context::create(stack_->world(), stack_->devices(), stack_->data_path(), device);
  if (!made) return fail(made.error());
  std::shared_ptr<verbs::Context> context = std::move(*made);
  known = context;
  return context;
}

Stack::Stack(std::unique_ptr<StackImpl> impl) : impl_(std::move(impl)) {}
Stack::Stack(Stack&&) noexcept = default;
Stack& Stack::operator=(Stack&&) noexcept = default;
Stack::~Stack() = default;

Result<Stack> Stack::with_agent() {
  auto made = stack::Stack::create();
  if (!made) return fail(made.error());
  return Stack(std::make_unique<StackImpl>(std::move(*made)));
}

Result<Stack> Stack::alone(const AloneOptions& options) {
  const auto faults = cm::parse_plans(options.faults);
  if (!faults) return fail(faults.error());
  auto host = stack::lone_host({.address = options.address});
  if (!host) return fail(host.error());
  auto made = stack::Stack::create(std::move(*host));
  if (!made) return fail(made.error());
  (*made)->faults().set(*faults);
  return Stack(std::make_unique<StackImpl>(std::move(*made)));
}

Result<QpType> qp_type_of(PortSpace space, std::optional<QpType> wanted) {
  if (space == PortSpace::ib) return wanted.value_or(QpType::rc);
  const QpType only = space == PortSpace::tcp ? QpType::rc : QpType::ud;
  if (wanted.value_or(only) != only) return fail(EINVAL);
  return only;
}

Result<Id> Stack::create_id(Handler handler, void* context, PortSpace port_space, std::optional<QpType> qp_type) {
  if (!handler) return fail(EINVAL);
  const auto type = qp_type_of(port_space, qp_type);
  if (!type) return fail(type.error());
  auto impl = IdImpl::create(*impl_, port_space, *type, IdImpl::handler_sink(std::move(handler)));
  impl->set_context(context);
  return Id(std::move(impl));
}

std::vector<Device> Stack::devices() const {
  std::vector<Device> devices;
  for (const verbs::DevicePtr& device : (*impl_)->devices().list()) devices.push_back(to_public(device));
  return devices;
}

bool Stack::remove_device(const std::string& name) { return (*impl_)->devices().remove(name); }
Faults Stack::faults() { return Faults(*impl_); }
bool Stack::poll() { return (*impl_)->poll(); }
Status Stack::run(const std::function<bool()>& done) { return (*impl_)->run(done); }
void Stack::interrupt() { (*impl_)->interrupt(); }

}  // namespace hawser
