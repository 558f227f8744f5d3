#include "verbs/srq.hpp"

#include "verbs/limits.hpp"

namespace hawser::verbs {

Result<std::shared_ptr<Srq>> Srq::create(Context& context, std::shared_ptr<Pd> pd, SrqAttributes attributes) {
  if (attributes.max_wr == 0 || attributes.max_wr > limits::qp_wr_max || attributes.max_sge > limits::sge_max) {
    return fail(EINVAL);
  }
  if (context.device()->gone()) return fail(EIO);
  if (++context.srqs > limits::srq_max) {
    --context.srqs;
    return fail(ENOMEM);
  }
  return std::shared_ptr<Srq>(new Srq(context, std::move(pd), attributes));
}

Srq::Srq(Context& context, std::shared_ptr<Pd> pd, const SrqAttributes& attributes)
    : context_(context), pd_(std::move(pd)), max_sge_(attributes.max_sge), receives_(attributes.max_wr) {
  ++pd_->users;
}

Srq::~Srq() {
  --pd_->users;
  --context_.srqs;
}

std::optional<roce::RecvWork> Srq::take() {
  rt::Lock lock(mutex_);
  if (receives_.empty()) return std::nullopt;
  roce::RecvWork work = receives_.pop();
  if (receives_.size() < limit_) {
    limit_ = 0;  // the program arms it again (IBTA 11.6.3.3)
    context_.events().push({.type = AsyncEventType::srq_limit_reached, .source = this});
  }
  return work;
}

Status Srq::modify(std::optional<std::uint32_t> max_wr, std::optional<std::uint32_t> limit) {
  rt::Lock lock(mutex_);
  const std::size_t new_max = max_wr.value_or(static_cast<std::uint32_t>(receives_.capacity()));
  const std::uint32_t new_limit = limit.value_or(limit_);
  if (new_max == 0 || new_max > limits::qp_wr_max || new_max < receives_.size() || new_limit > new_max) {
    return fail(EINVAL);
  }
  receives_.set_capacity(new_max);
  limit_ = new_limit;
  return {};
}

SrqAttributes Srq::query() const {
  rt::Lock lock(mutex_);
  return {.max_wr = static_cast<std::uint32_t>(receives_.capacity()), .max_sge = max_sge_, .limit = limit_};
}

Status Srq::close() {
  if (users.load() > 0) return fail(EBUSY);
  context_.events().forget(*this);
  return {};
}

}  // namespace hawser::verbs
