// The commands of the user ABI that are one entry point of the connection manager each [spec 6.2].
#include "ucm/handler_lock.hpp"
#include "ucm/manager.hpp"
#include "ucm/options.hpp"
#include "ucm/run.hpp"

namespace hawser::ucm {

// [spec 6.2 #2]
Status Manager::bind(File& file, Handle id, const SocketAddress& address) {
  return run(file, id, false, [&](Context&, cma::Id& target) { return target.bind_addr(address); });
}

Status Manager::resolve_addr(File& file, Handle id, const SocketAddress* source, const SocketAddress& destination,
                             rt::Duration timeout) {
  return run(file, id, false,
             [&](Context&, cma::Id& target) { return target.resolve_addr(source, destination, timeout); });
}

// [spec 6.2 #4]
Status Manager::resolve_route(File& file, Handle id, rt::Duration timeout) {
  return run(file, id, true, [&](Context&, cma::Id& target) { return target.resolve_route(timeout); });
}

// [spec 6.2 #23]
Status Manager::resolve_service(File& file, Handle id, const addr::ServiceQuery& wanted) {
  return run(file, id, false, [&](Context&, cma::Id& target) { return target.resolve_service(wanted); });
}

Result<std::vector<addr::ServiceRecord>> Manager::query_services(File& file, Handle id) {
  return run(file, id, false,
             [](Context&, cma::Id& target) -> Result<std::vector<addr::ServiceRecord>> { return target.services(); });
}

// [spec 6.2 #5, #19]
Result<cma::Route> Manager::query_route(File& file, Handle id) {
  return run(file, id, false, [](Context&, cma::Id& target) -> Result<cma::Route> { return target.route(); });
}

// [spec 6.2 #6]
Status Manager::connect(File& file, Handle id, const cma::ConnParam& param) {
  return run(file, id, true, [&](Context&, cma::Id& target) {
    cma::ConnParam masked = param;
    masked.qpn = Qpn(param.qpn.value & 0xFFFFFF);  // [spec 4 #47]
    return target.connect(masked);
  });
}

// [spec 6.2 #7]
Status Manager::listen(File& file, Handle id, int backlog) {
  return run(file, id, false, [&](Context& context, cma::Id& target) {
    const int places = backlog <= 0 || backlog > backlog_max ? backlog_max : backlog;
    if (const FilePtr current = table_.file_of(context.handle)) current->set_backlog(context.handle, places);
    return target.listen(places);
  });
}

// [spec 2.8.4, 6.2 #8]
Status Manager::accept(File& file, Handle id, std::uint64_t uid, const cma::ConnParam& param) {
  return run(file, id, true, [&](Context& context, cma::Id& target) -> Status {
    cma::ConnParam masked = param;
    masked.qpn = Qpn(param.qpn.value & 0xFFFFFF);
    HandlerLock handlers(target);
    const Status accepted = target.accept(&masked);
    if (accepted) context.uid = uid;
    return accepted;
  });
}

Status Manager::accept_response(File& file, Handle id) {
  return run(file, id, true, [](Context&, cma::Id& target) -> Status {
    HandlerLock handlers(target);
    return target.accept(nullptr);
  });
}

// [spec 6.2 #9]
Status Manager::reject(File& file, Handle id, std::uint16_t reason, std::span<const std::byte> private_data) {
  constexpr auto consumer_defined = static_cast<std::uint16_t>(cm::RejectReason::consumer_defined);
  constexpr auto vendor_option = static_cast<std::uint16_t>(cm::RejectReason::vendor_option);
  const std::uint16_t meant = reason == 0 ? consumer_defined : reason;
  if (meant != consumer_defined && meant != vendor_option) return fail(EINVAL);
  return run(file, id, true, [&](Context&, cma::Id& target) { return target.reject(meant, private_data); });
}

// [spec 6.2 #10]
Status Manager::disconnect(File& file, Handle id) {
  return run(file, id, true, [](Context&, cma::Id& target) { return target.disconnect(); });
}

// [spec 6.2 #11]
Result<cm::QpAttributes> Manager::init_qp_attr(File& file, Handle id, cm::QpTarget target_state) {
  return run(file, id, true, [&](Context&, cma::Id& target) { return target.qp_attributes(target_state); });
}

// [spec 6.2 #15]
Status Manager::notify(File& file, Handle id, int event) {
  constexpr int communication_established = 4;  // IBV_EVENT_COMM_EST
  return run(file, id, true, [&](Context&, cma::Id& target) -> Status {
    if (event != communication_established) return fail(EINVAL);
    return target.notify_established();
  });
}

// With the handler_mutex: the event goes to the channel that the id is on, whoever migrates it [spec 4 #49, 6.2 #24].
Status Manager::write_event(File& file, Handle id, std::uint64_t uid, cma::EventType type, int status,
                            std::uint64_t arg) {
  if (type != cma::EventType::user && type != cma::EventType::internal) return fail(EINVAL);
  return run(file, id, false, [&](Context& context, cma::Id& target) -> Status {
    EventRecord event;
    event.uid = uid;
    event.id = event.owner = context.handle;
    event.type = type;
    event.status = status;
    event.arg = arg;
    HandlerLock handlers(target);
    if (const FilePtr current = table_.file_of(context.handle)) current->append(std::move(event));
    return {};
  });
}

Status Manager::set_qp(File& file, Handle id, Qpn qpn, bool srq) {
  return run(file, id, false, [&](Context&, cma::Id& target) -> Status {
    target.set_qp(qpn, srq);
    return {};
  });
}

Status Manager::set_option(File& file, Handle id, int level, int name, std::span<const std::byte> value) {
  return run(file, id, false, [&](Context&, cma::Id& target) -> Status {
    const auto option = parse_option(level, name, value);
    if (!option) return fail(option.error());
    return apply(target, *option);
  });
}

Status Manager::apply(cma::Id& id, const Option& option) {
  switch (option.kind) {
    case Option::Kind::tos: return id.set_service_type(option.byte);
    case Option::Kind::reuse_address: return id.set_reuse_address(option.flag);
    case Option::Kind::af_only: return id.set_af_only(option.flag);
    case Option::Kind::ack_timeout: return id.set_ack_timeout(option.byte);
    case Option::Kind::response_timeout: return id.set_response_timeout(option.byte);
    case Option::Kind::retries: return id.set_retries(option.byte);
    case Option::Kind::report_unreachable: return id.set_report_unreachable(option.flag);
    case Option::Kind::path: break;
  }
  // The connection manager tells nothing here, so the event is made up [spec 1.4].
  HandlerLock handlers(id);
  cm::Path path = option.path;
  path.device = id.route().device;
  if (const Status set = id.set_path(path); !set) return set;
  cma::Event resolved;
  resolved.type = cma::EventType::route_resolved;
  (void)on_event(id, resolved);
  return {};
}

}  // namespace hawser::ucm
