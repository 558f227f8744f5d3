// Birth, state, references, event delivery, queries.
#include "cma/id.hpp"

#include <algorithm>

#include "cma/core.hpp"
#include "cma/multicast.hpp"

namespace hawser::cma {

Id::Id(Core& core, PortSpace space, QpType qp_type, std::shared_ptr<const Handler> handler, void* context)
    : core_(core),
      port_space_(space),
      qp_type_(qp_type),
      starting_psn_(core.services.dispatcher.world().random32()),
      record_(cm::hold_record(core.services.ledger)),
      handler_(std::move(handler)),
      handler_name_(handler_ ? name_of(*handler_) : HandlerName{}),
      context_(context),
      state_(State::idle),
      contract_(core.contract),
      route_work_([this] { on_route(); }),
      neighbour_work_([this] {
        handler_mutex_.lock();
        finish_work({.type = EventType::unreachable, .status = -ETIMEDOUT});
      }),
      address_change_work_([this] {
        handler_mutex_.lock();
        finish_work({.type = EventType::addr_change});
      }) {
  neighbour_.id = this;
  cm::update(record_.get(), [this](cm::LedgerRecord& r) {
    r.in_use = 1;
    r.cma_state = public_number(State::idle);
    r.port_space = static_cast<std::uint16_t>(port_space_);
    r.qp_type = static_cast<std::uint8_t>(qp_type_);
  });
  core_.count_birth();
}

Id::Id(Core& core, const Id& listener, QpType qp_type)
    : Id(core, listener.port_space_, qp_type, nullptr, listener.context()) {
  state_.store(State::connect);
  write_ledger_state(State::connect);
  Options inherited;
  std::shared_ptr<const Handler> handler;
  HandlerName handler_name;
  {
    rt::Lock lock(listener.data_mutex_);
    inherited.v6_only = listener.options_.v6_only;
    inherited.service_type = listener.options_.service_type;
    handler = listener.handler_;
    handler_name = listener.handler_name_;
  }
  rt::Lock lock(data_mutex_);
  options_ = inherited;
  handler_ = std::move(handler);
  handler_name_ = handler_name;
}

Id::~Id() = default;

bool Id::exchange(State from, State to) {
  rt::Lock lock(state_mutex_);
  if (state_.load() != from) return false;
  state_.store(to);
  write_ledger_state(to);
  return true;
}

std::optional<State> Id::take(State to) {
  rt::Lock lock(state_mutex_);
  const State old = state_.load();
  if (!claimable(old, to)) return std::nullopt;
  state_.store(to);
  write_ledger_state(to);
  return old;
}

void Id::get() {
  rt::Lock lock(state_mutex_);
  ++references_;
}

void Id::put() {
  rt::Lock lock(state_mutex_);
  HW_ASSERT(references_ > 0, "cma-reference-underflow");
  if (--references_ == 0) released_.notify_all();
}

// [spec 2.1.3, 7 I14]
void Id::put_and_wait() {
  rt::assert_none_held(rt::LockRank::handler);
  rt::Lock lock(state_mutex_);
  HW_ASSERT(references_ > 0, "cma-owner-reference-underflow");
  --references_;
  while (references_ != 0) released_.wait(state_mutex_);
}

// [spec 2.5.1, 3.5 I9, 4 #3, 7 I19]
void Id::queue(rt::Work& work) {
  get();
  if (!core_.services.dispatcher.post(work)) put();
}

void Id::cancel(rt::Work& work) {
  if (core_.services.dispatcher.cancel(work)) put();
}

// [spec 7 I13]
int Id::deliver(const Event& event) {
  std::shared_ptr<const Handler> handler;
  HandlerName name;
  {
    rt::Lock lock(data_mutex_);
    handler = handler_;  // a copy: the handler may install another one
    name = handler_name_;
  }
  contract_.handler_begins(event.type, name);
  const int result = (*handler)(*this, event);
  contract_.handler_ends();
  return result;
}

// [spec 1.5.1, 2.5.6, 3.5 A, 3.5 I8, 3.8 I12]
void Id::finish_work(const Event& event) {
  const int result = over(state()) ? 0 : deliver(event);
  if (result != 0) {
    put();  // before destroying: the end of the id waits for all references [spec 2.5]
    return destroy_and_unlock();
  }
  handler_mutex_.unlock();
  put();  // last: whoever claimed the id frees it when no reference is left
}

void* Id::context() const {
  rt::Lock lock(data_mutex_);
  return context_;
}

void Id::set_handler(Handler handler, void* context) {
  const HandlerName name = name_of(handler);
  auto shared = std::make_shared<const Handler>(std::move(handler));
  rt::Lock lock(data_mutex_);
  handler_.swap(shared);  // the old one is released outside the lock
  handler_name_ = name;
  context_ = context;
}

HandlerName Id::handler_name() const {
  rt::Lock lock(data_mutex_);
  return handler_name_;
}

void Id::name_handler(const HandlerName& name) {
  rt::Lock lock(data_mutex_);
  handler_name_ = name;
}

void Id::check_not_in_handler(Entry entry) const { static_cast<void>(contract_.allowed_here(entry, HW_CALL_SITE)); }

const Id* Id::listener() const {
  rt::Lock lock(data_mutex_);
  return listener_;
}

std::optional<std::uint32_t> Id::number() const { return record_ ? std::optional(record_->number) : std::nullopt; }

Route Id::route() const {
  rt::Lock lock(data_mutex_);
  Route route;
  route.source = source_;
  route.destination = destination_;
  route.device = device_;
  route.path = path_;
  route.has_path = has_path_;
  if (device_ == nullptr) return route;
  route.port_number = 1;
  route.source_gid = has_path_ ? path_.local : source_.ip;
  if (has_path_) {
    route.destination_gid = path_.remote;
  } else {
    route.destination_gid = resolved_ ? resolved_->destination : destination_.ip;
  }
  return route;
}

void Id::set_qp(Qpn qpn, bool srq) {
  rt::Lock lock(data_mutex_);
  qpn_ = qpn;
  srq_ = srq;
  cm::update(record_.get(), [&](cm::LedgerRecord& r) { r.local_qpn = qpn.value; });
}

cm::Connection* Id::connection() const {
  rt::Lock lock(data_mutex_);
  return connection_;
}

void Id::set_connection(cm::Connection* connection) {
  rt::Lock lock(data_mutex_);
  connection_ = connection;
}

void Id::set_listener(const Id* listener) {
  rt::Lock lock(data_mutex_);
  listener_ = listener;
}

verbs::DevicePtr Id::device() const {
  rt::Lock lock(data_mutex_);
  return device_;
}

// [spec 1.8.1]
ServiceId Id::service_id(std::uint16_t port) const {
  return ServiceId(static_cast<std::uint64_t>(port_space_) << 16 | port);  // [spec 1.8]
}

void Id::write_ledger_state(State state) {
  cm::update(record_.get(), [state](cm::LedgerRecord& r) { r.cma_state = public_number(state); });
}

void Id::write_ledger_addresses() {
  const SocketAddress source = source_;
  const SocketAddress destination = destination_;
  const std::uint32_t interface = device_ ? device_->interface_index() : 0;
  cm::update(record_.get(), [&](cm::LedgerRecord& r) {
    r.source_family = static_cast<std::uint8_t>(source.family);
    r.destination_family = static_cast<std::uint8_t>(destination.family);
    r.source_port = source.port;
    r.destination_port = destination.port;
    std::ranges::copy(source.ip.bytes, r.source);
    std::ranges::copy(destination.ip.bytes, r.destination);
    r.device_interface = interface;
  });
}

}  // namespace hawser::cma
