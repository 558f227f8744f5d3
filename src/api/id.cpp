#include "hawser/id.hpp"

#include <utility>

#include <fmt/format.h>

#include "api/id_impl.hpp"
#include "api/stack_impl.hpp"
#include "base/call_site.hpp"
#include "cma/refusal.hpp"
#include "cma/state.hpp"

namespace hawser {
namespace {

// With HAWSER_CHECK=1, who goes on with an id that a handler has ended is reported [spec 2.2.2].
std::unexpected<std::error_code> has_ended(const IdImpl* impl, cma::Entry entry, const void* site) {
  if (impl != nullptr) impl->report_too_late(entry, site);
  return cma::refuse(EINVAL, entry, cma::State::destroying, cma::Rule::ended);
}

// One call of a program on an id; `site`: HW_CALL_SITE of the call.
template <class Call>
std::invoke_result_t<Call, IdImpl&> call_on(IdImpl* impl, cma::Entry entry, const void* site, Call&& call) {
  if (impl == nullptr || !impl->alive()) return has_ended(impl, entry, site);
  const CalledFrom from(site);
  return call(*impl);
}

}  // namespace

IdRef::operator bool() const { return impl_ != nullptr && impl_->alive(); }

Status IdRef::bind_addr(const SocketAddress& address) {
  return call_on(impl_, cma::Entry::bind_addr, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.id().bind_addr(address); });
}

Status IdRef::resolve_addr(const SocketAddress* source, const SocketAddress& destination,
                           std::chrono::nanoseconds timeout) {
  return call_on(impl_, cma::Entry::resolve_addr, HW_CALL_SITE, [&](IdImpl& impl) {
    const Status may = impl.outside_of_handler(cma::Entry::resolve_addr);
    return may ? impl.id().resolve_addr(source, destination, timeout) : may;
  });
}

Status IdRef::resolve_ib_service(const ServiceQuery& wanted) {
  return call_on(impl_, cma::Entry::resolve_service, HW_CALL_SITE, [&](IdImpl& impl) {
    const Status may = impl.outside_of_handler(cma::Entry::resolve_service);
    return may ? impl.id().resolve_service(wanted) : may;
  });
}

std::vector<ServiceRecord> IdRef::services() const {
  return *this ? impl_->id().services() : std::vector<ServiceRecord>();
}

Status IdRef::resolve_route(std::chrono::nanoseconds timeout) {
  return call_on(impl_, cma::Entry::resolve_route, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.id().resolve_route(timeout); });
}

Status IdRef::connect(const ConnParam& param) {
  return call_on(impl_, cma::Entry::connect, HW_CALL_SITE, [&](IdImpl& impl) { return impl.connect(param); });
}

Status IdRef::connect_locked(const ConnParam& param) {
  return call_on(impl_, cma::Entry::connect_locked, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.connect_locked(param); });
}

Status IdRef::listen(int backlog) {
  return call_on(impl_, cma::Entry::listen, HW_CALL_SITE, [&](IdImpl& impl) {
    const Status may = impl.outside_of_handler(cma::Entry::listen);
    if (!may) return may;
    impl.backlog.store(backlog);
    return impl.id().listen(backlog);
  });
}

Status IdRef::accept(const ConnParam& param) {
  return call_on(impl_, cma::Entry::accept, HW_CALL_SITE, [&](IdImpl& impl) { return impl.accept(&param); });
}

Status IdRef::accept() {
  return call_on(impl_, cma::Entry::accept, HW_CALL_SITE, [&](IdImpl& impl) { return impl.accept(nullptr); });
}

Status IdRef::reject(std::span<const std::byte> private_data, RejectReason reason) {
  return call_on(impl_, cma::Entry::reject, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.id().reject(static_cast<std::uint16_t>(reason), private_data); });
}

Status IdRef::disconnect() {
  return call_on(impl_, cma::Entry::disconnect, HW_CALL_SITE, [&](IdImpl& impl) { return impl.disconnect(); });
}

Status IdRef::notify_established() {
  return call_on(impl_, cma::Entry::notify_established, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.id().notify_established(); });
}

Result<MulticastHandle> IdRef::join_multicast(const SocketAddress& group, JoinAs as, void* context) {
  return call_on(impl_, cma::Entry::join_multicast, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.join_multicast(group, as, context); });
}

Status IdRef::leave_multicast(MulticastHandle membership) {
  return call_on(impl_, cma::Entry::leave_multicast, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.leave_multicast(membership); });
}

Status IdRef::set_reuseaddr(bool reuse) {
  return call_on(impl_, cma::Entry::set_option, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.id().set_reuse_address(reuse); });
}

Status IdRef::set_afonly(bool only) {
  return call_on(impl_, cma::Entry::set_option, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.id().set_af_only(only); });
}

Status IdRef::set_service_type(std::uint8_t tos) {
  return call_on(impl_, cma::Entry::set_option, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.id().set_service_type(tos); });
}

