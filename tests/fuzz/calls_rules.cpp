// What must be true of every C program: answers and events.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "calls.hpp"

namespace hawser::fuzz {
namespace {

constexpr auto all_depths = std::to_array<std::string_view>({"address resolved",
                                                             "route resolved",
                                                             "request fetched",
                                                             "request got",
                                                             "accepted",
                                                             "response fetched",
                                                             "response accepted",
                                                             "established",
                                                             "rejected",
                                                             "unreachable",
                                                             "disconnected",
                                                             "listening",
                                                             "service resolved (SIDR)",
                                                             "device removal",
                                                             "id without a device",
                                                             "multicast joined",
                                                             "multicast left",
                                                             "own event",
                                                             "moved",
                                                             "moved to no channel",
                                                             "closed",
                                                             "event waited for",
                                                             "completion event",
                                                             "message received",
                                                             "datagram received",
                                                             "written by RDMA",
                                                             "read by RDMA",
                                                             "flushed",
                                                             "completed with an error"});

// What synchronous mode makes of the event that it waits for.
constexpr std::array of_events{EINTR, ETIMEDOUT, ECONNREFUSED, ENETUNREACH, EHOSTUNREACH, ENODEV, EIO};

constexpr int sidr_status_max = 5;  // of a service that refuses: no errno, but given as one [spec 6.4.11]

bool one_of(int error, std::initializer_list<int> errors) { return std::ranges::find(errors, error) != errors.end(); }

// The most that its message carries [spec 5.4].
std::size_t private_data_max(cma::EventType type, bool datagrams) {
  switch (type) {
    case cma::EventType::connect_request: return datagrams ? 180 : 56;
    case cma::EventType::connect_error:  // the answer that this side could not use
    case cma::EventType::connect_response: return 196;
    case cma::EventType::established: return datagrams ? 136 : 224;
    case cma::EventType::rejected: return 148;
    case cma::EventType::disconnected: return 224;
    case cma::EventType::unreachable: return datagrams ? 136 : 0;
    default: return 0;
  }
}

}  // namespace

bool call_may_answer(Op op, int error) {
  if (one_of(error, {0, ENOENT, EINVAL, ENXIO})) return true;
  const bool waits = std::ranges::find(of_events, error) != of_events.end() || (error > 0 && error <= sidr_status_max);
  switch (op) {
    case Op::bind: return one_of(error, {EADDRINUSE, EADDRNOTAVAIL, EACCES, ENODEV, EAFNOSUPPORT});
    case Op::resolve_addr: return waits || one_of(error, {EADDRINUSE, EADDRNOTAVAIL, EACCES, EAFNOSUPPORT});
    case Op::create_ep: return waits || one_of(error, {EADDRINUSE, EADDRNOTAVAIL, EACCES, EAFNOSUPPORT});
    case Op::listen: return one_of(error, {EADDRINUSE, EADDRNOTAVAIL, ENODEV});
    case Op::resolve_route:
    case Op::connect:
    case Op::accept:
    case Op::disconnect: return waits;
    case Op::resolve_service: return waits || error == EOPNOTSUPP;
    case Op::query_services: return error == ENODATA;
    case Op::set_option: return one_of(error, {ENOSYS, EADDRINUSE, EADDRNOTAVAIL});
    case Op::notify: return error == EISCONN;
    case Op::join_multicast: return waits || one_of(error, {EOPNOTSUPP, EADDRNOTAVAIL});
    case Op::leave_multicast: return error == EADDRNOTAVAIL;
    case Op::get_event:
    case Op::wait_event: return one_of(error, {EAGAIN, EINTR});
    case Op::ack_event:
    case Op::cq_event: return error == EAGAIN;
    case Op::close: return error == EBUSY;
    case Op::get_request: return waits;
    case Op::create_qp: return one_of(error, {ENOMEM, EOPNOTSUPP, EIO, ENODEV});
    case Op::create_srq: return one_of(error, {ENOMEM, EIO});
    case Op::destroy_srq: return error == EBUSY;
    case Op::post_recv:
    case Op::post_send: return one_of(error, {EAGAIN, ENOMEM, EOPNOTSUPP});
    case Op::attach: return one_of(error, {ENOMEM, EIO, ENODEV, ENOBUFS});
    case Op::modify_qp: return error == EIO;
    case Op::reregister: return one_of(error, {EIO, ENOMEM});
    case Op::getaddrinfo: return error == EOPNOTSUPP;
    default: return false;
  }
}

std::string wrong_with(const rdma_cm_event& event, const CallsId& owner) {
  const auto type = static_cast<cma::EventType>(c::number_of(event));
  if (owner.ended) return "of an id that has been destroyed";
  if (type == cma::EventType::connect_request) {
    if (event.listen_id != owner.raw) return "listen_id is another id";
    if (event.id == nullptr || event.id == event.listen_id) return "no new id";
    if (event.id->context != &owner) return "the new id's context is not its listener's";
  } else {
    if (event.id != owner.raw) return "its id is another id";
    if (event.listen_id != nullptr) return "there is a listen_id";
  }
  if (type > cma::EventType::internal) return fmt::format("no such event: {}", c::number_of(event));
  if (type == cma::EventType::multicast_join || type == cma::EventType::multicast_error) return {};
  if (type == cma::EventType::user || type == cma::EventType::internal) return {};
  // Both kinds of parameters begin with the private data.
  const rdma_conn_param& param = event.param.conn;
  if (param.private_data_len > private_data_max(type, owner.datagrams)) {
    return fmt::format("{} bytes of private data", param.private_data_len);
  }
  if ((param.private_data == nullptr) != (param.private_data_len == 0)) return "private data of no length";
  const auto* const bytes = static_cast<const volatile std::byte*>(param.private_data);
  for (std::size_t i = 0; i < param.private_data_len; ++i) (void)bytes[i];  // asan looks
  return {};
}

std::span<const std::string_view> call_depths() { return all_depths; }

}  // namespace hawser::fuzz
