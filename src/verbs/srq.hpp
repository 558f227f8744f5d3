// A shared receive queue: receives that several QPs take from.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/result.hpp"
#include "roce/work.hpp"
#include "runtime/sync.hpp"
#include "verbs/context.hpp"
#include "verbs/ring.hpp"

namespace hawser::verbs {

struct SrqAttributes {
  std::uint32_t max_wr{}, max_sge{};
  std::uint32_t limit{};  // an event is raised when fewer receives than this are left, once; 0: never
};

// Thread-safe. take() is called under a QP's lock.
class Srq final : public AsyncSource {
 public:
  // EINVAL: beyond the device's limits. ENOMEM: too many.
  [[nodiscard]] static Result<std::shared_ptr<Srq>> create(Context& context, std::shared_ptr<Pd> pd,
                                                           SrqAttributes attributes);
  ~Srq();
  Srq(const Srq&) = delete;
  Srq& operator=(const Srq&) = delete;

  // `produce(RecvWork&)` as in Qp::post_receive(). EINVAL: too many SGEs. ENOMEM: the queue is full.
  template <class Produce>
  Status post(Produce&& produce) {
    rt::Lock lock(mutex_);
    for (roce::RecvWork work; produce(work); work = {}) {
      if (work.sges.size() > max_sge_) return hawser::fail(EINVAL);
      if (receives_.full()) return hawser::fail(ENOMEM);
      receives_.push(std::move(work));
    }
    return {};
  }
  [[nodiscard]] std::optional<roce::RecvWork> take();

  // EINVAL: a size below what is posted or the limit, or above the device's; a limit above the size.
  Status modify(std::optional<std::uint32_t> max_wr, std::optional<std::uint32_t> limit);
  [[nodiscard]] SrqAttributes query() const;

  // EBUSY while QPs use it. Waits until every event that was taken is acknowledged.
  Status close();
  // QPs that use it.
  rt::Atomic<std::uint32_t> users{0};

 private:
  Srq(Context& context, std::shared_ptr<Pd> pd, const SrqAttributes& attributes);

  Context& context_;
  const std::shared_ptr<Pd> pd_;
  const std::uint32_t max_sge_;
  mutable rt::Mutex mutex_{rt::LockRank::srq};
  Ring<roce::RecvWork> receives_ HW_GUARDED_BY(mutex_);
  std::uint32_t limit_ HW_GUARDED_BY(mutex_) = 0;
};

}  // namespace hawser::verbs
