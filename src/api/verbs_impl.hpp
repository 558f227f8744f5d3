// What stands behind the handles of hawser/verbs.hpp.
#pragma once

#include <memory>

#include "cm/types.hpp"
#include "hawser/cm.hpp"
#include "hawser/verbs.hpp"
#include "runtime/sync.hpp"
#include "stack/engine.hpp"
#include "verbs/address.hpp"
#include "verbs/context.hpp"
#include "verbs/cq.hpp"
#include "verbs/qp.hpp"

namespace hawser {

class Device::Impl {
 public:
  explicit Impl(verbs::DevicePtr d) : device(std::move(d)) {}
  const verbs::DevicePtr device;
};

class Pd::Impl {
 public:
  explicit Impl(std::shared_ptr<verbs::Context> c) : context(std::move(c)) {}
  const std::shared_ptr<verbs::Context> context;
  const std::shared_ptr<verbs::Pd> pd = std::make_shared<verbs::Pd>();
};

class Mr::Impl {
 public:
  Impl(std::shared_ptr<Pd::Impl> domain, verbs::MemoryRegion* r) : pd(std::move(domain)), region(r) {}
  ~Impl() { pd->context->memory().remove(region); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  const std::shared_ptr<Pd::Impl> pd;
  verbs::MemoryRegion* const region;
};

class Cq::Impl {
 public:
  Impl(std::shared_ptr<verbs::Context> c, stack::Engine& e, std::shared_ptr<verbs::CompChannel> ch,
       std::uint32_t capacity)
      : context(std::move(c)),
        engine(e),
        channel(std::move(ch)),
        cq(std::make_shared<verbs::Cq>(context->events(), channel, capacity)) {}
  ~Impl() { static_cast<void>(cq->close()); }  // the queue pairs that used it have gone
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::size_t take(std::span<Completion> out);
  void clear_notification();

  const std::shared_ptr<verbs::Context> context;
  stack::Engine& engine;
  const std::shared_ptr<verbs::CompChannel> channel;
  const std::shared_ptr<verbs::Cq> cq;
};

class AddressHandle::Impl {
 public:
  Impl(std::shared_ptr<Pd::Impl> domain, std::unique_ptr<verbs::AddressHandle> handle)
      : pd(std::move(domain)), ah(std::move(handle)) {}
  const std::shared_ptr<Pd::Impl> pd;
  const std::unique_ptr<verbs::AddressHandle> ah;
};

// Thread-safe. The verbs::Qp ends with destroy(), whoever still has a handle.
class Qp::Impl {
 public:
  // EINVAL: not all of `device`, or beyond its limits. EOPNOTSUPP: no such queue pairs.
  [[nodiscard]] static Result<std::shared_ptr<Impl>> create(const verbs::DevicePtr& device, const Pd& pd,
                                                            const QpInit& init, QpType type);
  Impl(std::shared_ptr<Pd::Impl> pd, const QpInit& init, std::shared_ptr<verbs::Qp> qp)
      : pd_(std::move(pd)), send_cq_(init.send_cq), recv_cq_(init.recv_cq), qpn_(qp->qpn()), qp_(std::move(qp)) {}
  ~Impl() { destroy(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  void destroy();

  [[nodiscard]] Qpn qpn() const { return qpn_; }
  // The states as the connection manager orders them; what it negotiated is in the attributes.
  Status to_init(const cm::QpAttributes& attributes);  // a datagram queue pair goes on to RTS
  Status to_rtr_and_rts(const cm::QpAttributes& rtr, const cm::QpAttributes& rts);
  void to_error();
  // Datagrams to the group arrive here too. EINVAL after destroy(), which wants no group attached.
  Status attach(const Gid& group);
  void detach(const Gid& group);
  // EINVAL after destroy().
  Status post(roce::SendWork work);
  Status post(roce::RecvWork work);

 private:
  [[nodiscard]] std::shared_ptr<verbs::Qp> alive() const;
  static Status datagrams_to_rts(verbs::Qp& qp, QKey qkey);

  const std::shared_ptr<Pd::Impl> pd_;
  const Cq send_cq_, recv_cq_;
  const Qpn qpn_;
  mutable rt::Mutex mutex_{rt::LockRank::verbs_object};
  std::shared_ptr<verbs::Qp> qp_ HW_GUARDED_BY(mutex_);
};

}  // namespace hawser