Status IdRef::set_ack_timeout(std::uint8_t timeout) {
  return call_on(impl_, cma::Entry::set_option, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.id().set_ack_timeout(timeout); });
}

Status IdRef::set_min_rnr_timer(std::uint8_t timer) {
  return call_on(impl_, cma::Entry::set_option, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.id().set_min_rnr_timer(timer); });
}

Status IdRef::set_response_timeout(std::uint8_t timeout) {
  return call_on(impl_, cma::Entry::set_option, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.id().set_response_timeout(timeout); });
}

Status IdRef::set_retries(std::uint8_t retries) {
  return call_on(impl_, cma::Entry::set_option, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.id().set_retries(retries); });
}

Status IdRef::set_report_unreachable(bool report) {
  return call_on(impl_, cma::Entry::set_option, HW_CALL_SITE,
                 [&](IdImpl& impl) { return impl.id().set_report_unreachable(report); });
}

Result<Qp> IdRef::create_qp(const Pd& pd, const QpInit& init) {
  return call_on(impl_, cma::Entry::create_qp, HW_CALL_SITE, [&](IdImpl& impl) { return impl.create_qp(pd, init); });
}

void IdRef::destroy_qp() {
  if (*this) impl_->destroy_qp();
}

Result<QpAttr> IdRef::init_qp_attr(QpState state) const {
  if (!*this) return fail(EINVAL);
  return impl_->init_qp_attr(state);
}

Qp IdRef::qp() const { return *this ? impl_->qp() : Qp(); }

void IdRef::set_handler(Handler handler) {
  if (*this && handler) impl_->set_handler(std::move(handler));
}

void* IdRef::context() const { return impl_ != nullptr ? impl_->context() : nullptr; }
void IdRef::set_context(void* context) {
  if (impl_ != nullptr) impl_->set_context(context);
}

IdState IdRef::state() const {
  return *this ? static_cast<IdState>(cma::public_number(impl_->id().state())) : IdState::destroying;
}
SocketAddress IdRef::local_addr() const { return *this ? impl_->id().route().source : SocketAddress(); }
SocketAddress IdRef::peer_addr() const { return *this ? impl_->id().route().destination : SocketAddress(); }
Device IdRef::device() const { return *this ? to_public(impl_->id().route().device) : Device(); }
PortSpace IdRef::port_space() const {
  return *this ? static_cast<PortSpace>(impl_->id().port_space()) : PortSpace::tcp;
}
QpType IdRef::qp_type() const { return *this ? static_cast<QpType>(impl_->id().qp_type()) : QpType::rc; }
ServiceId IdRef::service_id(const SocketAddress& address) const {
  return ServiceId(std::uint64_t{static_cast<std::uint16_t>(port_space())} << 16 | address.port);
}
std::pair<Gid, Gid> IdRef::read_gids() const {
  if (!*this) return {};
  const cma::Route route = impl_->id().route();
  return {route.source_gid, route.destination_gid};
}
std::optional<IdNumber> IdRef::number() const {
  const auto number = *this ? impl_->id().number() : std::nullopt;
  return number ? std::optional(IdNumber(*number)) : std::nullopt;
}

Status IdRef::lock_handler() {
  return call_on(impl_, cma::Entry::lock_handler, HW_CALL_SITE, [](IdImpl& impl) { return impl.lock_handler(); });
}
Status IdRef::unlock_handler() {
  return call_on(impl_, cma::Entry::unlock_handler, HW_CALL_SITE, [](IdImpl& impl) { return impl.unlock_handler(); });
}

// ---- ownership ----

Id::Id(std::shared_ptr<IdImpl> impl) : IdRef(impl.get()), owned_(std::move(impl)) {}

Id::Id(Id&& other) noexcept : IdRef(std::exchange(other.impl_, nullptr)), owned_(std::move(other.owned_)) {}

Id& Id::operator=(Id&& other) noexcept {
  if (this == &other) return *this;
  destroy();
  impl_ = std::exchange(other.impl_, nullptr);
  owned_ = std::move(other.owned_);
  return *this;
}

Id::~Id() { destroy(); }

void Id::destroy() {
  impl_ = nullptr;
  if (const auto ending = std::exchange(owned_, nullptr)) ending->destroy();
}

// ---- words ----

const char* name(IdState state) { return cma::name(static_cast<cma::State>(state)); }
const char* name(CmEventType type) { return cma::name(static_cast<cma::EventType>(type)); }

std::span<const std::byte> CmEvent::consumer_reject_data() const {
  const bool said_by_program = type == CmEventType::rejected && is_consumer_reject(reject_reason());
  return said_by_program ? private_data : std::span<const std::byte>();
}

std::string CmEvent::text() const {
  const char* const what = name(type);
  if (type == CmEventType::rejected) return fmt::format("{}: {}", what, explain(reject_reason()));
  if (type == CmEventType::unreachable && status > 0) return fmt::format("{}: {}", what, explain(sidr_status()));
  if (status < 0) return fmt::format("{}: {}", what, std::generic_category().message(-status));
  return what;
}

}  // namespace hawser
