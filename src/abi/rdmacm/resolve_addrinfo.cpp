// rdma_resolve_addrinfo, rdma_query_addrinfo: rdma_getaddrinfo's answer as an event. Names that getaddrinfo(3) knows
// are looked up at once; the event that follows is one that this library writes to itself (INTERNAL).
#include "abi/c_enum.hpp"
#include "abi/rdmacm/support.hpp"

using namespace hawser;
using namespace hawser::abi::rdmacm;

namespace hawser::abi::rdmacm {
namespace {

constexpr int eai_errno = -1;  // rdma_getaddrinfo: see errno

int look_up(Call& call, const char* node, const char* service, const rdma_addrinfo* hints) {
  rdma_addrinfo* info = nullptr;
  call.own.unlock();  // who knows how long that takes
  const int error = rdma_getaddrinfo(node, service, hints, &info);
  if (error == eai_errno) return -1;
  call.own.lock();
  call.id->lookup.set(error == 0 ? info : nullptr);
  const Status written =
      call.run(&ucm::Manager::write_event, uid_of(*call.id), cma::EventType::internal, error, LookupResult::mark());
  return written ? complete(call) : answer(written);
}

int ask_subnet(Call& call, const char* node, const char* service) {
  if (node != nullptr) return fail_errno(EOPNOTSUPP);
  if (service == nullptr) return fail_errno(EINVAL);
  const Status asked = call.run(&ucm::Manager::resolve_service, {.name = service, .id = {}});
  return asked ? complete(call) : answer(asked);
}

}  // namespace
}  // namespace hawser::abi::rdmacm

int rdma_resolve_addrinfo(rdma_cm_id* id, const char* node, const char* service, const rdma_addrinfo* hints) {
  auto call = enter(id);
  if (!call) return answer(call);
  const bool subnet = hints != nullptr && (hints->ai_flags & rai_sa) != 0;
  return subnet ? ask_subnet(*call, node, service) : look_up(*call, node, service, hints);
}

// Each answer once: it is the caller's, who frees it with rdma_freeaddrinfo. ENODATA: there is none.
int rdma_query_addrinfo(rdma_cm_id* id, rdma_addrinfo** info) {
  const auto call = enter(id);
  if (!call) return answer(call);
  if (info == nullptr) return fail_errno(EINVAL);
  *info = call->id->lookup.take();
  return *info == nullptr ? fail_errno(ENODATA) : 0;
}

int rdma_write_cm_event(rdma_cm_id* id, rdma_cm_event_type event, int status, uint64_t arg) {
  const auto call = enter(id);
  if (!call) return answer(call);
  const auto type = static_cast<unsigned>(abi::number_of(event));
  if (type > static_cast<unsigned>(cma::EventType::internal)) return fail_errno(EINVAL);
  return answer(
      call->run(&ucm::Manager::write_event, uid_of(*call->id), static_cast<cma::EventType>(type), status, arg));
}
